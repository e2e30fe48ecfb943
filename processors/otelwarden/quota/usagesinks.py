"""Where usage events go: files of JSON lines, or a server that takes CloudEvents over HTTP."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol

import urllib3

from otelwarden.core import Deadline, ErrorCount
from otelwarden.quota.usageconfig import UsageConfig
from otelwarden.quota.usageevents import UsageEvent

MONTHLY: Final = "usage-*.jsonl"
_NEVER: Final = frozenset({400, 413, 415, 422})
"""Answers to an event that will not be taken the next time either."""


class RefusedEventError(Exception):
    """Raised when a server will never take an event: it is given up, counted."""


class DeliveryError(Exception):
    """Raised when a server could not take an event now; it is kept."""


class UsageSink(Protocol):
    """Takes usage events. An extension point."""

    def deliver(self, events: Sequence[UsageEvent], deadline: Deadline) -> int:
        """Hands events over, in order; those that could not be are handed over again later.

        Returns:
            How many, from the first, need not be kept.
        """
        ...


@contextmanager
def lines_locked(path: Path) -> Iterator[int]:
    """A file that is open for appending, while no other process appends to it; yields the descriptor."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)  # and with it the lock


def as_lines(events: Sequence[UsageEvent]) -> bytes:
    """One line of JSON for each event."""
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events).encode()


class FileSink:
    """Appends events to a file for each month in which periods begin, all of a delivery or none.

    Args:
        directory: of the files `usage-2026-11.jsonl` and so on.
    """

    def __init__(self, directory: Path, *, errors: ErrorCount) -> None:
        self._directory = directory
        self._errors = errors

    def deliver(self, events: Sequence[UsageEvent], deadline: Deadline) -> int:
        """See `UsageSink`."""
        done = 0
        for month, group in groupby(events, lambda event: str(event["data"]["since"])[:7]):
            part = list(group)
            try:
                _append(self._directory / MONTHLY.replace("*", month), as_lines(part))
            except OSError as error:
                self._errors.record("usage", error)
                return done
            done += len(part)
        return done


def _append(path: Path, lines: bytes) -> None:
    with lines_locked(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # somebody was killed in the middle of a line
        try:
            written = 0
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)  # the disk is full: half a delivery helps nobody
            raise


class HttpSink:
    """Posts each event as the body of a request (CloudEvents HTTP binding, structured mode).

    An answer of 2xx has taken it. One of 400, 413, 415 or 422 never will, so the event is given up and counted as an
    error; after any other, or none, it is kept and posted again later.
    """

    def __init__(self, config: UsageConfig, *, errors: ErrorCount) -> None:
        self._url = config.url or ""
        self._token_file = config.token_file
        self._timeout = config.timeout
        self._errors = errors

    def deliver(self, events: Sequence[UsageEvent], deadline: Deadline) -> int:
        """See `UsageSink`."""
        done = 0
        try:
            headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", **self._credentials()}
            # A connection of its own for each delivery: an idle one may be dead, or the parent's.
            with urllib3.PoolManager(num_pools=1, maxsize=1, retries=False) as pool:
                for event in events:
                    if deadline.expired:
                        break
                    self._post(pool, event, headers, deadline)
                    done += 1
        except (OSError, ValueError, DeliveryError, urllib3.exceptions.HTTPError) as error:
            self._errors.record("usage", error)
        return done

    def _credentials(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        token = Path(self._token_file).read_text(encoding="utf-8").strip()
        return {"Authorization": f"Bearer {token}"}

    def _post(self, pool: urllib3.PoolManager, event: UsageEvent, headers: dict[str, str], deadline: Deadline) -> None:
        answer: Any = pool.request(
            "POST",
            self._url,
            body=json.dumps(event, separators=(",", ":")).encode(),
            headers=headers,
            timeout=urllib3.Timeout(total=max(0.001, min(self._timeout, deadline.remaining))),
            redirect=False,
        )
        if answer.status in _NEVER:
            self._errors.record("usage", RefusedEventError())
        elif not 200 <= answer.status < 300:
            raise DeliveryError


def read_usage_events(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The lines of a file of usage events, or of all such files of a directory; see `UsageSum`.

    Raises:
        OSError: it cannot be read.
    """
    given = Path(path)
    for each in sorted(given.glob(MONTHLY)) if given.is_dir() else [given]:
        with each.open("rb") as lines:
            yield from (line for line in lines if line.strip())
