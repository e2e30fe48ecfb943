"""Real processes that share a limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

APP = Path(__file__).parent / "apps" / "worker.py"


class Workers:
    """Processes of `apps/worker.py`.

    Args:
        settings: the quota block of all of them.
        rates: items a second that each offers, 0 for as many as it can.
        quiet: seconds without an item that passed, after which a process ends before its time.
        journal: a directory in which each has a file with a byte for each item that passed.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        rates: list[float],
        seconds: float,
        journal: Path | None = None,
        quiet: float | None = None,
    ) -> None:
        self._journal = journal
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(APP), json.dumps(settings), str(seconds), str(rate)]
                + [str(journal / f"worker-{number}") if journal is not None else ""]
                + ([str(quiet)] if quiet is not None else []),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, rate in enumerate(rates)
        ]
        for process in self.processes:
            self._read(process)

    @staticmethod
    def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
        line = process.stdout.readline()  # type: ignore[union-attr]
        assert line, f"a worker ended with {process.wait()}"
        return json.loads(line)

    def begin(self) -> None:
        for process in self.processes:
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

    def results(self) -> list[dict[str, Any]]:
        """What each found, when its time is over; then all end and give back what they held."""
        found = [self._read(process) for process in self.processes]
        self.end()
        return found

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.stdin.close()  # type: ignore[union-attr]
        for process in self.processes:
            process.wait(timeout=60)
            process.stdout.close()  # type: ignore[union-attr]

    def journalled(self) -> int:
        """What passed so far, also of those that were killed."""
        assert self._journal is not None
        return sum(each.stat().st_size for each in self._journal.glob("worker-*"))

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdin.close()  # type: ignore[union-attr]
            process.stdout.close()  # type: ignore[union-attr]


def passed(results: list[dict[str, Any]]) -> int:
    return sum(sum(result["passed"].values()) for result in results)


def span(results: list[dict[str, Any]]) -> float:
    """Seconds from the first to the last item that passed, all processes together."""
    buckets = [int(bucket) for result in results for bucket in result["passed"]]
    return (max(buckets) - min(buckets) + 1) / 100


def worst_second(results: list[dict[str, Any]]) -> int:
    """The most that passed in any second, all processes together; in steps of 10 ms."""
    buckets: dict[int, int] = {}
    for result in results:
        for bucket, count in result["passed"].items():
            buckets[int(bucket)] = buckets.get(int(bucket), 0) + count
    return max((sum(buckets.get(at + n, 0) for n in range(100)) for at in buckets), default=0)
