"""Where rules archive items as they came: a directory of bounded files, or processors of the SDK."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace import SpanProcessor

from otelwarden.core import LOGS, METRICS, TRACES, ConfigError, Fault, Signal, run_in_child_after_fork
from otelwarden.redaction.actions import HitFacts, Keys
from otelwarden.redaction.tokens import Encrypt

_SEGMENTS: Final = 8
_ENCODERS: Final[dict[Signal, Callable[[Any], Any]]] = {
    TRACES: lambda item: encode_spans([item]),
    LOGS: lambda item: encode_logs([item]),
    METRICS: encode_metrics,
}


class ItemArchive(Protocol):
    """Keeps items as they came."""

    def keep(self, signal: Signal, item: Any) -> None:
        """Keeps an item; quick, and bounded in what it holds. What it raises is counted, and the item goes its way.

        Args:
            item: a span, a log record, or a `MetricsData` with the points in question.
        """
        ...


class ProcessorArchive:
    """Hands archived items to processors of the SDK, which batch them and hand them to an exporter.

    Args:
        spans: gets archived spans; None to keep none.
        logs: gets archived log records.
        metrics: gets archived points.
    """

    def __init__(
        self,
        *,
        spans: SpanProcessor | None = None,
        logs: LogRecordProcessor | None = None,
        metrics: Callable[[MetricsData], object] | None = None,
    ) -> None:
        self._keep: dict[Signal, Callable[[Any], object]] = {}
        if spans is not None:
            self._keep[TRACES] = spans.on_end
        if logs is not None:
            self._keep[LOGS] = logs.on_emit
        if metrics is not None:
            self._keep[METRICS] = metrics

    def keep(self, signal: Signal, item: Any) -> None:
        """Hands the item on."""
        keep = self._keep.get(signal)
        if keep is None:
            raise LookupError(f"no archive for {signal}")
        keep(item)


class FileArchive:
    """Appends archived items to files, a line of OTLP JSON each; the oldest file goes when there is too much.

    An encrypted line is a token that `otelwarden reveal` reads.

    Args:
        path: a directory, made for its owner alone when it is missing; several processes may share it.
        max_bytes: what the files may take in all.
        keys: None to write in clear.

    Raises:
        ConfigError: the directory cannot be made or written to, or there is no key to encrypt with.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int = 100 << 20, keys: Keys | None = None) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._keys = keys
        file = os.fspath(path)
        if keys is not None and keys.ring is None:
            message = "an archive holds what redaction removes, so it is encrypted, and there is no key"
            raise ConfigError([Fault(file=file, message=message, allowed="key_file or key_env, or `encrypt: false`")])
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._path, os.W_OK | os.X_OK):
                raise PermissionError(13, "permission denied")
        except OSError as error:
            fault = Fault(file=file, message=f"nothing can be archived here: {error.strerror or error}")
            raise ConfigError([fault]) from None
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._segment: Path | None = None
        self._size = 0

    def keep(self, signal: Signal, item: Any) -> None:
        """Appends the item.

        Raises:
            OSError: the disk takes no more.
        """
        line = json.dumps(MessageToDict(_ENCODERS[signal](item)), separators=(",", ":"))
        if self._keys is not None:
            line = Encrypt().apply(line, HitFacts(keys=self._keys))
        data = line.encode() + b"\n"
        with self._lock:
            if self._segment is None or self._size + len(data) > self._max_bytes // _SEGMENTS:
                self._make_room(len(data))
                self._segment = self._path / f"{time.time_ns():020}-{os.getpid()}.jsonl"
                self._size = 0
            descriptor = os.open(self._segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
            self._size += len(data)

    def _make_room(self, size: int) -> None:
        """Removes the oldest files, of whichever process, until another one fits."""
        files = sorted(self._path.glob("*.jsonl"))
        sizes = [file.stat().st_size for file in files]
        total = sum(sizes) + max(size, self._max_bytes // _SEGMENTS)
        for file, freed in zip(files, sizes, strict=True):
            if total <= self._max_bytes:
                return
            file.unlink(missing_ok=True)
            total -= freed


def archives_fault(needed: frozenset[str], given: frozenset[str]) -> list[Fault]:
    """What is wrong when rules name archives that are not there."""
    allowed = ", ".join(sorted(given)) or "no archive is configured"
    message = "a rule archives to a place that is not there"
    return [Fault(message=message, given=name, allowed=allowed) for name in sorted(needed - given)]
