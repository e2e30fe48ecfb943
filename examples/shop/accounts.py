"""What the services say they did: the balances of their stages, summed up for people."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

STAGES: Final = ("sampler", "tenancy", "quota", "batch", "redaction", "compliance", "audit", "failover")
"""In the order in which items pass them; metrics have neither sampler nor batch."""

REJECTING: Final = ("tenancy",)
THROTTLING: Final = ("sampler", "quota")

Snapshot = Mapping[str, Any]
"""What `/governance/stats` answers."""


@dataclass(slots=True)
class Flow:
    """What became of the items of one tenant: spans, log records and metric points together."""

    received: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Dropped by tenancy, by reason."""
    throttled: Counter[str] = field(default_factory=Counter)
    """Dropped by quota, by reason."""
    merged: int = 0
    """Metric points that became equal once they were redacted, and were added up."""
    lost: Counter[str] = field(default_factory=Counter)
    """Dropped for any other reason, by stage and reason: nobody wanted that."""
    redacted: int = 0
    """Places in which a rule acted."""
    delivered: int = 0
    held: int = 0

    @property
    def unexplained(self) -> int:
        """Items that nobody accounts for."""
        gone = self.rejected.total() + self.throttled.total() + self.merged + self.lost.total()
        return self.received - gone - self.delivered - self.held


class Accounts:
    """The balances of all services at one moment."""

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self.flows: dict[str, Flow] = {}
        self.rules: dict[tuple[str, str], Counter[str]] = {}
        """Action and rule -> places by signal."""
        self.delivered: Counter[tuple[str, str]] = Counter()
        """Signal and tenant -> items that an endpoint took."""
        self.unaccounted = 0
        self.errors: list[str] = []
        self.leaks: list[str] = []
        """Where one stage received other than the stage before it forwarded."""
        for snapshot in snapshots:
            self._add(snapshot)

    def flow(self, tenant: str) -> Flow:
        """The flow of a tenant; an empty one when nothing came of it."""
        return self.flows.setdefault(tenant, Flow())

    def total(self) -> Flow:
        """All tenants in one."""
        total = Flow()
        for flow in self.flows.values():
            total.received += flow.received
            total.rejected += flow.rejected
            total.throttled += flow.throttled
            total.merged += flow.merged
            total.lost += flow.lost
            total.redacted += flow.redacted
            total.delivered += flow.delivered
            total.held += flow.held
        return total

    def _add(self, snapshot: Snapshot) -> None:
        self.unaccounted += snapshot["unaccounted"]
        for component, errors in snapshot["errors"].items():
            self.errors += [f"{component}: {place} ({count} times)" for place, count in errors.items()]
        chains: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for balance in snapshot["balances"]:
            chains.setdefault((balance["signal"], balance["tenant"]), []).append(balance)
        for (signal, tenant), chain in chains.items():
            chain.sort(key=lambda balance: STAGES.index(balance["component"].partition("/")[0]))
            self._add_chain(signal, tenant, chain)
        for decision in snapshot["decisions"]:
            if decision["component"] == "redaction" and decision["action"] != "drop":
                rule = (decision["action"], decision["reason"])
                self.rules.setdefault(rule, Counter())[decision["signal"]] += decision["count"]
                self.flow(decision["tenant"]).redacted += decision["count"]

    def _add_chain(self, signal: str, tenant: str, chain: list[dict[str, Any]]) -> None:
        flow = self.flow(tenant)
        flow.received += chain[0]["received"]
        for balance in chain:
            component = balance["component"].partition("/")[0]
            flow.held += balance["held"]
            for reason, count in balance["dropped"].items():
                if component in REJECTING:
                    flow.rejected[reason] += count
                elif component in THROTTLING:
                    flow.throttled[reason] += count
                elif component == "redaction" and reason == "merged":
                    flow.merged += count
                elif count:
                    flow.lost[f"{component}: {reason}"] += count
        for before, after in itertools.pairwise(chain):
            if before["forwarded"] != after["received"]:
                self.leaks.append(
                    f"{signal} of {tenant}: {before['component']} forwarded {before['forwarded']:,}, "
                    f"{after['component']} received {after['received']:,}"
                )
        if chain[-1]["component"] == "failover":
            flow.delivered += chain[-1]["forwarded"]
            self.delivered[signal, tenant] += chain[-1]["forwarded"]
