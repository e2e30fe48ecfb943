"""A witness that is asked over HTTP (c2sp.org/tlog-witness), by a thread of its own: the writer does not wait."""

from __future__ import annotations

import queue
import random
import threading
import time
from pathlib import Path
from typing import Final

import urllib3

from otelwarden.audit.checkpoints import Checkpoint, split_notes
from otelwarden.audit.merkle import Frontier, consistency_ranges, leaf_hash
from otelwarden.audit.reading import Pruned, pieces_between
from otelwarden.audit.witness_protocol import PATH, write_request
from otelwarden.core import (
    ConfigError,
    Fault,
    Runtime,
    run_in_child_after_fork,
    suppress_instrumentation_in_this_thread,
)

TIMEOUT: Final = 5.0
"""Seconds for one request."""

_FIRST_WAIT: Final = 0.5  # seconds after the first failure; doubled for each further one
_LONGEST_WAIT: Final = 30.0
_PATIENCE_NS: Final = 60_000_000_000
_REFUSALS: Final = {403: "key_unknown", 409: "other_history", 422: "other_history"}
THREAD_NAME: Final = "otelwarden-witness"


class Refused(Exception):
    """Raised when a witness refuses for good what it was shown: asking again would change nothing."""


class HttpWitness:
    """Shows a witness the newest checkpoint of a stream, until it has signed it.

    The newest one alone: it stands for all before it. What the witness refuses as another history than it has seen is
    a decision `witness_refused` in the trail, and so is a witness that could not be reached for a whole minute.

    Args:
        url: the prefix of the witness, `https://...`; `/add-checkpoint` is added.
        trail: the trail's directory; the records that a proof needs are read from it.
        runtime: hears of refusals.

    Raises:
        ConfigError: the URL is none.
    """

    def __init__(self, url: str, *, trail: Path, runtime: Runtime) -> None:
        parsed = urllib3.util.parse_url(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigError([Fault(message="the witness is no URL", given=url, allowed="https://host/prefix")])
        self.url = url.rstrip("/")
        self._trail = trail
        self._runtime = runtime
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._newest: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._streams: dict[str, Frontier] = {}
        self._refused: set[str] = set()
        self._failing_since: int | None = None
        self._told = False
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)

    def __call__(self, note: bytes) -> None:
        """Takes a signed note; returns at once."""
        self._idle.clear()
        self._newest.put(note)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Whether everything taken so far is settled, signed or refused, within `timeout` seconds."""
        return self._idle.wait(max(0.0, timeout))

    def _run(self) -> None:
        suppress_instrumentation_in_this_thread()
        note: bytes | None = None
        failures = 0
        while True:
            note = self._next(note, failures)
            try:
                self._show(note)
            except Refused as refused:
                self._runtime.emit("audit", "witness_refused", str(refused), target=self.url)
            except Exception as error:  # unreachable, or an answer that is none: later
                failures += 1
                self._runtime.errors("audit").record("witness", error)
                self._tell_unreachable()
                continue
            self._tell_reached()
            note, failures = None, 0
            if self._newest.empty():
                self._idle.set()

    def _next(self, note: bytes | None, failures: int) -> bytes:
        """The newest note there is; with a failed one in hand, after a while."""
        if note is None:
            note = self._newest.get()
        else:
            longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failures - 1, 16))
            time.sleep(random.uniform(0.5, 1.0) * longest)  # noqa: S311 - spreads load, keeps no secret
        while not self._newest.empty():
            note = self._newest.get()
        return note

    def _tell_unreachable(self) -> None:
        now = self._runtime.clock.monotonic_ns()
        if self._failing_since is None:
            self._failing_since = now
        elif not self._told and now - self._failing_since >= _PATIENCE_NS:
            self._told = True
            self._runtime.emit("audit", "witness_unreachable", "failed", target=self.url)

    def _tell_reached(self) -> None:
        if self._told:
            self._runtime.emit("audit", "witness_reached", "answered", target=self.url)
        self._failing_since, self._told = None, False

    def _show(self, note: bytes) -> None:
        """Returns when the witness has signed; raises Refused, or anything else when it should be asked again."""
        checkpoint = Checkpoint.parse(split_notes(note).notes[0].text)
        if checkpoint.stream in self._refused:
            return
        seen = self._streams.get(checkpoint.stream, Frontier())
        grown, status, body = self._ask(checkpoint, seen, note)
        if status == 409 and (known := _size(body)) is not None and known <= checkpoint.size and known != seen.size:
            # It has signed more or less than we know: its answer was lost, or it lost what it had.
            seen, _ = self._grow(checkpoint.stream, Frontier(), known)
            grown, status, body = self._ask(checkpoint, seen, note)
        if status in _REFUSALS:
            self._refused.add(checkpoint.stream)
            raise Refused(_REFUSALS[status])
        if status != 200:
            raise ConnectionError(f"the witness answered {status}")
        self._streams = {checkpoint.stream: grown}

    def _ask(self, checkpoint: Checkpoint, seen: Frontier, note: bytes) -> tuple[Frontier, int, bytes]:
        """The tree of the checkpoint, and the status and body of the witness's answer."""
        grown, proof = self._grow(checkpoint.stream, seen, checkpoint.size)
        if grown.root() != checkpoint.root:
            self._refused.add(checkpoint.stream)
            raise Refused("records_changed")
        answer = self._pool.request(
            "POST", self.url + PATH, body=write_request(seen.size, proof, note), timeout=TIMEOUT, redirect=False
        )
        return grown, answer.status, answer.data

    def _grow(self, stream: str, seen: Frontier, size: int) -> tuple[Frontier, list[bytes]]:
        """The tree of `size` records, which continues `seen`, and the proof that it does."""
        ranges = consistency_ranges(seen.size, size) if 0 < seen.size < size else []
        beyond = {span: Frontier() for span in ranges if span[0] >= seen.size}
        grown = seen.copy()
        for piece in pieces_between(self._trail / stream, seen.size, size):
            if isinstance(piece, Pruned):
                for (first, end), tree in beyond.items():
                    if first <= piece.first and piece.end <= end:
                        tree.graft(piece.leaves, piece.root)
                grown.graft(piece.leaves, piece.root)
                continue
            leaves = [leaf_hash(line) for line in piece]
            for (first, end), tree in beyond.items():
                tree.extend(leaves[max(0, first - grown.size) : max(0, end - grown.size)])
            grown.extend(leaves)
        proof = [beyond[span].root() if span in beyond else seen.subtree(span[1] - span[0]) for span in ranges]
        return grown, proof


def _size(body: bytes) -> int | None:
    text = body.strip()
    return int(text) if text.isdigit() and len(text) < 20 else None
