"""The thread behind batching: holds items in a fair queue and exports them, whatever its exporter does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.trace.export import SpanExporter

from otelwarden.core._sdk import suppress_instrumentation_in_this_thread
from otelwarden.core.chain import flush_within, shutdown_within
from otelwarden.core.deadline import Deadline
from otelwarden.core.errors import ConfigError, Fault
from otelwarden.core.events import Signal
from otelwarden.core.fairqueue import FairQueue
from otelwarden.core.fork import run_in_child_after_fork
from otelwarden.core.runtime import Runtime
from otelwarden.core.size import measured
from otelwarden.core.state import Item

_T = TypeVar("_T")
_ItemT = TypeVar("_ItemT", bound=Item)

COMPONENT: Final = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How finished items are batched. The defaults are those of the SDK's batch span processor."""

    max_queue_size: int = 2048
    """Items held at most (default = 2048)."""
    max_queue_bytes: int = 64 << 20
    """Bytes held at most, by `size_of` (default = 64 MiB)."""
    max_export_batch_size: int = 512
    """Items in a batch at most (default = 512)."""
    schedule_delay: float = 5.0
    """Seconds until an incomplete batch is exported (default = 5)."""

    def __post_init__(self) -> None:
        faults = [
            Fault(pointer=f"/{name}", message="not positive", given=getattr(self, name), allowed="greater than 0")
            for name in ("max_queue_size", "max_queue_bytes", "max_export_batch_size", "schedule_delay")
            if not getattr(self, name) > 0
        ]
        if self.max_export_batch_size > self.max_queue_size:
            faults.append(
                Fault(
                    pointer="/max_export_batch_size",
                    message="larger than the queue",
                    given=self.max_export_batch_size,
                    allowed=f"at most max_queue_size, which is {self.max_queue_size}",
                )
            )
        if faults:
            raise ConfigError(faults)


