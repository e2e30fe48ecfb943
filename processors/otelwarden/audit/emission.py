"""A stored record as the fields of a log record, in the `audit.*` vocabulary of OpenTelemetry's draft of an audit
signal (specification pull request 5059). No standard yet: what it has no word for is called `otelwarden.*`.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from otelwarden.audit.merkle import leaf_hash
from otelwarden.audit.records import SCHEMA

EVENT_NAME: Final = "otelwarden.audit.record"

_DIRECT: Final = {
    "action": "audit.action",
    "outcome": "audit.outcome",
    "target": "audit.target.id",
    "sequence": "audit.sequence.number",
    "stream": "audit.sequence.stream_id",
    "previous": "audit.sequence.previous_hash",
    "component": "otelwarden.component",
    "reason": "otelwarden.reason",
    "signal": "otelwarden.signal",
    "count": "otelwarden.count",
    "config": "otelwarden.config.digest",
}


class Emission(NamedTuple):
    """What a log record says of a record of the trail."""

    time_ns: int
    body: str
    """The line as it is stored: with `audit.integrity.value` it can be held against the trail, or a proof."""
    attributes: dict[str, Any]
    failed: bool
    """Whether the decision was not carried out."""
    trace_id: int
    span_id: int


def emission_of(line: bytes, *, tenant_attribute: str) -> Emission:
    """The fields of one record.

    Args:
        line: as it is stored, without its line feed.
        tenant_attribute: name of the attribute that carries the tenant.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the line is no record.
    """
    record: dict[str, Any] = json.loads(line)
    kind, _, actor = record["actor"].partition(":")
    attributes: dict[str, Any] = {
        "audit.record.id": f"{record['stream']}/{record['sequence']}",
        "audit.schema.version": SCHEMA,
        "audit.actor.type": kind,
        "audit.actor.id": actor,
        "audit.integrity.algorithm": "sha256",
        "audit.integrity.value": leaf_hash(line).hex(),
    }
    attributes.update((name, record[field]) for field, name in _DIRECT.items() if field in record)
    if "tenant" in record:
        attributes[tenant_attribute] = record["tenant"]
    if "window" in record:
        attributes["otelwarden.window"] = tuple(record["window"])
    if (record["component"], record["action"]) == ("audit", "close"):
        attributes["audit.sequence.end"] = True
    return Emission(
        time_ns=int(record["time"]),
        body=line.decode("ascii"),
        attributes=attributes,
        failed=record["outcome"] == "failure",
        trace_id=int(record.get("trace_id", "0"), 16),
        span_id=int(record.get("span_id", "0"), 16),
    )
