"""The file in which a receiver keeps its requests, so that they outlive it.

A record is one `os.write` of `[header length][body length][header as JSON][body]` in front of the answer. What a
process wrote is in the kernel's hands: SIGKILL does not take it back. A record cut off by SIGKILL is at the end of a
file that nobody writes to any more, for each life of the receiver has a file of its own; its reader stops there.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from otelwarden.testing.faults import FaultMode

if TYPE_CHECKING:
    from otelwarden.core.events import Signal

_LENGTHS: Final = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One export request, as it was read from the wire."""

    signal: Signal
    protocol: Literal["grpc", "http"]
    headers: dict[str, str]
    """HTTP headers or gRPC metadata, names in lower case; binary metadata in base64."""
    body: bytes
    """The uncompressed protobuf; empty for a health probe."""
    accepted: bool
    """Whether the receiver kept it: see each `FaultMode`."""
    time_ns: int
    """When it was read, nanoseconds since the Unix epoch."""
    fault: FaultMode | None
    """The fault it met, None when it was served well."""


class JournalWriter:
    """Appends requests to a file; safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def append(self, request: ReceivedRequest) -> None:
        """Hands the request to the kernel before it returns."""
        header = json.dumps(
            {
                "signal": request.signal,
                "protocol": request.protocol,
                "headers": request.headers,
                "accepted": request.accepted,
                "time_ns": request.time_ns,
                "fault": request.fault and request.fault.value,
            }
        ).encode()
        record = memoryview(_LENGTHS.pack(len(header), len(request.body)) + header + request.body)
        with self._lock:
            while record:
                record = record[os.write(self._file, record) :]


class JournalReader:
    """Reads what was appended to a file, from another process and while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[ReceivedRequest]:
        """The whole requests that were appended since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        requests: list[ReceivedRequest] = []
        start = 0
        while len(data) - start >= _LENGTHS.size:
            header_length, body_length = _LENGTHS.unpack_from(data, start)
            body_start = start + _LENGTHS.size + header_length
            end = body_start + body_length
            if end > len(data):
                break
            requests.append(_request(data[start + _LENGTHS.size : body_start], data[body_start:end]))
            start = end
        self._offset += start
        return requests


def _request(header: bytes, body: bytes) -> ReceivedRequest:
    fields = json.loads(header)
    fields["fault"] = fields["fault"] and FaultMode(fields["fault"])
    return ReceivedRequest(body=body, **fields)
