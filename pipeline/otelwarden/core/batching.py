"""Batching for spans and logs: bounded, fair, every loss counted, one deadline, safe to fork."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core._sdk import suppress_instrumentation_in_this_thread
from otelwarden.core.chain import counts_its_losses, flush_within, shutdown_within
from otelwarden.core.copies import detach_log
from otelwarden.core.deadline import Deadline
from otelwarden.core.errors import ConfigError, Fault
from otelwarden.core.events import LOGS, TRACES, Signal
from otelwarden.core.fairqueue import FairQueue
from otelwarden.core.fork import run_in_child_after_fork
from otelwarden.core.protocols import ContextResolver
from otelwarden.core.runtime import Runtime, default_runtime
from otelwarden.core.size import size_of
from otelwarden.core.state import Item, begin_log, end_span

_ItemT = TypeVar("_ItemT", bound=Item)
_RESOLVER: Final = ContextResolver()

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
        self._errors = runtime.errors(COMPONENT)
        self._ledger = runtime.ledger(COMPONENT, signal, held=self._held)
        self._account = self._ledger.account
        self._batch_size = config.max_export_batch_size
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        """A fresh start, as in a forked child: what its parent queued is its parent's to export."""
        config = self._config
        self._queue: FairQueue[_ItemT] = FairQueue(max_items=config.max_queue_size, max_bytes=config.max_queue_bytes)
        self._in_flight: Mapping[str, int] = {}
        # Reentrant: the collector may run a finalizer that ends a span while this thread holds the lock.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._awake = threading.Event()
        self._worker: threading.Thread | None = None
        self._shut_down = False
        self._abandoned = False
        self._flushes_wanted = 0
        self._flushes_done = 0
        self._flush_ok = True
        self._deadline: Deadline | None = None

    def _held(self) -> dict[str, int]:
        with self._changed:
            held = self._queue.held()
            for tenant, count in self._in_flight.items():
                held[tenant] = held.get(tenant, 0) + count
            return held

    # --- the application's side

    def put(self, item: _ItemT, tenant: str) -> None:
        """Queues an item; never blocks, never raises."""
        try:
            size = size_of(item)
        except Exception as error:  # a value of the application's own class: what cannot be measured is not held
            self._errors.record("size_of", error)
            self.refuse(tenant, "error")
            return
        self._account(tenant).received.tick()
        queue = self._queue
        with self._lock:
            if self._shut_down:
                gone: Sequence[tuple[str, _ItemT]] = ((tenant, item),)
            else:
                gone = queue.put(item, tenant, size)
        if gone:
            self._drop_put(gone, size)
        if self._worker is None:
            self._start()
        elif queue.count >= self._batch_size and not self._awake.is_set():
            self._awake.set()

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
        for tenant, count in tenants.items():
            self._ledger.account(tenant).dropped(reason).add(count)
            self._runtime.emit(COMPONENT, "drop", reason, tenant=tenant, signal=self._ledger.signal, count=count)

    def flush(self, deadline: Deadline) -> bool:
        """Exports what is queued now and flushes the exporter; whether all of it went well in time."""
        with self._changed:
            if self._shut_down:
                return False
            if threading.current_thread() is self._worker:
                return False  # an exporter that flushes its own processor would wait for itself
            self._flushes_wanted += 1
            wanted = self._flushes_wanted
            self._deadline = deadline
        self._start()
        self._awake.set()
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
            self._awake.set()
            worker.join(deadline.remaining)
        with self._changed:
            self._abandoned = True
            self._drop(self._held(), "shutdown_timeout")
            self._queue.take(self._queue.count)
            self._in_flight = {}

    # --- the thread's side

    def _start(self) -> bool:
        """Makes sure that the thread runs; False when the interpreter lets no thread start any more."""
        with self._changed:
            if self._worker is not None:
                return True
            worker = threading.Thread(
                target=self._work, name=f"otelwarden-{COMPONENT}-{self._ledger.signal}", daemon=True
            )
            try:
                worker.start()
            except RuntimeError as error:
                self._errors.record("start", error)
                return False
            self._worker = worker
            return True

    def _work(self) -> None:
        suppress_instrumentation_in_this_thread()
        while not self._shut_down:
            timed_out = not self._awake.wait(self._config.schedule_delay)
            self._awake.clear()
            self._export_queued(everything=timed_out)
            self._serve_flushes()
        self._finish(self._deadline or Deadline(0))

    def _export_queued(self, *, everything: bool) -> None:
        """Exports full batches, and at the end of the schedule delay the incomplete one too."""
        least = 1 if everything else self._config.max_export_batch_size
        waiting = self._queue.count
        while waiting >= least and not self._abandoned:
            exported = sum(self._export_batch().values())
            waiting = waiting - exported if everything and exported else self._queue.count

    def _serve_flushes(self) -> None:
        with self._changed:
            wanted, deadline = self._flushes_wanted, self._deadline
            if wanted == self._flushes_done or deadline is None:
                return
            waiting = self._queue.held()
        # Tenants are served in turn, so a newer item of one may leave before an older one of another.
        while any(count > 0 for count in waiting.values()) and not deadline.expired and not self._abandoned:
            taken = self._export_batch()
            if not taken:
                break  # the rest had to go for newer items
            waiting = {tenant: count - taken.get(tenant, 0) for tenant, count in waiting.items()}
        ok = not deadline.expired and flush_within(self._exporter, deadline, self._errors)
        with self._changed:
            self._flushes_done, self._flush_ok = wanted, ok
            self._changed.notify_all()

    def _finish(self, deadline: Deadline) -> None:
        while self._queue.count and not deadline.expired and not self._abandoned:
            self._export_batch()
        with self._changed:
            self._flushes_done, self._flush_ok = self._flushes_wanted, not self._queue.count
            self._changed.notify_all()
        shutdown_within(self._exporter, deadline, self._errors)

    def _export_batch(self) -> Mapping[str, int]:
        """Takes a batch and exports it; how many items of each tenant it had."""
        with self._changed:
            batch, tenants = self._queue.take(self._config.max_export_batch_size)
            self._in_flight = tenants
        if not batch:
            return tenants
        lost = ""
        try:
            lost = "" if self._export(batch) else "export_failed"
        except Exception as error:
            self._errors.record("export", error)
            lost = "export_error"
        with self._changed:
            if self._abandoned:
                return tenants  # too late: counted as lost at the deadline
            self._in_flight = {}
            if lost:
                self._drop(tenants, lost)
            else:
                for tenant, count in tenants.items():
                    self._ledger.account(tenant).forwarded.add(count)
        return tenants


