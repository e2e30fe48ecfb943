"""When an endpoint does not answer for a while, the same batch goes to the next one too; the first answer counts."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from otelwarden.core import ErrorCount, run_in_child_after_fork, suppress_instrumentation_in_this_thread
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pool import EndpointPool
from otelwarden.otlp import Cancellation, Outcome, Verdict

SETTLED: Final = (Verdict.DELIVERED, Verdict.DATA_FAULT)
"""What ends a batch, whatever another endpoint says."""

Send = Callable[[PooledEndpoint, Cancellation], Outcome]
"""Sends the batch to an endpoint."""


class Answer(NamedTuple):
    """What an endpoint said to a batch."""

    endpoint: PooledEndpoint
    outcome: Outcome


class Hedging(Protocol):
    """Sends a batch to one endpoint, or to two."""

    def send(
        self,
        send: Send,
        outbound: Outbound,
        endpoint: PooledEndpoint,
        tried: Sequence[PooledEndpoint],
        cancellation: Cancellation,
    ) -> list[Answer]:
        """What became of it: at most one answer that settles the batch, which is the last.

        Args:
            endpoint: the one that was chosen.
            tried: those that are not to be asked.
            cancellation: ends all of it.
        """
        ...


class NoHedging:
    """One endpoint at a time."""

    def send(
        self,
        send: Send,
        outbound: Outbound,
        endpoint: PooledEndpoint,
        tried: Sequence[PooledEndpoint],
        cancellation: Cancellation,
    ) -> list[Answer]:
        """See `Hedging.send`."""
        return [Answer(endpoint, send(endpoint, cancellation))]


class _Race:
    """One batch on its way to one endpoint, and perhaps to a second."""

    def __init__(
        self, send: Send, outbound: Outbound, first: PooledEndpoint, tried: Sequence[PooledEndpoint], pool: EndpointPool
    ) -> None:
        self._send = send
        self._outbound = outbound
        self._first = first
        self._tried = [*tried, first]
        self._pool = pool
        self._changed = threading.Condition()
        self._running = {first: Cancellation()}
        self._answers: list[Answer] = []
        self.decided = False

    def run(self) -> list[Answer]:
        """Sends to the first endpoint; returns when nothing is under way any more."""
        self._attempt(self._first, self._running[self._first])
        with self._changed:
            self.decided = True  # no second one starts from now on
            self._changed.wait_for(lambda: not self._running)
        return sorted(self._answers, key=lambda answer: answer.outcome.verdict in SETTLED)[: self._enough()]

    def _enough(self) -> int:
        # Both may have taken it. Which one is counted does not matter, but one is.
        settled = sum(answer.outcome.verdict in SETTLED for answer in self._answers)
        return len(self._answers) - max(0, settled - 1)

    def hedge(self) -> None:
        """Sends to a second endpoint, unless there is an answer by now or nobody fit to ask."""
        second = self._pool.select(self._tried, self._outbound)
        cancellation = Cancellation()
        with self._changed:
            if second is None or not second.usable or self.decided:
                self._pool.give_up()
                return
            self._running[second] = cancellation
        self._pool.judge.mark_hedged()
        self._attempt(second, cancellation)

    def _attempt(self, endpoint: PooledEndpoint, cancellation: Cancellation) -> None:
        outcome: Outcome | None = None
        try:
            outcome = self._send(endpoint, cancellation)
        finally:
            with self._changed:
                del self._running[endpoint]
                if outcome is not None:
                    self._answers.append(Answer(endpoint, outcome))
                    self.decided = self.decided or outcome.verdict in SETTLED
                others = list(self._running.values()) if self.decided else []
                self._changed.notify_all()
            for other in others:
                other.cancel()

    def cancel(self) -> None:
        """Calls off all of it."""
        with self._changed:
            self.decided = True
            running = list(self._running.values())
        for cancellation in running:
            cancellation.cancel()


class HedgedSending:
    """Hedges after a time; one thread waits for all of them, and each that is needed gets one of its own.

    Args:
        after: seconds after which a batch goes to a second endpoint; None while that is not known.
    """

    def __init__(self, pool: EndpointPool, after: Callable[[], float | None], errors: ErrorCount) -> None:
        self._pool = pool
        self._after = after
        self._errors = errors
        self._order = itertools.count()
        self._start_over()
        run_in_child_after_fork(self._start_over)

    def _start_over(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Race]] = []
        self._thread: threading.Thread | None = None

    def send(
        self,
        send: Send,
        outbound: Outbound,
        endpoint: PooledEndpoint,
        tried: Sequence[PooledEndpoint],
        cancellation: Cancellation,
    ) -> list[Answer]:
        """See `Hedging.send`."""
        race = _Race(send, outbound, endpoint, tried, self._pool)
        after = self._after()
        if after is not None:
            self._schedule(race, time.monotonic() + after)
        with cancellation.interrupting(race.cancel):
            return race.run()

    def _schedule(self, race: _Race, due: float) -> None:
        with self._changed:
            heapq.heappush(self._due, (due, next(self._order), race))
            if self._thread is None:
                self._thread = self._started(self._watch)
            elif self._due[0][2] is race:
                self._changed.notify()

    def _started(self, target: Callable[[], None]) -> threading.Thread | None:
        thread = threading.Thread(target=target, name="otelwarden-failover-hedge", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter ends, or has no more threads: then nothing is hedged
            self._errors.record("start_thread", error)
            return None
        return thread

    def _watch(self) -> None:
        """Ends when nothing is under way, so that an idle process has no thread."""
        while True:
            with self._changed:
                while self._due and self._due[0][2].decided:
                    heapq.heappop(self._due)
                if not self._due:
                    self._thread = None
                    return
                seconds = self._due[0][0] - time.monotonic()
                if seconds > 0:
                    self._changed.wait(seconds)
                    continue
                race = heapq.heappop(self._due)[2]
            self._started(lambda race=race: self._hedge(race))  # type: ignore[misc]

    def _hedge(self, race: _Race) -> None:
        suppress_instrumentation_in_this_thread()
        try:
            race.hedge()
        except Exception as error:
            self._errors.record("hedge", error)
