"""From an encoded batch to an endpoint that took it, or to a drop that was counted. Free of the SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from otelwarden.core import (
    METRICS,
    Deadline,
    ErrorCount,
    Runtime,
    Signal,
    run_in_child_after_fork,
    suppress_instrumentation_in_this_thread,
)
from otelwarden.failover.accounts import Accounts
from otelwarden.failover.batch import Batch
from otelwarden.failover.config import FailoverConfig, quantile_of
from otelwarden.failover.courier import Courier
from otelwarden.failover.hedging import HedgedSending, Hedging, NoHedging
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.queue import BatchQueue, DeliveryQueue
from otelwarden.failover.spool import Spool, TakenOver
from otelwarden.failover.spoolqueue import SpoolQueue
from otelwarden.failover.terms import TenantTerms
from otelwarden.otlp import Cancellation

_LAST_WORDS: Final = 0.5  # seconds for what was cancelled to come back
_SPOOL_PATIENCE: Final = 0.4  # seconds: what is on disk need not be delivered by this process


class Delivery:
    """Delivers the batches of one signal.

    A batch goes to the best endpoint; where that fails, to the next at once. Without a spool there is one batch under
    way, and when all endpoints have failed it waits until one of them is worth another try or has recovered; for as
    long as it is not `max_age` old. With one, batches wait on disk, and what is new does not wait behind them.
    """

    def __init__(
        self, signal: Signal, pool: EndpointPool, config: FailoverConfig, runtime: Runtime, terms: TenantTerms
    ) -> None:
        self._signal: Signal = signal
        self._pool = pool
        self._runtime = runtime
        self._terms = terms
        self._errors = runtime.errors("failover")
        self._now_ns = runtime.clock.monotonic_ns
        self.spool: Spool | None = None
        self._queue: BatchQueue = DeliveryQueue(config.max_queue_bytes, clock=runtime.clock)
        self._max_age, self._patience, self._replayers = config.max_age, config.shutdown_patience, 0
        self._hedging = hedging_of(config, signal, pool, self._errors)
        if (settings := config.spool) is not None:
            in_order = signal == METRICS
            self.spool = Spool(settings, signal, runtime=runtime, on_takeover=self._on_takeover)
            self._queue = SpoolQueue(self.spool, config.max_queue_bytes, in_order=in_order, clock=runtime.clock)
            self._max_age, self._patience = settings.max_age, min(config.shutdown_patience, _SPOOL_PATIENCE)
            self._replayers = 1 if in_order else settings.max_in_flight
        if signal == METRICS and config.metrics_max_age is not None:
            self._max_age = config.metrics_max_age
        self.accounts = Accounts(signal, runtime, self._queue.held)
        self._listener: Callable[[], None] = self._on_recovery
        self._start_over()
        pool.attach(self._listener)
        run_in_child_after_fork(self._start_over_in_child)
        if self.spool is not None:
            self.spool.start(only_if_left=True)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._live: threading.Thread | None = None
        self._replay: list[threading.Thread] = []
        self._wake = threading.Event()
        self._cancellation = Cancellation()
        self._closed = False
        self._courier = Courier(
            self._signal,
            pool=self._pool,
            queue=self._queue,
            terms=self._terms,
            accounts=self.accounts,
            hedging=self._hedging,
            max_age=self._max_age,
            runtime=self._runtime,
            stop=self._cancellation,
            changed=self._wake,
        )

    def _start_over_in_child(self) -> None:
        self._queue.start_over()
        self._start_over()

    def _on_recovery(self) -> None:
        self._wake.set()
        self._queue.wake()

    def accept(self, batch: Batch) -> bool:
        """Takes charge of a batch, whose items were counted as received; never waits.

        Returns:
            False after `shutdown`, when the batch is dropped.
        """
        tenants = batch.tenants
        with self.accounts.entry():
            lost = self._queue.put(batch)
            if lost is None:
                self.accounts.dropped(tenants, "shutdown")
                return False
            self.accounts.lost(lost)
        if self._live is None:
            self._start_threads()
        if self._queue.must_replay:
            self._start_replay()
        return True

    def _on_takeover(self, taken: TakenOver) -> None:
        """Counts what a dead process left as received, and what of it is damaged as lost."""
        for tenants in [*(record.tenants for record in taken.records), *taken.corrupt]:
            self.accounts.received(tenants)
        for tenants in taken.corrupt:
            self.accounts.dropped(tenants, "spool_corrupt")
        if taken.damaged:
            # Of these not even the number of items is known.
            self._runtime.emit("failover", "spool_corrupt", "header", signal=self._signal, count=taken.damaged)
        unreadable = sum(not record.readable for record in taken.records)
        if unreadable:
            self._runtime.emit("failover", "spool_kept", "key_unknown", signal=self._signal, count=unreadable)
        if isinstance(self._queue, SpoolQueue):
            self.accounts.lost(self._queue.adopt(taken.records))
        if self._queue.must_replay:
            self._start_replay()

    def _start_threads(self) -> None:
        with self._lock:
            if self._live is None:
                self._live = self._start_thread("", replay=False)

    def _start_replay(self) -> None:
        if len(self._replay) == self._replayers:
            return
        with self._lock:
            while len(self._replay) < self._replayers:
                thread = self._start_thread(f"-replay-{len(self._replay) + 1}", replay=True)
                if thread is None:
                    return
                self._replay.append(thread)

    def _start_thread(self, suffix: str, *, replay: bool) -> threading.Thread | None:
        name = f"otelwarden-failover-{self._signal}{suffix}"
        thread = threading.Thread(target=self._run, args=(replay,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter ends, or has no more threads: the next batch tries again
            self._errors.record("start_thread", error)
            return None
        return thread

    def flush(self, deadline: Deadline) -> bool:
        """Waits until everything accepted so far is delivered or dropped; whether it was in time."""
        settled = self._queue.wait_for_all(deadline) and self.accounts.settle_up(deadline)
        return settled and self._pool.flush(self._signal, deadline)

    def replay(self, deadline: Deadline) -> bool:
        """Delivers what dead processes left in the spool; whether all of it was settled in time."""
        if self.spool is None or not isinstance(self._queue, SpoolQueue):
            return True
        self.spool.take_over()
        return self._queue.wait_until_empty(deadline) and self.accounts.settle_up(deadline)

    def shutdown(self, deadline: Deadline) -> None:
        """Delivers what is left for as long as it moves, then drops the rest, or leaves it in the spool."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.close()
        self._queue.wait_while_it_moves(deadline, self._patience)
        self._queue.halt()
        self._cancellation.cancel()
        self._wake.set()
        self._queue.wait_until_nothing_is_under_way(Deadline(_LAST_WORDS))
        self.accounts.lost(self._queue.drain())
        self.accounts.settle_up(Deadline(_LAST_WORDS))
        if self.spool is not None:
            self.spool.close()
        self._pool.detach(self._listener)

    def _run(self, replay: bool) -> None:
        suppress_instrumentation_in_this_thread()
        courier, queue = self._courier, self._queue
        while (batch := queue.take(replay=replay)) is not None:
            try:
                courier.deliver(batch)
            except Exception as error:
                self._errors.record("deliver", error)
                courier.drop(batch, "error")
            if not replay and queue.must_replay:
                self._start_replay()


def hedging_of(config: FailoverConfig, signal: Signal, pool: EndpointPool, errors: ErrorCount) -> Hedging:
    """How batches of a signal are hedged: metrics never, as a point that arrives twice may be counted twice."""
    after = config.hedge_after
    if after is None or signal == METRICS:
        return NoHedging()
    if isinstance(after, str):
        quantile = quantile_of(after)
        return HedgedSending(pool, lambda: pool.latency_quantile(quantile), errors)
    return HedgedSending(pool, lambda: after, errors)
