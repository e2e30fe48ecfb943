"""The growing collection of what a receiver was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from otelwarden.testing._journal import JournalReader, ReceivedRequest
from otelwarden.testing.received import (
    ReceivedLogRecord,
    ReceivedMetric,
    ReceivedSpan,
    decode_log_records,
    decode_metrics,
    decode_span_ids,
    decode_spans,
)

if TYPE_CHECKING:
    from otelwarden.core.events import Signal

_Item = TypeVar("_Item")


class Received:
    """Follows the journals of a receiver's lives; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._journal: JournalReader | None = None
        self._requests: list[ReceivedRequest] = []
        self._spans = _Decoded("traces", decode_spans)
        self._span_ids = _Decoded("traces", decode_span_ids)
        self._log_records = _Decoded("logs", decode_log_records)
        self._metrics = _Decoded("metrics", decode_metrics)

    def follow(self, journal: Path | None) -> None:
        """Reads the rest of the present journal and turns to the next."""
        with self._lock:
            self._read()
            self._journal = None if journal is None else JournalReader(journal)

    def forget(self) -> None:
        """Drops everything received so far."""
        with self._lock:
            self._read()
            self._requests.clear()
            for decoded in (self._spans, self._span_ids, self._log_records, self._metrics):
                decoded.clear()

    def requests(self) -> list[ReceivedRequest]:
        with self._lock:
            self._read()
            return list(self._requests)

    def spans(self) -> list[ReceivedSpan]:
        return self._items(self._spans)

    def span_ids(self) -> list[bytes]:
        return self._items(self._span_ids)

    def log_records(self) -> list[ReceivedLogRecord]:
        return self._items(self._log_records)

    def metrics(self) -> list[ReceivedMetric]:
        return self._items(self._metrics)

    def _read(self) -> None:
        if self._journal is not None:
            self._requests += self._journal.read()

    def _items(self, decoded: _Decoded[_Item]) -> list[_Item]:
        with self._lock:
            self._read()
            return decoded.items(self._requests)


class _Decoded(Generic[_Item]):
    """The items of one signal, each request decoded once: tests that wait ask a hundred times a second."""

    def __init__(self, signal: Signal, decode: Callable[[ReceivedRequest], Iterator[_Item]]) -> None:
        self._signal = signal
        self._decode = decode
        self.clear()

    def clear(self) -> None:
        self._position = 0
        self._items: list[_Item] = []

    def items(self, requests: list[ReceivedRequest]) -> list[_Item]:
        for request in requests[self._position :]:
            if request.accepted and request.signal == self._signal:
                self._items += self._decode(request)
        self._position = len(requests)
        return list(self._items)
