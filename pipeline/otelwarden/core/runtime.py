"""What the stages of one pipeline share: time, the ledgers, the observers of decisions, the counts of errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from otelwarden.core.accounting import OTHER_TENANTS, Balance, Ledger
from otelwarden.core.clock import SYSTEM_CLOCK, Clock
from otelwarden.core.events import GovernanceEvent, Observer, Signal
from otelwarden.core.failure import ErrorCount, PeriodicLog
from otelwarden.core.fork import run_in_child_after_fork

_logger = logging.getLogger("otelwarden")

MAX_DECISIONS: Final = 65_536

MAX_TELLING_DEPTH: Final = 4
"""How deep observers may bring about decisions that observers are told of."""

TENANT_ATTRIBUTE: Final = "tenant.id"
"""The attribute that tags telemetry with its tenant. Not a standard: semantic conventions define none."""


class Decision(NamedTuple):
    """A kind of decision; how often each was taken is in `Runtime.decisions`."""

    component: str
    action: str
    reason: str
    tenant: str
    signal: str


class Runtime:
    """The surroundings of the stages of one pipeline. Stages made without one share `default_runtime()`.

    Args:
        config_digest: digest of the configuration in force, stamped on every event.
        tenant_attribute: name of the attribute that carries the tenant; on metric points it is all there is.
    """

    def __init__(
        self, *, clock: Clock = SYSTEM_CLOCK, config_digest: str = "", tenant_attribute: str = TENANT_ATTRIBUTE
    ) -> None:
        self.clock = clock
        self.config_digest = config_digest
        self.tenant_attribute = tenant_attribute
        self.log = PeriodicLog(_logger, clock=clock)
        self._time_ns = clock.time_ns
        self._ledgers: dict[str, Ledger] = {}
        self._errors: dict[str, ErrorCount] = {}
        self._observers: tuple[Observer, ...] = ()
        self._telling = threading.local()
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._decisions: dict[Decision, int] = {}

    def ledger(
        self,
        component: str,
        signal: Signal,
        *,
        held: Callable[[], Mapping[str, int]] = dict,
        held_bytes: Callable[[], Mapping[str, int]] = dict,
    ) -> Ledger:
        """A new ledger of this pipeline; a second stage of one component is called `component/2`."""
        with self._lock:
            name, number = component, 1
            while f"{name} {signal}" in self._ledgers:
                number += 1
                name = f"{component}/{number}"
            ledger = self._ledgers[f"{name} {signal}"] = Ledger(name, signal, held=held, held_bytes=held_bytes)
            return ledger

    def errors(self, component: str) -> ErrorCount:
        """The errors of a component, shared by its stages."""
        with self._lock:
            if component not in self._errors:
                self._errors[component] = ErrorCount(component, self.log)
            return self._errors[component]

    def observe(self, observer: Observer) -> None:
        """Tells `observer` of every event from now on."""
        with self._lock:
            self._observers += (observer,)

    def emit(
        self,
        component: str,
        action: str,
        reason: str,
        *,
        tenant: str = "",
        signal: str = "",
        count: int = 1,
        trace_id: int = 0,
        span_id: int = 0,
        target: str = "",
        actor: str = "",
    ) -> None:
        """Counts a decision and tells the observers; see `GovernanceEvent` for the arguments."""
        decision = Decision(component, action, reason, tenant, signal)
        self.tell(decision, count, trace_id, span_id, target, actor)

    def tell(
        self,
        decision: Decision,
        count: int = 1,
        trace_id: int = 0,
        span_id: int = 0,
        target: str = "",
        actor: str = "",
    ) -> None:
        """As `emit`, for who decides often and keeps the kinds of its decisions.

        What an observer itself brings about is counted, and told up to a few levels deep.
        """
        self._count(decision, count)
        if not self._observers:
            return
        event = GovernanceEvent(
            self._time_ns(),
            *decision,
            count,
            trace_id,
            span_id,
            self.config_digest,
            target,
            actor,
        )
        # An observer that logs into a pipeline which drops the record would be told of that, and so on for ever.
        depth = getattr(self._telling, "depth", 0)
        if depth >= MAX_TELLING_DEPTH:
            return
        self._telling.depth = depth + 1
        try:
            for observer in self._observers:
                try:
                    observer(event)
                except Exception as error:
                    self.errors("observer").record("observe", error)
        finally:
            self._telling.depth = depth

    def _count(self, decision: Decision, count: int) -> None:
        with self._lock:
            if decision not in self._decisions:
                if len(self._decisions) >= MAX_DECISIONS:
                    decision = decision._replace(tenant=OTHER_TENANTS)
                # In this form a finalizer or signal handler that decides as well cannot come in between.
                self._decisions.setdefault(decision, 0)
            self._decisions[decision] += count

    def components(self) -> list[str]:
        """The components that have a stage in this pipeline, in the order they came."""
        with self._lock:
            return list(dict.fromkeys(ledger.component for ledger in self._ledgers.values()))

    def balances(self, *components: str) -> list[Balance]:
        """The accounts of every stage, or of the stages of some components."""
        chosen = [
            ledger
            for ledger in list(self._ledgers.values())
            if not components or ledger.component.partition("/")[0] in components
        ]
        return [balance for ledger in chosen for balance in ledger.balances()]

    def decisions(self) -> dict[Decision, int]:
        """How many items, or places in items, each kind of decision was about."""
        with self._lock:
            return dict(self._decisions)

    def error_counts(self) -> dict[str, dict[str, int]]:
        """Errors caught so far: component -> `place:type` -> count."""
        return {name: errors.snapshot() for name, errors in list(self._errors.items())}


_default: Runtime | None = None
_default_lock = threading.RLock()


def default_runtime() -> Runtime:
    """The runtime of stages that are used by hand and were given none."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Runtime()
        return _default
