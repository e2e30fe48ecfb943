"""What both servers of a receiver share: which fault a request meets, and that it is recorded before it is answered."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otelwarden.testing._journal import JournalWriter, ReceivedRequest
from otelwarden.testing.faults import ACCEPTING, Fault, FaultMode

if TYPE_CHECKING:
    from otelwarden.core.events import Signal

GARBAGE: Final = b"\xff" * 32
"""No protobuf message starts like this: a varint has at most 10 bytes."""

SLOW_BODY: Final = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(error_message="nothing was rejected")
).SerializeToString()
"""A valid answer of some length for SLOW_BODY to trickle."""


class Intake:
    """Takes requests in; safe to use from many threads."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left: int | None = None

    def set_fault(self, fault: Fault | None) -> None:
        """Makes the requests from now on meet `fault`, or none."""
        with self._lock:
            self._fault = fault
            self._left = fault.count if fault else None

    def receive(
        self, signal: Signal, protocol: Literal["grpc", "http"], headers: dict[str, str], body: bytes
    ) -> Fault | None:
        """Records a request and says which fault, if any, it shall meet."""
        fault = self._next_fault(signal, len(body))
        self._journal.append(
            ReceivedRequest(
                signal=signal,
                protocol=protocol,
                headers=headers,
                body=body,
                accepted=fault is None or fault.mode in ACCEPTING,
                time_ns=time.time_ns(),
                fault=None if fault is None else fault.mode,
            )
        )
        return fault

    def _next_fault(self, signal: Signal, size: int) -> Fault | None:
        with self._lock:
            fault = self._fault
            if fault is None or self._left == 0 or (fault.signals is not None and signal not in fault.signals):
                return None
            if fault.mode is FaultMode.TOO_LARGE and size <= fault.max_bytes:
                return None
            if self._left is not None:
                self._left -= 1
            return fault


def answer_body(fault: Fault | None) -> bytes:
    """The response message of an answer that says OK. The three signals' messages are the same on the wire."""
    if fault is None:
        return b""
    if fault.mode is FaultMode.GARBAGE:
        return GARBAGE
    if fault.mode is FaultMode.SLOW_BODY:
        return SLOW_BODY
    if fault.mode is FaultMode.PARTIAL:
        partial = ExportTracePartialSuccess(
            rejected_spans=fault.rejected, error_message=f"{fault.rejected} items rejected"
        )
        return ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    return b""


def cut_connections(local_port: int, peer_port: int | None = None) -> None:
    """Cuts this process's connections on `local_port`, or the one with `peer_port`.

    gRPC's Python server has no way to drop a connection, so its sockets are found among the open files.
    """
    for file in Path("/dev/fd").iterdir():
        try:
            if not stat.S_ISSOCK(os.fstat(int(file.name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(file.name))) as connection:
                if connection.getsockname()[1] == local_port and peer_port in (None, connection.getpeername()[1]):
                    connection.shutdown(socket.SHUT_RDWR)
        except (OSError, IndexError):  # closed meanwhile, not connected, or of another family
            continue
