"""What a tenant used in a period, as a CloudEvent, and the sum of such events. No SDK and no files in here.

The events follow CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec). An event with the same `source` and
`id` is the same event: whoever reads two of them counts one. The id is made of period, stream (a process, as long as
its clock is not set back), tenant and signal, and what an event says is never changed once it was emitted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from otelwarden.core import Balance
from otelwarden.quota.periods import utc_text
from otelwarden.quota.verdict import OVER_LIMIT

TYPE: Final = "otelwarden.usage.v1"

UsageEvent: TypeAlias = dict[str, Any]

_QUOTA: Final = "quota"
_SAMPLER: Final = "sampler"
_RESERVE: Final = "reserve"
COMPONENTS: Final = (_QUOTA, _SAMPLER, _RESERVE)
"""Whose accounts say what was used."""


class Used(NamedTuple):
    """What one tenant used of one signal."""

    items: int = 0
    """Spans, log records or metric points that quota let pass."""
    bytes: int = 0
    """Their bytes, as `core.size_of` counts them; 0 for metric points."""
    dropped: Mapping[str, int] = {}
    """Items that quota dropped, by reason."""
    dropped_bytes: Mapping[str, int] = {}
    """Their bytes; spans that the sampler dropped have none."""

    def plus(self, other: Used) -> Used:
        """The sum of both."""
        return Used(
            self.items + other.items,
            self.bytes + other.bytes,
            dict(Counter(self.dropped) + Counter(other.dropped)),
            dict(Counter(self.dropped_bytes) + Counter(other.dropped_bytes)),
        )

    def minus(self, other: Used) -> Used:
        """What came after `other`."""
        return Used(
            self.items - other.items,
            self.bytes - other.bytes,
            dict(Counter(self.dropped) - Counter(other.dropped)),
            dict(Counter(self.dropped_bytes) - Counter(other.dropped_bytes)),
        )


NOTHING: Final = Used()

UsageByTenant: TypeAlias = dict[tuple[str, str], Used]
"""Tenant and signal -> what was used."""


def used_so_far(balances: Iterable[Balance], signals: Iterable[str]) -> UsageByTenant:
    """What the accounts of quota and its sampler say."""
    wanted = frozenset(signals)
    found: UsageByTenant = {}
    for balance in balances:
        component = balance.component.partition("/")[0]
        if balance.signal not in wanted or component not in COMPONENTS:
            continue
        if component == _QUOTA:
            used = Used(balance.forwarded, balance.forwarded_bytes, balance.dropped, balance.dropped_bytes)
        else:
            used = Used(dropped={why: count for why, count in balance.dropped.items() if why in OVER_LIMIT})
        key = balance.tenant, str(balance.signal)
        found[key] = found.get(key, NOTHING).plus(used)
    return found


def used_since(now: UsageByTenant, before: UsageByTenant) -> UsageByTenant:
    """What was used between two moments; tenants and signals that used nothing are left out."""
    changes = {key: used.minus(before.get(key, NOTHING)) for key, used in now.items()}
    return {key: used for key, used in changes.items() if used != NOTHING}


def usage_events(
    used: UsageByTenant, *, source: str, stream: str, since: int, until: int, now: float
) -> list[UsageEvent]:
    """The events that tell what was used in a period.

    Args:
        stream: names the process.
        since: begin of the period, in seconds since the Unix epoch; `until` its end.
        now: when the events are made.
    """
    return [
        {
            "specversion": "1.0",
            "id": f"{utc_text(since)}/{stream}/{tenant}/{signal}",
            "source": source,
            "type": TYPE,
            "subject": tenant,
            "time": utc_text(now),
            "datacontenttype": "application/json",
            "data": {
                "tenant": tenant,
                "signal": signal,
                "stream": stream,
                "since": utc_text(since),
                "until": utc_text(until),
                "items": each.items,
                "bytes": each.bytes,
                "dropped": dict(each.dropped),
                "dropped_bytes": dict(each.dropped_bytes),
            },
        }
        for (tenant, signal), each in sorted(used.items())
    ]


@dataclass(slots=True)
class UsageSum:
    """The sum of usage events, each counted once however often it is read.

    Args:
        since: only periods that begin at or after this moment, in ISO 8601 and UTC as in the events; empty for all.
        until: only periods that end at or before this moment.
    """

    since: str = ""
    until: str = ""
    used: UsageByTenant = field(default_factory=dict)
    """What was used, by tenant and signal."""
    events: int = 0
    """Events that were counted."""
    repeated: int = 0
    """Events that had been counted before."""
    contradicting: int = 0
    """Of those, the ones that said something else; the first stays counted. There should be none."""
    unreadable: int = 0
    """Lines that are no such event, such as one that a machine crashed over."""
    _seen: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, event: str | bytes | Mapping[str, Any]) -> None:
        """Counts an event, unless it is outside the bounds or was counted before."""
        try:
            event = json.loads(event) if isinstance(event, (str, bytes)) else event
            key, data, used = _read(event)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.unreadable += 1
            return
        if (self.since and data["since"] < self.since) or (self.until and data["until"] > self.until):
            return
        content = _digest(data)
        if key in self._seen:
            self.repeated += 1
            self.contradicting += self._seen[key] != content
            return
        self._seen[key] = content
        self.events += 1
        whose = data["tenant"], data["signal"]
        self.used[whose] = self.used.get(whose, NOTHING).plus(used)


def _read(event: Any) -> tuple[bytes, dict[str, Any], Used]:
    """Identity, data and usage of an event; raises for anything else."""
    data = event["data"]
    if event["specversion"] != "1.0" or event["type"] != TYPE or not event["id"] or not isinstance(data, dict):
        raise ValueError("another event")
    texts = [event["id"], event["source"], *(data[name] for name in ("tenant", "signal", "since", "until"))]
    if not all(isinstance(each, str) for each in texts):
        raise TypeError("not a text")
    used = Used(data["items"], data["bytes"], data["dropped"], data["dropped_bytes"])
    for number in (used.items, used.bytes, *used.dropped.values(), *used.dropped_bytes.values()):
        if type(number) is not int or number < 0:
            raise ValueError("not a count")
    return _digest([event["source"], event["id"]]), data, used


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
