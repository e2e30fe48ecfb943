"""The process of a `FaultyReceiver`: `python -m otelwarden.testing._receiver_process JOURNAL GRPC_PORT HTTP_PORT`.

Commands come as JSON lines on stdin, each answered by a line on stdout. It ends when stdin does, that is when the
process that started it has gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from otelwarden.testing._intake import Intake
from otelwarden.testing._journal import JournalWriter
from otelwarden.testing._receiver_grpc import GrpcServer
from otelwarden.testing._receiver_http import HttpServer
from otelwarden.testing.faults import Fault, FaultMode

_OPEN_PATIENCE: Final = 2.0  # seconds for the port of an earlier life to become free


class _Receiver:
    def __init__(self, journal: Path, grpc_port: int, http_port: int) -> None:
        self._intake = Intake(JournalWriter(journal))
        self._servers = (GrpcServer(self._intake, grpc_port), HttpServer(self._intake, http_port))
        self._is_open = False

    def set_fault(self, fault: Fault | None) -> None:
        """Returns when the fault is in force."""
        refuse = fault is not None and fault.mode is FaultMode.REFUSE
        self._intake.set_fault(None if refuse else fault)
        if refuse:
            self.close()
        else:
            self.open()

    def open(self) -> None:
        if not self._is_open:
            for server in self._servers:
                _with_patience(server.open)
        self._is_open = True

    def close(self) -> None:
        if self._is_open:
            for server in self._servers:
                server.close()
        self._is_open = False


def _with_patience(open_port: Callable[[], None]) -> None:
    deadline = time.monotonic() + _OPEN_PATIENCE
    while True:
        try:
            return open_port()
        except (OSError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _answer(number: int) -> None:
    print(json.dumps({"number": number}), flush=True)


def main(journal: str, grpc_port: str, http_port: str) -> None:
    """Serves until stdin ends or SIGTERM comes."""
    # In a process group of its own, Ctrl-C in a terminal is left to the test run; and should that die while this
    # process is stopped, the kernel wakes and ends the orphaned group.
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    receiver = _Receiver(Path(journal), int(grpc_port), int(http_port))
    receiver.open()
    _answer(0)
    try:
        for line in sys.stdin:
            command = json.loads(line)
            receiver.set_fault(command["fault"] and Fault.from_dict(command["fault"]))
            _answer(command["number"])
    finally:
        receiver.close()


if __name__ == "__main__":
    exit_code = 0
    try:
        main(*sys.argv[1:])
    except Exception:
        traceback.print_exc()
        exit_code = 1
    except SystemExit:
        pass
    # Requests that hang hold threads which a normal exit would wait for.
    os._exit(exit_code)