class FairBatchSpanProcessor(SpanProcessor):
    """Batches sampled spans for an exporter, fairly among tenants.

    Args:
        exporter: gets the batches, one at a time, in a thread of the processor's own.
        config: bounds and delays.
    """

    def __init__(
        self, exporter: SpanExporter, *, config: BatchConfig | None = None, runtime: Runtime | None = None
    ) -> None:
        counts = counts_its_losses(exporter)

        def export(batch: Sequence[ReadableSpan]) -> bool:
            return exporter.export(batch) is SpanExportResult.SUCCESS or counts

        self._batcher: Batcher[ReadableSpan] = Batcher(
            exporter, export, TRACES, config=config or BatchConfig(), runtime=runtime or default_runtime()
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Does nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a sampled span."""
        state = end_span(span, _RESOLVER)
        if state.sampled:
            self._batcher.put(span, state.tenant)
        else:
            self._batcher.refuse(state.tenant, "not_sampled")

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Exports what is queued and shuts down the exporter."""
        self._batcher.shutdown(Deadline.after_millis(timeout_millis))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Exports what is queued and flushes the exporter."""
        return self._batcher.flush(Deadline.after_millis(timeout_millis))


class FairBatchLogRecordProcessor(LogRecordProcessor):
    """Batches log records for an exporter, fairly among tenants; the arguments are those of `FairBatchSpanProcessor`.

    The defaults of the SDK's own differ in one thing: logs wait 1 second, not 5.
    """

    def __init__(
        self, exporter: LogRecordExporter, *, config: BatchConfig | None = None, runtime: Runtime | None = None
    ) -> None:
        counts = counts_its_losses(exporter)

        def export(batch: Sequence[ReadableLogRecord]) -> bool:
            return exporter.export(batch) is LogRecordExportResult.SUCCESS or counts

        self._batcher: Batcher[ReadableLogRecord] = Batcher(
            exporter,
            export,
            LOGS,
            config=config or BatchConfig(schedule_delay=1.0),
            runtime=runtime or default_runtime(),
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queues a copy of the record, as later processors may change it."""
        state = begin_log(log_record, _RESOLVER)
        resource = log_record.resource if log_record.resource is not None else Resource.get_empty()
        self._batcher.put(detach_log(log_record, resource), state.tenant)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Exports what is queued and shuts down the exporter."""
        self._batcher.shutdown(Deadline.after_millis(timeout_millis))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Exports what is queued and flushes the exporter."""
        return self._batcher.flush(Deadline.after_millis(timeout_millis))
