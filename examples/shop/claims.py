"""What the demo claims, each with what is wrong with it: held against what was sent and what arrived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from accounts import Accounts, Snapshot
from evidence import Evidence, file_bytes, find_canaries, wire_bytes
from load import VISITORS, Sent

from otelwarden.audit import Status, Verdict
from otelwarden.testing import FaultyReceiver


class Claim(NamedTuple):
    """Something that is said to be so."""

    text: str
    fault: str
    """What is wrong with it; empty when it holds."""


@dataclass(slots=True)
class Failover:
    """The death of the first receiver, in nanoseconds since the Unix epoch; 0 for what did not happen."""

    killed: int = 0
    noticed: int = 0
    """The first of the services sent telemetry to the second receiver from then on."""
    accepted: int = 0
    """The second receiver had its first batch."""

    def after(self, moment: int) -> str:
        """Milliseconds from the kill to a moment, for people."""
        return f"{(moment - self.killed) / 1e6:,.0f} ms"

    def measure(self, snapshots: Iterable[Snapshot], secondary: FaultyReceiver) -> None:
        """Finds out when what happened, from what the services and the second receiver say."""
        changes = [change for snapshot in snapshots for change in snapshot["changes"]]
        self.noticed = min((each["time_ns"] for each in changes if each["action"] == "failover"), default=0)
        taken = (request.time_ns for request in secondary.requests() if request.accepted and request.body)
        self.accepted = min((moment for moment in taken if moment >= self.killed), default=0)

    def lines(self, duplicates: int) -> list[str]:
        """How long it took, for people.

        Args:
            duplicates: items that both receivers have.
        """
        if not self.accepted:
            return ["The secondary receiver never got anything."]
        since = (self.accepted - self.noticed) / 1e6 if self.noticed else 0.0
        return [
            f"{self.after(self.accepted)} from the kill to the first batch at the secondary receiver:",
            f"{self.after(self.noticed)} until a batch met the dead primary, {since:.1f} ms from there on.",
            f"{duplicates:,} items came twice: the primary receiver stored them and was killed before it said so."
            if duplicates
            else "No item came twice.",
        ]


def no_canary_left(sent: Sent, receivers: Sequence[FaultyReceiver], *kept: Path) -> Claim:
    """No personal data left the process, by the wire, by the audit trail, or by what compliance keeps."""
    data = [wire_bytes(receiver) for receiver in receivers]
    leaked = find_canaries(b"\n".join(data), sent)
    for path in kept:
        leaked += find_canaries(file_bytes(path), sent)
    size = sum(map(len, data)) / 1e6
    text = f"none of {sent.pieces:,} pieces of personal data is in the {size:.1f} MB on the wire, in trail or report"
    if not sent.canaries:
        return Claim(text, "no personal data was sent, so nothing was tried")
    if not leaked:
        return Claim(text, "")
    (worst, count), *_ = leaked.most_common(1)
    return Claim(
        text, f"personal data left the process, {leaked.total():,} times; most often the {worst}, {count:,} times"
    )


def failed_over(failover: Failover, primary: FaultyReceiver, secondary: FaultyReceiver) -> Claim:
    """Both receivers had their share."""
    text = "telemetry went on to the secondary receiver when the primary was killed"
    if not failover.killed:
        return Claim(text, "the primary receiver was never killed")
    if not primary.requests():
        return Claim(text, "the primary receiver never got anything")
    return Claim(text, "" if failover.accepted else "the secondary receiver never got anything")


def right_tenants(held: Evidence) -> Claim:
    """Items bear the tenant that made them, and none is of a tenant of whom nothing may pass."""
    items = held.unique.total()
    text = f"each of the {items:,} items the receivers hold is tagged with the tenant that made it"
    strangers = {tenant for _, tenant in held.unique} & {each.tenant for each in VISITORS if not each.passes}
    if strangers:
        return Claim(text, f"there are items of {', '.join(sorted(strangers))}, of whom nothing may pass")
    if held.mistagged:
        return Claim(text, f"{len(held.mistagged):,} items bear the wrong tenant, the first: {held.mistagged[0]}")
    return Claim(text, "" if items else "the receivers hold nothing")


def noisy_and_quiet(accounts: Accounts) -> Claim:
    """A noisy tenant is throttled, and a quiet one does not pay for it."""
    noisy = [each.tenant for each in VISITORS if each.note == "noisy"]
    quiet = [each.tenant for each in VISITORS if each.note == "quiet"]
    text = f"{', '.join(noisy)} was throttled, and never {' or '.join(quiet)}"
    for tenant in quiet:
        if count := accounts.flow(tenant).throttled.total():
            return Claim(text, f"{count:,} items of {tenant} were throttled")
    idle = [tenant for tenant in noisy if not accounts.flow(tenant).throttled]
    return Claim(text, f"{idle[0]} was never throttled, though it sends too much" if idle else "")


def nothing_unexplained(accounts: Accounts) -> Claim:
    """The accounting identity: stage by stage, from one stage to the next, and over all of them."""
    total = accounts.total()
    text = "every item received was delivered or dropped for a reason that is told; none was lost"
    if accounts.unaccounted or total.unexplained:
        return Claim(text, f"{max(accounts.unaccounted, abs(total.unexplained)):,} items are unaccounted for")
    if accounts.leaks:
        return Claim(text, accounts.leaks[0])
    if total.lost:
        return Claim(text, f"{total.lost.total():,} items were lost ({', '.join(sorted(total.lost))})")
    if accounts.errors:
        return Claim(text, f"errors were caught: {'; '.join(accounts.errors[:3])}")
    return Claim(text, "")


def delivered_is_held(accounts: Accounts, held: Evidence) -> Claim:
    """The services count as delivered what the receivers hold."""
    count = accounts.delivered.total()
    text = f"the {count:,} items counted as delivered are what the receivers hold, tenant by tenant"
    for key in sorted(accounts.delivered.keys() | held.unique.keys()):
        counted, arrived = accounts.delivered[key], held.unique[key]
        if counted != arrived:
            return Claim(text, f"{' of '.join(key)}: {counted:,} counted, {arrived:,} held")
    return Claim(text, "")


def trail_is_sound(verdict: Verdict) -> Claim:
    """The audit trail is what was written."""
    text = "the audit trail of both services verifies against its witness"
    if len(verdict.streams) < 2:
        return Claim(text, f"{len(verdict.streams)} streams found, expected one of each service")
    faults = [f"{each.status.value}: {each.message}" for each in verdict.streams if each.status is not Status.OK]
    return Claim(text, faults[0] if faults else "")
