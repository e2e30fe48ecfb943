"""The shop's services as processes, started for the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent


class Service:
    """One service in a process of its own, and what an operator may ask it.

    Raises RuntimeError, with what the process wrote, when it does not start.
    """

    def __init__(self, name: str, *, config: Path, data: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = data / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / f"{name}.py"), "--port", "0", "--config", str(config)],
                env={
                    **os.environ,
                    **environment,
                    "OTEL_SERVICE_NAME": name,
                    "SHOP_DATA": str(data),
                },
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        greeting = self._process.stdout.readline().decode().split()
        if not greeting:
            self._process.wait()
            raise RuntimeError(f"{name} did not start:\n{self._log.read_text()}")
        self.url = greeting[-1]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stats(self) -> dict[str, Any]:
        """What its pipelines did so far."""
        return self._ask("GET", "stats")

    def end_pipelines(self) -> dict[str, Any]:
        """Exports what the pipelines hold and ends them; what they did in all."""
        return self._ask("POST", "shutdown")

    def _ask(self, method: str, what: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/governance/{what}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError as error:
            raise RuntimeError(f"{self.name} does not answer ({error}); see {self._log}") from error

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
