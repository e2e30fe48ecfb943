from __future__ import annotations

from otelwarden.core import SIGNALS, GovernanceEvent


def test_an_event_of_nothing_in_particular() -> None:
    event = GovernanceEvent(7, "tenancy", "reload", "changed")
    assert event._asdict() == {
        "time_ns": 7,
        "component": "tenancy",
        "action": "reload",
        "reason": "changed",
        "tenant": "",
        "signal": "",
        "count": 1,
        "trace_id": 0,
        "span_id": 0,
        "config_digest": "",
        "target": "",
        "actor": "",
    }
    assert event.count == 1


def test_events_are_values() -> None:
    event = GovernanceEvent(7, "quota", "drop", "rate", count=3)
    assert event == GovernanceEvent(7, "quota", "drop", "rate", count=3)
    assert {event, event._replace(count=4)} == {event, event._replace(count=4)}


def test_there_are_three_signals() -> None:
    assert SIGNALS == ("traces", "logs", "metrics")
