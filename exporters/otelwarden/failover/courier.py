"""Takes one batch to an endpoint that takes it, or to a drop that is counted. Free of the SDK."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Final

from otelwarden.core import Runtime, Signal
from otelwarden.failover.accounts import Accounts, shares
from otelwarden.failover.batch import Batch, Part
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.hedging import SETTLED, Answer, Hedging
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.queue import BatchQueue
from otelwarden.failover.residency import ResidencyNews
from otelwarden.failover.terms import TenantTerms, Terms
from otelwarden.otlp import TOO_LARGE, Cancellation, Outcome, Verdict, halve

MAX_REFUSED_ROUNDS: Final = 3
"""Rounds after which a batch that every endpoint answers with an error, while they take others, is given up."""

_LEAST_TIMEOUT: Final = 0.001  # seconds


class _Round:
    """One try of a batch at all endpoints.

    Attributes:
        tried: those that did not take it.
        all_answered: whether all of these answered, and with errors of their own.
    """

    __slots__ = ("all_answered", "tried")

    def __init__(self) -> None:
        self.tried: list[PooledEndpoint] = []
        self.all_answered = True


class Courier:
    """Delivers the batches that a queue hands out; used by several threads, each with a batch of its own.

    Args:
        max_age: seconds for all attempts at a batch together, waits included.
        stop: set when everything is called off.
        changed: set when an endpoint may be asked again that could not before.
    """

    def __init__(
        self,
        signal: Signal,
        *,
        pool: EndpointPool,
        queue: BatchQueue,
        terms: TenantTerms,
        accounts: Accounts,
        hedging: Hedging,
        max_age: float,
        runtime: Runtime,
        stop: Cancellation,
        changed: threading.Event,
    ) -> None:
        self._signal: Signal = signal
        self._pool = pool
        self._queue = queue
        self._terms = terms
        self._accounts = accounts
        self._hedging = hedging
        self._max_age = max_age
        self._now_ns = runtime.clock.monotonic_ns
        self._log = runtime.log
        self._residency = ResidencyNews(signal, runtime)
        self._stop = stop
        self._changed = changed

    def deliver(self, batch: Batch) -> None:
        """Takes a batch as far as it gets now: to its end, or back to the queue."""
        this_round = _Round()
        while batch.parts:
            if self._stop.cancelled or self._queue.wants_back(batch):
                self._queue.put_down(batch)
                return
            terms = self._terms.of(batch.tenants, batch.bound)
            left = self._max_age - (self._now_ns() - batch.born_ns) / 1e9
            if reason := terms.fault or ("" if left > 0 else self._why_expired(batch, terms)):
                self.drop(batch, reason)
            elif terms.restricts and self._queue.join(batch, terms):
                return
            elif reason := self._queue.load(batch):
                self.drop(batch, reason)
            elif (endpoint := self._pool.select(this_round.tried, self._outbound(batch, terms))) is not None:
                if self._make_ready(batch, endpoint):
                    self._try(batch, terms, endpoint, this_round, left)
            elif self._set_aside(batch, terms, this_round, left):
                return
            else:
                this_round = _Round()

    def drop(self, batch: Batch, reason: str) -> None:
        """Gives a batch up."""
        tenants = batch.tenants
        with self._accounts.entry():
            if self._queue.drop(batch):
                self._accounts.dropped(tenants, reason)

    def _outbound(self, batch: Batch, terms: Terms) -> Outbound:
        body = batch.parts[0].body
        return Outbound(
            self._signal,
            body,
            terms,
            as_items=batch.items is not None and not batch.divided,
            as_bytes=bool(body) or batch.encode is not None,
        )

    def _why_expired(self, batch: Batch, terms: Terms) -> str:
        anywhere = not terms.restricts or self._pool.permits(Outbound(self._signal, terms=terms, as_items=True))
        return "expired" if anywhere else "no_allowed_endpoint"

    def _make_ready(self, batch: Batch, endpoint: PooledEndpoint) -> bool:
        """Encodes a batch for an endpoint that takes bytes; False when that left nothing of it."""
        if endpoint.endpoint.exporter is not None or batch.encode is None:
            return True
        encode, batch.encode = batch.encode, None
        part, lost = encode()
        with self._accounts.entry():
            if self._queue.replace(batch, part) and lost:
                batch.items = None  # not all of them are there any more
                self._accounts.dropped(lost, "encoding")
        if not part.tenants:
            self._queue.drop(batch)
        return bool(batch.parts)

    def _try(self, batch: Batch, terms: Terms, endpoint: PooledEndpoint, this_round: _Round, left: float) -> None:
        """Sends the first part of a batch, to one endpoint or to two."""
        part, items, headers = batch.parts[0], batch.items, dict(terms.headers)

        def send(endpoint: PooledEndpoint, cancellation: Cancellation) -> Outcome:
            timeout = max(_LEAST_TIMEOUT, min(endpoint.endpoint.timeout, left))
            if endpoint.endpoint.exporter is not None:
                return endpoint.transport.send_items(items, timeout=timeout, cancellation=cancellation)
            return endpoint.transport.send(
                self._signal, part.body, headers=headers, timeout=timeout, cancellation=cancellation
            )

        # A second endpoint gets what is there: nothing is encoded for it.
        outbound = replace(self._outbound(batch, terms), as_bytes=bool(part.body))
        answers = self._hedging.send(send, outbound, endpoint, this_round.tried, self._stop)
        settled = bool(answers) and answers[-1].outcome.verdict in SETTLED
        for answer in answers:
            if answer.outcome.unconfirmed:
                self._pool.judge.mark_unconfirmed(answer.endpoint, part.items)
            if answer.outcome.verdict in SETTLED:
                self._settle(batch, part, answer)
            elif answer.outcome.verdict is not Verdict.CANCELLED:
                self._note_failure(answer, this_round, cut_short=left < answer.endpoint.endpoint.timeout)
            elif settled and answer.endpoint is endpoint:
                self._pool.judge.mark_overtaken(answer.endpoint, self._signal)

    def _note_failure(self, answer: Answer, this_round: _Round, *, cut_short: bool) -> None:
        endpoint, outcome = answer
        this_round.tried.append(endpoint)
        answered = outcome.answered and outcome.verdict is Verdict.ENDPOINT_FAULT
        this_round.all_answered = this_round.all_answered and answered
        if cut_short and outcome.code in ("timeout", "DEADLINE_EXCEEDED") and not outcome.answered:
            return  # it was the batch that ran out of time
        self._pool.judge.mark_failed(endpoint, outcome, self._signal)
        self._log.warning(
            f"failover {endpoint.endpoint.label} {outcome.code}",
            "failover: %s did not take %s: %s %s",
            endpoint.endpoint.label,
            self._signal,
            outcome.code,
            outcome.message,
        )

    def _settle(self, batch: Batch, part: Part, answer: Answer) -> None:
        """Accounts for an answer that is the end of a part of the batch."""
        endpoint, outcome = answer
        if outcome.verdict is Verdict.DELIVERED:
            self._pool.judge.mark_delivered(endpoint, outcome, part.items)
            with self._accounts.entry():
                if self._queue.settle(batch):
                    self._accounts.delivered(part.tenants, outcome.rejected)
            if outcome.message or outcome.rejected:
                self._log.warning(
                    f"failover {endpoint.endpoint.label} partial",
                    "failover: %s rejected %d items: %s",
                    endpoint.endpoint.label,
                    outcome.rejected,
                    outcome.message,
                )
            return
        halves = halves_of(self._signal, part) if outcome.reason == TOO_LARGE else []
        self._pool.judge.mark_refused(endpoint, outcome, 0 if halves else part.items)
        if halves:
            self._queue.split(batch, halves)
            return
        with self._accounts.entry():
            if self._queue.settle(batch):
                self._accounts.dropped(part.tenants, outcome.reason)

    def _set_aside(self, batch: Batch, terms: Terms, this_round: _Round, left: float) -> bool:
        """What to do with a batch that nobody took; whether the queue has it again, or has lost it."""
        outbound = self._outbound(batch, terms)
        if not self._pool.is_busy(outbound, this_round.tried) and self._is_poison(batch, this_round):
            self.drop(batch, "refused")
            return True
        pause = min(self._pool.pause(outbound), max(0.0, left))
        if terms.restricts:
            # Others may go where this one may not: it must not hold them up.
            if not self._pool.permits(outbound):
                self._residency.tell(batch.tenants)
            with self._accounts.entry():
                self._accounts.lost(self._queue.park(batch, terms, pause))
            return True
        with self._accounts.entry():
            lost = self._queue.give_back(batch)
            if lost is not None:
                self._accounts.lost(lost)
                return True
        self._changed.wait(pause)
        self._changed.clear()
        return False

    def _is_poison(self, batch: Batch, this_round: _Round) -> bool:
        """Whether it is the batch and not the endpoints: they answer it with errors again and again, but take others.

        Without this, one batch that makes a receiver fail would hold up all that comes after it for `max_age`.
        """
        if not this_round.tried or not this_round.all_answered:
            batch.refused_rounds = 0
            return False
        if batch.refused_rounds == 0:
            batch.first_refused_ns = self._now_ns()
        batch.refused_rounds += 1
        return batch.refused_rounds >= MAX_REFUSED_ROUNDS and any(
            endpoint.succeeded_at_ns > batch.first_refused_ns for endpoint in this_round.tried
        )


def halves_of(signal: Signal, part: Part) -> list[Part]:
    """A request that is too large, in two; none when it has a single item.

    Whose items are in which half the bytes do not tell; tenants are divided in proportion, which is exact in sum.
    """
    halves = halve(signal, part.body)
    if not halves:
        return []
    (first, count), (second, other) = halves
    of_first = shares(part.items * count // (count + other), part.tenants)
    of_second = {tenant: left for tenant, all_ in part.tenants.items() if (left := all_ - of_first.get(tenant, 0))}
    return [Part(first, of_first), Part(second, of_second)]
