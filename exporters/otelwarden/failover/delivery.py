"""From an encoded batch to an endpoint that took it, or to a drop that was counted. Free of the SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from otelwarden.core import (
    METRICS,
    Deadline,
    Runtime,
    Signal,
    run_in_child_after_fork,
    suppress_instrumentation_in_this_thread,
)
from otelwarden.failover.accounts import Accounts, shares
from otelwarden.failover.batch import Batch, Lost, Part
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.queue import BatchQueue, DeliveryQueue
from otelwarden.failover.spool import Spool, TakenOver
from otelwarden.failover.spoolqueue import SpoolQueue
from otelwarden.otlp import TOO_LARGE, Cancellation, Outcome, Verdict, halve

MAX_REFUSED_ROUNDS: Final = 3
"""Rounds after which a batch that every endpoint answers with an error, while they take others, is given up."""

_LAST_WORDS: Final = 0.5  # seconds for what was cancelled to come back
_SPOOL_PATIENCE: Final = 0.4  # seconds: what is on disk need not be delivered by this process
_CALLED_OFF: Final = "called off"


class Delivery:
    """Delivers the batches of one signal.

    A batch goes to the best endpoint; where that fails, to the next at once. Without a spool there is one batch under
    way, and when all endpoints have failed it waits until one of them is worth another try or has recovered; for as
    long as it is not `max_age` old. With one, batches wait on disk, and what is new does not wait behind them.
    """

    def __init__(self, signal: Signal, pool: EndpointPool, config: FailoverConfig, runtime: Runtime) -> None:
        self._signal: Signal = signal
        self._pool = pool
        self._runtime = runtime
        self._errors = runtime.errors("failover")
        self._log = runtime.log
        self._now_ns = runtime.clock.monotonic_ns
        self.spool: Spool | None = None
        self._queue: BatchQueue = DeliveryQueue(config.max_queue_bytes)
        self._max_age, self._patience, self._replayers = config.max_age, config.shutdown_patience, 0
        if (settings := config.spool) is not None:
            in_order = signal == METRICS
            self.spool = Spool(settings, signal, runtime=runtime, on_takeover=self._on_takeover)
            self._queue = SpoolQueue(self.spool, config.max_queue_bytes, in_order=in_order, clock=runtime.clock)
            self._max_age, self._patience = settings.max_age, min(config.shutdown_patience, _SPOOL_PATIENCE)
            self._replayers = 1 if in_order else settings.max_in_flight
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

    def _start_over_in_child(self) -> None:
        self._queue.start_over()
        self._start_over()

    def _on_recovery(self) -> None:
        self._wake.set()

    def accept(self, body: bytes, tenants: Mapping[str, int]) -> bool:
        """Takes charge of an encoded batch, whose items were counted as received; never waits.

        Returns:
            False after `shutdown`, when the batch is dropped.
        """
        lost = self._queue.put(Batch(body, tenants, self._now_ns()))
        if lost is None:
            self.accounts.dropped(tenants, "shutdown")
            return False
        self._count(lost)
        if self._live is None:
            self._start_threads()
        if self._queue.must_replay:
            self._start_replay()
        return True

    def _count(self, lost: list[Lost]) -> None:
        for batch, reason in lost:
            self.accounts.dropped(batch.tenants, reason)

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
            self._count(self._queue.adopt(taken.records))
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
        return self._queue.wait_for_all(deadline)

    def replay(self, deadline: Deadline) -> bool:
        """Delivers what dead processes left in the spool; whether all of it was settled in time."""
        if self.spool is None or not isinstance(self._queue, SpoolQueue):
            return True
        self.spool.take_over()
        return self._queue.wait_until_empty(deadline)

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
        self._count(self._queue.drain())
        if self.spool is not None:
            self.spool.close()
        self._pool.detach(self._listener)

    def _run(self, replay: bool) -> None:
        suppress_instrumentation_in_this_thread()
        while (batch := self._queue.take(replay=replay)) is not None:
            try:
                self._deliver(batch)
            except Exception as error:
                self._errors.record("deliver", error)
                self._drop(batch, "error")
            if not replay and self._queue.must_replay:
                self._start_replay()

    def _deliver(self, batch: Batch) -> None:
        tried: list[PooledEndpoint] = []
        all_answered = True
        reason = self._queue.load(batch)
        while not reason and not (reason := self._hopeless(batch)):
            endpoint = self._pool.select(tried, Outbound(self._signal, batch.parts[0].body))
            if endpoint is None:
                if not self._pool.is_busy(self._signal, tried) and self._is_poison(batch, tried, all_answered):
                    reason = "refused"
                    break
                lost = self._queue.give_back(batch)
                if lost is not None:
                    self._count(lost)
                    return
                self._wait(batch)
                tried, all_answered = [], True
                continue
            part = batch.parts[0]
            outcome = endpoint.transport.send(
                self._signal, part.body, timeout=endpoint.endpoint.timeout, cancellation=self._cancellation
            )
            if outcome.unconfirmed:
                self._pool.mark_unconfirmed(endpoint, part.items)
            if self._settled(batch, part, endpoint, outcome):
                if not batch.parts:
                    return
            elif outcome.verdict is Verdict.CANCELLED:
                self._queue.put_down(batch)
                return
            else:
                self._pool.mark_failed(endpoint, outcome, self._signal)
                self._log.warning(
                    f"failover {endpoint.endpoint.url} {outcome.code}",
                    "failover: %s did not take %s: %s %s",
                    endpoint.endpoint.url,
                    self._signal,
                    outcome.code,
                    outcome.message,
                )
                tried.append(endpoint)
                all_answered = all_answered and outcome.answered and outcome.verdict is Verdict.ENDPOINT_FAULT
        if reason == _CALLED_OFF:
            self._queue.put_down(batch)
        else:
            self._drop(batch, reason)

    def _hopeless(self, batch: Batch) -> str:
        """Why a batch is to be given up now; empty for as long as there is hope."""
        if self._cancellation.cancelled:
            return _CALLED_OFF
        return "expired" if self._now_ns() - batch.born_ns >= self._max_age * 1e9 else ""

    def _settled(self, batch: Batch, part: Part, endpoint: PooledEndpoint, outcome: Outcome) -> bool:
        """Accounts for an outcome that is the end of a part of the batch; whether it was."""
        if outcome.verdict is Verdict.DELIVERED:
            self._pool.mark_delivered(endpoint, outcome, part.items)
            if self._queue.settle(batch):
                self.accounts.delivered(part.tenants, outcome.rejected)
            if outcome.message or outcome.rejected:
                self._log.warning(
                    f"failover {endpoint.endpoint.url} partial",
                    "failover: %s rejected %d items: %s",
                    endpoint.endpoint.url,
                    outcome.rejected,
                    outcome.message,
                )
            return True
        if outcome.verdict is Verdict.DATA_FAULT:
            halves = self._halves(part) if outcome.reason == TOO_LARGE else []
            self._pool.mark_refused(endpoint, outcome, 0 if halves else part.items)
            if halves:
                self._queue.split(batch, halves)
            elif self._queue.settle(batch):
                self.accounts.dropped(part.tenants, outcome.reason)
            return True
        return False

    def _halves(self, part: Part) -> list[Part]:
        """A request that is too large, in two; none when it has a single item.

        Whose items are in which half the bytes do not tell; tenants are divided in proportion, which is exact in sum.
        """
        halves = halve(self._signal, part.body)
        if not halves:
            return []
        (first, count), (second, other) = halves
        of_first = shares(part.items * count // (count + other), part.tenants)
        of_second = {tenant: left for tenant, all_ in part.tenants.items() if (left := all_ - of_first.get(tenant, 0))}
        return [Part(first, of_first), Part(second, of_second)]

    def _drop(self, batch: Batch, reason: str) -> None:
        tenants = batch.tenants
        if self._queue.drop(batch):
            self.accounts.dropped(tenants, reason)

    def _wait(self, batch: Batch) -> None:
        left = self._max_age - (self._now_ns() - batch.born_ns) / 1e9
        self._wake.wait(min(self._pool.pause(self._signal), max(0.0, left)))
        self._wake.clear()

    def _is_poison(self, batch: Batch, tried: list[PooledEndpoint], all_answered: bool) -> bool:
        """Whether it is the batch and not the endpoints: they answer it with errors again and again, but take others.

        Without this, one batch that makes a receiver fail would hold up all that comes after it for `max_age`.
        """
        if not tried or not all_answered:
            batch.refused_rounds = 0
            return False
        if batch.refused_rounds == 0:
            batch.first_refused_ns = self._now_ns()
        batch.refused_rounds += 1
        return batch.refused_rounds >= MAX_REFUSED_ROUNDS and any(
            endpoint.succeeded_at_ns > batch.first_refused_ns for endpoint in tried
        )
