"""From an encoded batch to an endpoint that took it, or to a drop that was counted. Free of the SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from otelwarden.core import (
    Deadline,
    Runtime,
    Signal,
    run_in_child_after_fork,
    suppress_instrumentation_in_this_thread,
)
from otelwarden.failover.accounts import Accounts
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.queue import Batch, DeliveryQueue
from otelwarden.otlp import Cancellation, Outcome, Verdict

MAX_REFUSED_ROUNDS: Final = 3
"""Rounds after which a batch that every endpoint answers with an error, while they take others, is given up."""

_LAST_WORDS: Final = 0.5  # seconds for what was cancelled to come back


class Delivery:
    """Delivers the batches of one signal: one queue, one thread, one batch under way.

    A batch goes to the best endpoint; where that fails, to the next at once. When all have failed it waits until one
    of them is worth another try or has recovered; for as long as it is not `max_age` old.
    """

    def __init__(self, signal: Signal, pool: EndpointPool, config: FailoverConfig, runtime: Runtime) -> None:
        self._signal: Signal = signal
        self._pool = pool
        self._config = config
        self._errors = runtime.errors("failover")
        self._log = runtime.log
        self._now_ns = runtime.clock.monotonic_ns
        self._queue = DeliveryQueue(config.max_queue_bytes)
        self.accounts = Accounts(signal, runtime, self._queue.held)
        self._listener: Callable[[], None] = self._on_recovery
        self._start_over()
        pool.attach(self._listener)
        run_in_child_after_fork(self._start_over_in_child)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
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
        evicted = self._queue.put(Batch(body, tenants, self._now_ns()))
        if evicted is None:
            self.accounts.dropped(tenants, "shutdown")
            return False
        for batch in evicted:
            self.accounts.dropped(batch.tenants, "queue_full")
        if self._thread is None:
            self._start_thread()
        return True

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name=f"otelwarden-failover-{self._signal}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter ends, or has no more threads: the next batch tries again
                self._errors.record("start_thread", error)
                return
            self._thread = thread

    def flush(self, deadline: Deadline) -> bool:
        """Waits until everything accepted so far is delivered or dropped; whether it was in time."""
        return self._queue.wait_for_all(deadline)

    def shutdown(self, deadline: Deadline) -> None:
        """Delivers what is left for as long as it moves, then drops the rest."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.close()
        if not self._queue.wait_while_it_moves(deadline, self._config.shutdown_patience):
            self._cancellation.cancel()
            self._wake.set()
            self._queue.wait_for_all(Deadline(_LAST_WORDS))
        for batch in self._queue.drain():
            self.accounts.dropped(batch.tenants, "shutdown")
        self._pool.detach(self._listener)

    def _run(self) -> None:
        suppress_instrumentation_in_this_thread()
        while (batch := self._queue.take()) is not None:
            try:
                self._deliver(batch)
            except Exception as error:
                self._errors.record("deliver", error)
                self._drop(batch, "error")

    def _deliver(self, batch: Batch) -> None:
        tried: list[PooledEndpoint] = []
        all_answered = True
        while (reason := self._hopeless(batch)) is None:
            endpoint = self._pool.select(tried, Outbound(self._signal, batch.body))
            if endpoint is None:
                if not self._pool.is_busy(self._signal, tried) and self._is_poison(batch, tried, all_answered):
                    reason = "refused"
                    break
                self._wait(batch)
                tried, all_answered = [], True
                continue
            outcome = endpoint.transport.send(
                self._signal, batch.body, timeout=endpoint.endpoint.timeout, cancellation=self._cancellation
            )
            if self._settled(batch, endpoint, outcome):
                return
            if outcome.verdict is not Verdict.CANCELLED:
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
        self._drop(batch, reason)

    def _hopeless(self, batch: Batch) -> str | None:
        """Why a batch is to be given up now; None for as long as there is hope."""
        if self._cancellation.cancelled:
            return "shutdown"
        return "expired" if self._now_ns() - batch.born_ns >= self._config.max_age * 1e9 else None

    def _settled(self, batch: Batch, endpoint: PooledEndpoint, outcome: Outcome) -> bool:
        """Accounts for an outcome that is the end of the batch; whether it was."""
        if outcome.verdict is Verdict.DELIVERED:
            self._pool.mark_delivered(endpoint, outcome, batch.items)
            if self._queue.settle(batch):
                self.accounts.delivered(batch.tenants, outcome.rejected)
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
            self._pool.mark_refused(endpoint, outcome, batch.items)
            self._drop(batch, outcome.reason)
            return True
        return False

    def _drop(self, batch: Batch, reason: str) -> None:
        if self._queue.settle(batch):
            self.accounts.dropped(batch.tenants, reason)

    def _wait(self, batch: Batch) -> None:
        left = self._config.max_age - (self._now_ns() - batch.born_ns) / 1e9
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
