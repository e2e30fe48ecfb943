"""The stored form of an event: one line of JSON in ASCII, described by `audit-event.schema.json`.

The bytes of the line without its line feed are a leaf of the tree. They are never parsed and written again: a
verifier that re-serialises is 15 times dearer and stumbles over numbers and surrogates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from otelwarden.core import Balance, GovernanceEvent

SCHEMA: Final = "otelwarden.audit/1"
"""The version of the format, in the first record of every stream."""

MAX_TEXT: Final = 256
"""Characters of one field of an event; what is longer ends in an ellipsis. Ids of tenants have at most 150."""

MAX_RECORD: Final = 65_535
"""Bytes of one record; C2SP entry bundles hold no longer ones."""

RARE_ACTIONS: Final = frozenset(
    {
        "policy",
        "key",
        "tenant",
        "failover",
        "failback",
        "reload",
        "open",
        "close",
        "erase",
        "reveal",
        "rotate",
    }
)
RARE_PREFIXES: Final = (
    "policy_", "key_", "tenant_", "endpoint_", "reload_", "config_", "witness_", "control_", "finding_", "assessment_"
)  # fmt: skip
RARE_OF_TENANCY: Final = frozenset({"create", "update", "suspend", "activate", "deactivate", "delete"})
"""Rare for tenants; `delete` is also what redaction does to a field, and that is frequent."""

RARE_OF_THE_TRAIL: Final = frozenset({"retire", "hold", "release"})
"""What the trail does with its own records; other components hold and release items, which is frequent."""

HANDED_ON: Final = "handed_on"
"""The reason of an `export` event of a stage that cannot know what became of the items after it."""

_FAILURES: Final = frozenset({"failed", "error", "export_failed", "export_error"})
_MAX_CACHED: Final = 8192
_PART: Final = 48_000  # bytes of balances in one accounting record, below MAX_RECORD with all that is around them

_rare: dict[tuple[str, str], bool] = {}


def is_rare(component: str, action: str) -> bool:
    """Whether a decision is written by itself and at once; all others are coalesced."""
    known = _rare.get((component, action))
    if known is None:
        known = action in RARE_ACTIONS or action.startswith(RARE_PREFIXES)
        known = known or (component == "tenancy" and action in RARE_OF_TENANCY)
        known = known or (component == "audit" and action in RARE_OF_THE_TRAIL)
        if len(_rare) >= _MAX_CACHED:
            _rare.clear()
        _rare[component, action] = known
    return known


def outcome_of(action: str, reason: str) -> str:
    """`audit.outcome` of a decision: `success` means that it was carried out, also where it was a refusal."""
    if reason in _FAILURES or action.endswith("_failed"):
        return "failure"
    return "unknown" if reason == HANDED_ON else "success"


def text(value: object) -> str:
    """A field as JSON text: bounded, ASCII, without lone surrogates, which are no characters."""
    string = value if isinstance(value, str) else str(value)
    if len(string) > MAX_TEXT:
        string = string[: MAX_TEXT - 1] + "…"
    return json.dumps(string.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


class Entry(NamedTuple):
    """What becomes a record, before it has a place in a stream."""

    time_ns: int
    body: bytes
    """The fields after `previous`, as JSON without braces."""


class Encoder:
    """Makes entries of one stream. Events repeat, so their fixed part is kept.

    Args:
        stream: id of the stream.
    """

    def __init__(self, stream: str) -> None:
        self._stream = text(stream)
        self.known: dict[tuple[str, ...], bytes] = {}
        """What `fixed` answered before, by component, action, reason, tenant, signal, digest, target and actor."""

    def fixed(self, event: GovernanceEvent) -> bytes:
        """The part of an event's record that does not change from one of its kind to the next."""
        key = (*event[1:6], *event[9:])
        fixed = self.known.get(key)
        if fixed is None:
            if len(self.known) >= _MAX_CACHED:
                self.known.clear()
            fixed = self.known[key] = self._fixed_part(event)
        return fixed

    def _fixed_part(self, event: GovernanceEvent) -> bytes:
        fields = {
            "actor": event.actor or f"system:{event.component}",
            "component": event.component,
            "action": event.action,
            "outcome": outcome_of(event.action, event.reason),
            "reason": event.reason,
        }
        where = {"tenant": event.tenant, "signal": event.signal, "target": event.target, "config": event.config_digest}
        fields.update((name, value) for name, value in where.items() if value)
        line = f'"stream":{self._stream}' + "".join(f',"{name}":{text(value)}' for name, value in fields.items())
        return line.encode("ascii")

    def event(self, event: GovernanceEvent) -> Entry:
        """The entry of one decision."""
        body = b'%b,"count":%d' % (self.fixed(event), event.count)
        if event.trace_id:
            body += b',"trace_id":"%032x","span_id":"%016x"' % (event.trace_id, event.span_id)
        return Entry(event.time_ns, body)

    def window(self, event: GovernanceEvent, count: int, last_ns: int) -> Entry:
        """The entry of many decisions of one kind, the first of which was `event`."""
        body = b'%b,"count":%d,"window":["%d","%d"]' % (self.fixed(event), count, event.time_ns, last_ns)
        return Entry(last_ns, body)

    def own(self, time_ns: int, action: str, reason: str, *, count: int = 1, config: str = "", **more: Any) -> Entry:
        """The entry of something the trail says about itself; `more` are further fields."""
        entry = self.event(GovernanceEvent(time_ns, "audit", action, reason, count=count, config_digest=config))
        extra = "".join(f',"{name}":{json.dumps(value, separators=(",", ":"))}' for name, value in more.items())
        return entry._replace(body=entry.body + extra.encode("ascii"))

    def accounts(self, time_ns: int, reason: str, balances: Iterable[Balance], *, config: str) -> Iterator[Entry]:
        """The accounting table, in as many entries as it takes."""
        part: list[str] = []
        length = 0
        for account in map(_account, balances):
            if part and length + len(account) > _PART:
                yield self._accounts(time_ns, reason, part, config)
                part, length = [], 0
            part.append(account)
            length += len(account)
        if part:
            yield self._accounts(time_ns, reason, part, config)

    def _accounts(self, time_ns: int, reason: str, part: list[str], config: str) -> Entry:
        entry = self.own(time_ns, "account", reason, count=len(part), config=config)
        return entry._replace(body=b'%b,"balances":[%b]' % (entry.body, ",".join(part).encode("ascii")))


def _account(balance: Balance) -> str:
    dropped = ",".join(f"{text(reason)}:{count:d}" for reason, count in sorted(balance.dropped.items()))
    return (
        f'{{"component":{text(balance.component)},"signal":{text(balance.signal or "")},'
        f'"tenant":{text(balance.tenant)},"received":{balance.received:d},"forwarded":{balance.forwarded:d},'
        f'"dropped":{{{dropped}}},"held":{balance.held:d}}}'
    )
