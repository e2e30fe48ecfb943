"""The parent's end of a receiver process: one object for each life."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import IO, Final

from otelwarden.testing.faults import Fault

_PATIENCE: Final = 10.0  # seconds for the process to start or to obey, on a busy machine


class ReceiverError(RuntimeError):
    """Raised when a receiver's process does not start, has ended, or does not answer a command.

    No OtelwardenError: it speaks of the test, not of the code under test.
    """


class ReceiverProcess:
    """A running receiver; raises ReceiverError when it does not start."""

    def __init__(self, *, journal: Path, stderr: Path, grpc_port: int, http_port: int) -> None:
        command = [sys.executable, "-m", "otelwarden.testing._receiver_process"]
        command += [str(journal), str(grpc_port), str(http_port)]
        self._stderr = stderr
        with stderr.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, bufsize=0
            )
        self._end = weakref.finalize(self, _kill, self._process, os.getpid())
        self._commands = 0
        self._hear()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def set_fault(self, fault: Fault | None) -> None:
        """Returns when the fault is in force; raises ReceiverError when the process cannot obey."""
        self._commands += 1
        command = {"number": self._commands, "fault": None if fault is None else fault.as_dict()}
        try:
            _pipe(self._process.stdin).write(json.dumps(command).encode() + b"\n")
        except (BrokenPipeError, ValueError):  # ValueError: closed on this side
            raise ReceiverError("the receiver has ended; restart() it first") from None
        self._hear()

    def _hear(self) -> None:
        """Waits for the answer to the last command; the process answers command 0 when it is up."""
        answers = _pipe(self._process.stdout)
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        deadline = time.monotonic() + _PATIENCE
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            line = answers.readline()
            if not line:
                raise ReceiverError(f"the receiver has ended: {self._last_words()}")
            if json.loads(line)["number"] == self._commands:  # else of a command that we gave up on
                return
        raise ReceiverError(f"the receiver did not answer within {_PATIENCE:g} s; is it frozen?")

    def _last_words(self) -> str:
        self._process.wait()
        said = self._stderr.read_text(errors="replace").strip()
        return f"exit status {self._process.returncode}, stderr: {said or 'empty'}"

    def kill(self) -> None:
        """Ends it with SIGKILL, whatever its state; its sockets are closed when this returns."""
        self._end()

    def terminate(self) -> None:
        """Ends it with SIGTERM; raises TimeoutExpired when it does not follow."""
        self._process.terminate()
        self.thaw()
        self._process.wait(_PATIENCE)
        self._end()

    def freeze(self) -> None:
        """Stops it with SIGSTOP; returns when every thread of it has stopped."""
        self._process.send_signal(signal.SIGSTOP)
        if self._process.poll() is None:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Lets it go on after `freeze`."""
        self._process.send_signal(signal.SIGCONT)


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork of the test's process ends; the receiver is not its own
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        _pipe(pipe).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # we asked for both
    return pipe