class Batcher(Generic[_ItemT]):
    """Holds items in a fair queue and exports them in batches from a thread of its own.

    The thread is started by the first item and rebuilt after a fork. Everything that may block (exporting, flushing and
    shutting down the exporter) happens in it, so whoever waits can stop waiting at its deadline.

    Args:
        exporter: flushed and shut down by the thread.
        export: exports a batch; False, or raising, means that it was lost.
    """

    def __init__(
        self,
        exporter: SpanExporter | LogRecordExporter,
        export: Callable[[Sequence[_ItemT]], bool],
        signal: Signal,
        *,
        config: BatchConfig,
        runtime: Runtime,
    ) -> None:
        self._exporter = exporter
        self._export = export
        self._config = config
        self._runtime = runtime
        self.errors = runtime.errors(COMPONENT)
        self._ledger = runtime.ledger(COMPONENT, signal, held=self._held)
        self._accounts = self._ledger.accounts
        self._batch_size = config.max_export_batch_size
        self._shut_down = False  # and so it stays in a forked child: the exporter was shut down too
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        """A fresh start, as in a forked child: what its parent queued is its parent's to export."""
        config = self._config
        self._queue: FairQueue[_ItemT] = FairQueue(max_items=config.max_queue_size, max_bytes=config.max_queue_bytes)
        self._in_flight: Mapping[str, int] = {}
        # Reentrant: the collector may run a finalizer that ends a span, and a signal handler may log, while this thread
        # holds the lock. The queue is not: what such a one puts while it is being changed is set aside.
        self._lock = threading.RLock()
        self._busy = False
        self._set_aside: deque[tuple[_ItemT, str, int]] = deque()
        self._changed = threading.Condition(self._lock)
        # Held while the thread has no reason to wake up, released to wake it. An Event has a lock inside that is not
        # reentrant, so a finalizer that woke the thread while it is being woken would wait for itself.
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self._worker: threading.Thread | None = None
        self._abandoned = False
        self._flushes_wanted = 0
        self._flushes_done = 0
        self._flush_ok = True
        self._deadline: Deadline | None = None

    def _held(self) -> dict[str, int]:
        with self._lock:
            held = self._alone(self._queue.held)
            for _, tenant, _ in self._set_aside.copy():
                held[tenant] = held.get(tenant, 0) + 1
            for tenant, count in self._in_flight.items():
                held[tenant] = held.get(tenant, 0) + count
            return held

    def _alone(self, work: Callable[[], _T]) -> _T:
        """What `work` answers; nothing changes the queue meanwhile, not even a finalizer in this thread."""
        with self._lock:
            busy, self._busy = self._busy, True
            try:
                return work()
            finally:
                self._busy = busy

    # --- the application's side

    def put(self, item: _ItemT, tenant: str) -> None:
        """Queues an item; never blocks, never raises."""
        try:
            size = measured(item)
        except Exception as error:  # a value of the application's own class: what cannot be measured is not held
            self.errors.record("size_of", error)
            self._accounts[tenant].received.tick()
            self._drop({tenant: 1}, "error")
            return
        self._accounts[tenant].received.tick()
        queue = self._queue
        with self._lock:
            if self._shut_down:
                gone: Sequence[tuple[str, _ItemT]] = ((tenant, item),)
            elif self._busy:
                gone = self._put_aside(item, tenant, size)
            else:
                self._busy = True
                try:
                    gone = queue.put(item, tenant, size)
                finally:
                    self._busy = False
        if gone:
            self._drop_put(gone, size)
        if self._worker is None and not self._shut_down:
            self._start()
        if queue.count >= self._batch_size and self._asleep.locked():
            self._wake()

    def _put_aside(self, item: _ItemT, tenant: str, size: int) -> Sequence[tuple[str, _ItemT]]:
        if len(self._set_aside) >= self._batch_size:
            return ((tenant, item),)
        self._set_aside.append((item, tenant, size))
        return ()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # awake already
            self._asleep.release()

    def _drop_put(self, gone: Sequence[tuple[str, _ItemT]], size: int) -> None:
        if self._shut_down:
            reason = "already_shutdown"
        else:
            reason = "queue_full" if size <= self._config.max_queue_bytes else "too_large"
        for tenant, _ in gone:
            self._drop({tenant: 1}, reason)

    def refuse(self, tenant: str, reason: str) -> None:
        """Accounts for an item that is not queued."""
        account = self._ledger.account(tenant)
        account.received.tick()
        account.dropped(reason).tick()

    def _drop(self, tenants: Mapping[str, int], reason: str) -> None:
        self._count_drop(tenants, reason)
        self._tell_drop(tenants, reason)

    def _count_drop(self, tenants: Mapping[str, int], reason: str) -> None:
        for tenant, count in tenants.items():
            self._ledger.account(tenant).dropped(reason).add(count)

    def _tell_drop(self, tenants: Mapping[str, int], reason: str) -> None:
        """Tells the observers; never under the lock, as one may wait for a thread that puts."""
        for tenant, count in tenants.items():
            self._runtime.emit(COMPONENT, "drop", reason, tenant=tenant, signal=self._ledger.signal, count=count)

    def flush(self, deadline: Deadline) -> bool:
        """Exports what is queued now and flushes the exporter; whether all of it went well in time."""
        with self._changed:
            if self._shut_down:
                return False
            if threading.current_thread() is self._worker:
                return False  # an exporter that flushes its own processor would wait for itself
            pending = self._deadline if self._flushes_done < self._flushes_wanted else None
            self._flushes_wanted += 1
            wanted = self._flushes_wanted
            # Those who wait are served together, in the time of the most patient; each stops waiting at its own.
            if pending is None or pending.remaining < deadline.remaining:
                self._deadline = deadline
        self._start()
        self._wake()
        with self._changed:
            while self._flushes_done < wanted and not deadline.expired:
                self._changed.wait(deadline.remaining)
            return self._flushes_done >= wanted and self._flush_ok

    def shutdown(self, deadline: Deadline) -> None:
        """Exports what is queued and shuts the exporter down; what is left at the deadline is dropped and counted."""
        with self._changed:
            if self._shut_down:
                return
            self._shut_down = True
            self._deadline = deadline
        if not self._start():
            self._finish(deadline)
        elif (worker := self._worker) is not None and worker is not threading.current_thread():
            self._wake()
            worker.join(deadline.remaining)
        with self._changed:
            self._abandoned = True
            left = self._held()
            self._count_drop(left, "shutdown_timeout")
            self._alone(lambda: self._queue.take(self._queue.count))
            self._set_aside.clear()
            self._in_flight = {}
        self._tell_drop(left, "shutdown_timeout")

    # --- the thread's side

    def _start(self) -> bool:
        """Makes sure that the thread runs; False when the interpreter lets no thread start any more."""
        with self._lock:
            if self._worker is not None:
                return True
            worker = threading.Thread(
                target=self._work, name=f"otelwarden-{COMPONENT}-{self._ledger.signal}", daemon=True
            )
            if self._worker is not None:  # a signal handler came in between
                return True
            self._worker = worker  # before it starts, for the same reason
            try:
                worker.start()
            except RuntimeError as error:
                self._worker = None
                self.errors.record("start", error)
                return False
            return True

    def _work(self) -> None:
        suppress_instrumentation_in_this_thread()
        delay = min(self._config.schedule_delay, threading.TIMEOUT_MAX)
        while not self._shut_down:
            timed_out = not self._asleep.acquire(timeout=delay)
            try:
                self._export_queued(everything=timed_out)
                self._serve_flushes()
                if self._waiting() >= self._batch_size:
                    self._wake()
            except BaseException as error:  # whatever it is, without this thread nothing leaves any more
                self.errors.record("work", error)
        self._finish(self._deadline or Deadline(0))

    def _waiting(self) -> int:
        """How many items are queued, those included that were set aside before."""
        while self._set_aside:
            with self._lock:
                item, tenant, size = self._set_aside.popleft()
                gone = self._alone(lambda: self._queue.put(item, tenant, size))  # noqa: B023
            if gone:
                self._drop_put(gone, size)
        return self._queue.count

    def _export_queued(self, *, everything: bool) -> None:
        """Exports full batches, and at the end of the schedule delay the incomplete one too.

        Whoever waits for a flush comes first: where items come faster than they leave, this would never end.
        """
        least = 1 if everything else self._batch_size
        waiting = self._waiting()
        while waiting >= least and not self._abandoned and self._flushes_wanted == self._flushes_done:
            exported = sum(self._export_batch()[0].values())
            if not exported:
                return
            waiting = waiting - exported if everything else self._waiting()

    def _serve_flushes(self) -> None:
        self._waiting()
        with self._changed:
            wanted, deadline = self._flushes_wanted, self._deadline
            if wanted == self._flushes_done or deadline is None:
                return
            waiting = self._alone(self._queue.held)
        well = True
        # Tenants are served in turn, so a newer item of one may leave before an older one of another.
        while any(count > 0 for count in waiting.values()) and not deadline.expired and not self._abandoned:
            taken, exported = self._export_batch()
            well = well and exported
            # What is no longer held had to go for newer items.
            held = self._alone(self._queue.held)
            waiting = {
                tenant: min(count - taken.get(tenant, 0), held.get(tenant, 0)) for tenant, count in waiting.items()
            }
        flushed = not deadline.expired and flush_within(self._exporter, deadline, self.errors)
        with self._changed:
            self._flushes_done, self._flush_ok = wanted, well and flushed
            self._changed.notify_all()

    def _finish(self, deadline: Deadline) -> None:
        while self._waiting() and not deadline.expired and not self._abandoned:
            if not self._export_batch()[0]:
                break
        with self._changed:
            self._flushes_done, self._flush_ok = self._flushes_wanted, not self._queue.count
            self._changed.notify_all()
        shutdown_within(self._exporter, deadline, self.errors)

    def _export_batch(self) -> tuple[Mapping[str, int], bool]:
        """Takes a batch and exports it; how many items of each tenant it had, and whether it was exported."""
        with self._lock:
            batch, tenants = self._alone(lambda: self._queue.take(self._batch_size))
            self._in_flight = tenants
        if not batch:
            return tenants, True
        lost = ""
        try:
            lost = "" if self._export(batch) else "export_failed"
        except BaseException as error:  # the thread must go on: asyncio's CancelledError is no Exception
            self.errors.record("export", error)
            lost = "export_error"
        with self._lock:
            if self._abandoned:
                return tenants, False  # too late: counted as lost at the deadline
            self._in_flight = {}
            if lost:
                self._count_drop(tenants, lost)
            else:
                for tenant, count in tenants.items():
                    self._ledger.account(tenant).forwarded.add(count)
        if lost:
            self._tell_drop(tenants, lost)
        return tenants, not lost
