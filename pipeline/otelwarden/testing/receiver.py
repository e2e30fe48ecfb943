"""A real OTLP receiver in a process of its own that fails on command."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from otelwarden.testing._journal import ReceivedRequest
from otelwarden.testing._process import ReceiverProcess
from otelwarden.testing._received import Received
from otelwarden.testing.faults import Fault
from otelwarden.testing.received import ReceivedLogRecord, ReceivedMetric, ReceivedSpan

_POLL: Final = 0.01  # seconds between two looks of wait_for


class FaultyReceiver:
    """An OTLP receiver for traces, logs and metrics, over gRPC and HTTP/protobuf, that can be made to fail.

    It runs in a process of its own, so that it can be killed or stopped like a real one, and writes every request
    to a file before it answers: what it acknowledged can be read here whatever became of it. Its ports stay the same
    for as long as this object lives, and nobody else gets them while it is down.

        with FaultyReceiver() as receiver:
            exporter = OTLPSpanExporter(receiver.grpc_endpoint, insecure=True)
            ...
            receiver.wait_for_spans(3)
            receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))

    Raises ReceiverError when the process does not start. What reads may be called from any thread; what starts, stops
    or commands the process from one at a time.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="otelwarden-receiver-"))
        self._remove_directory = weakref.finalize(self, _remove, self._directory, os.getpid())
        self._ports = (_reserve_port(), _reserve_port())
        self.grpc_port: int = self._ports[0].getsockname()[1]
        self.http_port: int = self._ports[1].getsockname()[1]
        self._received = Received()
        self._lives = 0
        self._process = self._start()

    def _start(self) -> ReceiverProcess:
        self._lives += 1
        journal = self._directory / f"journal-{self._lives}"
        self._received.follow(journal)
        return ReceiverProcess(
            journal=journal,
            stderr=journal.with_name(f"stderr-{self._lives}"),
            grpc_port=self.grpc_port,
            http_port=self.http_port,
        )

    @property
    def grpc_endpoint(self) -> str:
        """What an OTLP/gRPC exporter takes as its endpoint."""
        return f"http://127.0.0.1:{self.grpc_port}"

    @property
    def http_endpoint(self) -> str:
        """The base of the OTLP/HTTP paths `/v1/traces`, `/v1/logs` and `/v1/metrics`."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def pid(self) -> int:
        """The process id of the present, or last, life."""
        return self._process.pid

    def set_fault(self, fault: Fault | None) -> None:
        """Makes requests from now on meet `fault`; returns when it is in force.

        Raises ReceiverError when the process is frozen (after 10 s) or has ended.
        """
        self._process.set_fault(fault)

    def clear_fault(self) -> None:
        """Makes the receiver well again; requests that hang stay unanswered."""
        self._process.set_fault(None)

    def kill(self) -> None:
        """Ends the process with SIGKILL; connections are cut and connects refused when this returns."""
        self._process.kill()

    def terminate(self) -> None:
        """Ends the process with SIGTERM, on which gRPC says goodbye to its clients."""
        self._process.terminate()

    def freeze(self) -> None:
        """Stops the process with SIGSTOP: connects succeed, nothing is answered."""
        self._process.freeze()

    def thaw(self) -> None:
        """Lets a frozen process go on; it then works on what clients sent meanwhile."""
        self._process.thaw()

    def restart(self) -> None:
        """Starts a new process on the same ports, without a fault; kills the present one if need be."""
        self._process.kill()
        self._process = self._start()

    def close(self) -> None:
        """Ends the process and deletes its files; what it received can still be asked for."""
        self._process.kill()
        self._received.follow(None)
        for port in self._ports:
            port.close()
        self._remove_directory()

    def __enter__(self) -> FaultyReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def requests(self) -> list[ReceivedRequest]:
        """Every request so far in order, those that met a fault included."""
        return self._received.requests()

    def spans(self) -> list[ReceivedSpan]:
        """The spans of all accepted requests."""
        return self._received.spans()

    def span_ids(self) -> list[bytes]:
        """The span ids of all accepted requests, for tests that count what became of very many spans."""
        return self._received.span_ids()

    def log_records(self) -> list[ReceivedLogRecord]:
        """The log records of all accepted requests."""
        return self._received.log_records()

    def metrics(self) -> list[ReceivedMetric]:
        """The data points of all accepted requests."""
        return self._received.metrics()

    def raw_bytes(self) -> bytes:
        """The bodies of all accepted requests in one piece, to search for what should not have been sent."""
        return b"".join(request.body for request in self.requests() if request.accepted)

    def forget(self) -> None:
        """Drops everything received so far, for a receiver that several tests share."""
        self._received.forget()

    def wait_for(self, what: int | Callable[[FaultyReceiver], object], timeout: float = 10.0) -> None:
        """Waits until that many requests were recorded, or until `what(receiver)` is true.

        Raises TimeoutError, saying what was received, after `timeout` seconds.
        """
        if isinstance(what, int):
            self._wait(lambda: len(self.requests()) >= what, f"{what} requests", timeout)
        else:
            self._wait(lambda: what(self), repr(what), timeout)

    def wait_for_spans(self, count: int, timeout: float = 10.0) -> list[ReceivedSpan]:
        """Waits for at least that many spans and returns all; raises TimeoutError after `timeout` seconds."""
        self._wait(lambda: len(self.spans()) >= count, f"{count} spans", timeout)
        return self.spans()

    def wait_for_log_records(self, count: int, timeout: float = 10.0) -> list[ReceivedLogRecord]:
        """Waits for at least that many log records and returns all; raises TimeoutError after `timeout` seconds."""
        self._wait(lambda: len(self.log_records()) >= count, f"{count} log records", timeout)
        return self.log_records()

    def wait_for_metrics(self, count: int, timeout: float = 10.0) -> list[ReceivedMetric]:
        """Waits for at least that many data points and returns all; raises TimeoutError after `timeout` seconds."""
        self._wait(lambda: len(self.metrics()) >= count, f"{count} data points", timeout)
        return self.metrics()

    def _wait(self, condition: Callable[[], object], wanted: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {wanted} within {timeout:g} s; received {self._summary()}")
            time.sleep(_POLL)

    def _summary(self) -> str:
        requests = self.requests()
        accepted = sum(request.accepted for request in requests)
        items = f"{len(self.spans())} spans, {len(self.log_records())} log records, {len(self.metrics())} data points"
        return f"{len(requests)} requests, {accepted} of them accepted, with {items}"


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # not when a fork of the test's process ends
        shutil.rmtree(directory)


def _reserve_port() -> socket.socket:
    """A loopback port of the system's choice, held by a socket that is bound but never listens.

    Connects to it are refused; a socket with SO_REUSEADDR may listen there, but the system gives the port to nobody
    who asks for any port. So it is still ours after the process on it was killed.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
