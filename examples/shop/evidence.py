"""What the receivers really hold, whatever anybody says: read from the bytes that came over the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from load import CORE, Sent

from otelwarden.testing import FaultyReceiver

TAG: Final = "tenant.id"


class Item(NamedTuple):
    """One thing that was delivered."""

    signal: str
    key: bytes
    """Equal for the same thing delivered twice."""
    trace_id: bytes
    attributes: dict[str, object]
    what: str
    """For people."""


class Evidence:
    """What several receivers hold together.

    Attributes:
        unique: signal and tenant -> different items.
        duplicates: items that came more than once: a receiver was killed after it had stored a batch and before it
            had said so.
        mistagged: items whose tag is missing, or not the tenant whose request made them.
        requests: requests accepted.
        bytes: their length.
    """

    def __init__(self, receivers: Iterable[FaultyReceiver], sent: Sent) -> None:
        self.unique: Counter[tuple[str, str]] = Counter()
        self.duplicates = 0
        self.mistagged: list[str] = []
        self.requests = 0
        self.bytes = 0
        seen: set[bytes] = set()
        for receiver in receivers:
            self.requests += sum(request.accepted and bool(request.body) for request in receiver.requests())
            self.bytes += len(receiver.raw_bytes())
            for item in _items(receiver):
                if item.key in seen:
                    self.duplicates += 1
                    continue
                seen.add(item.key)
                self.unique[item.signal, str(item.attributes.get(TAG))] += 1
                if fault := _tag_fault(item, sent):
                    self.mistagged.append(fault)


def _items(receiver: FaultyReceiver) -> Iterator[Item]:
    for span in receiver.spans():
        yield Item("traces", span.trace_id + span.span_id, span.trace_id, span.attributes, f"span {span.name!r}")
    for record in receiver.log_records():
        key = record.message.SerializeToString(deterministic=True) + str(record.resource).encode()
        yield Item("logs", key, record.trace_id, record.attributes, f"log record {record.body!r}")
    for point in receiver.metrics():
        name = f"{point.resource} {point.scope} {point.name} ".encode()
        key = name + point.point.SerializeToString(deterministic=True)
        yield Item("metrics", key, b"", point.attributes, f"point of {point.name!r}")


def _tag_fault(item: Item, sent: Sent) -> str | None:
    """What is wrong with the tenant of an item; None when nothing is."""
    tag = item.attributes.get(TAG)
    if not tag:
        return f"{item.what} has no {TAG}"
    expected = sent.traces.get(item.trace_id)
    if store := item.attributes.get("store.id"):
        expected = str(store).partition("-")[0]
    if expected is not None and expected != tag:
        return f"{item.what} is tagged {tag!r} and was made by a request of {expected!r}"
    return None


def find_canaries(data: bytes, sent: Sent) -> Counter[str]:
    """Whose canaries are in `data`, and how often; looks at every position, so no form of framing hides one."""
    canaries = sent.canaries
    return Counter(canaries[piece] for at in range(len(data) - CORE + 1) if (piece := data[at : at + CORE]) in canaries)


def wire_bytes(receiver: FaultyReceiver) -> bytes:
    """Everything that a receiver was sent: bodies and headers, of requests that it took and of those it did not."""
    return b"\n".join(
        request.body + b"\n" + repr(sorted(request.headers.items())).encode() for request in receiver.requests()
    )


def file_bytes(directory: Path) -> bytes:
    """Everything in a file, or in the files of a directory."""
    if directory.is_file():
        return directory.read_bytes()
    return b"\n".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def some_texts(receivers: Iterable[FaultyReceiver]) -> list[tuple[str, str]]:
    """A few texts that were delivered, from the places where the shop leaks most: the place, and the text."""
    found: dict[str, str] = {}
    for receiver in receivers:
        for span in receiver.spans():
            texts = {
                **span.attributes,
                **{key: value for event in span.events for key, value in event.attributes.items()},
            }
            for place, text in texts.items():
                if any(mark in str(text) for mark in TELLING.get(place, ())):
                    found.setdefault(place, str(text))
        for record in receiver.log_records():
            if str(record.body).startswith("login"):
                found.setdefault("log body", str(record.body))
    return sorted(found.items())


TELLING: Final = {
    "db.statement": ("INSERT INTO orders",),
    "exception.message": ("declined",),
    "http.request.body": ("card",),
    "http.target": ("token=",),
    "user.email": ("@", "[", "*"),
}
"""Attributes that show what redaction does, and what their texts contain where they do."""
