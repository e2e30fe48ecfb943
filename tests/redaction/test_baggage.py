"""Baggage on its way out: what a receiver of the request finds in its headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otelwarden.core import Runtime
from otelwarden.pipeline import configure
from otelwarden.redaction import RedactionBaggagePropagator

STANDARD = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def context_with(**entries: str) -> Context:
    context = set_span_in_context(NonRecordingSpan(SpanContext(1, 2, False, TraceFlags(1))), Context())
    for key, value in entries.items():
        context = baggage.set_baggage(key.replace("_", "."), value, context)
    return context


def sent(propagator: Any, context: Context) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers that leave, and the baggage that whoever receives them finds."""
    headers: dict[str, str] = {}
    propagator.inject(headers, context)
    return headers, dict(baggage.get_all(STANDARD.extract(headers, Context())))


def test_values_are_redacted_and_entries_left_out() -> None:
    runtime = Runtime()
    propagator = RedactionBaggagePropagator(STANDARD, policy=["pii", "secrets"], drop=["internal.*"], runtime=runtime)
    context = context_with(user_mail="jane@example.com", internal_note="x", plan="gold", password="opensesame1")
    headers, found = sent(propagator, context)
    assert found == {"user.mail": "[REDACTED]", "plan": "gold", "password": "[REDACTED]"}
    assert "traceparent" in headers
    assert baggage.get_baggage("user.mail", context) == "jane@example.com"  # in the process it stays
    assert {(d.action, d.reason): n for d, n in runtime.decisions().items()} == {
        ("delete", "baggage"): 1,
        ("replace", "pii"): 1,
        ("replace", "secrets"): 1,
    }


def test_clean_baggage_and_none_leave_as_they_are() -> None:
    propagator = RedactionBaggagePropagator(STANDARD, policy=["pii"], runtime=Runtime())
    assert sent(propagator, context_with(plan="gold"))[1] == {"plan": "gold"}
    assert sent(propagator, Context()) == ({}, {})
    assert propagator.fields == STANDARD.fields
    assert dict(baggage.get_all(propagator.extract({"baggage": "a=jane%40example.com"}, Context()))) == {
        "a": "jane@example.com"
    }


def test_a_key_in_which_something_is_found_is_left_out() -> None:
    propagator = RedactionBaggagePropagator(STANDARD, policy=["secrets"], runtime=Runtime())
    secret = "AKIA" + "IOSFODNN7QXZPLKJ"
    context = baggage.set_baggage(secret, "x", context_with(plan="gold"))
    assert sent(propagator, context)[1] == {"plan": "gold"}


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("jane@example.com")

    __repr__ = __str__


def test_baggage_that_cannot_be_looked_at_is_not_sent() -> None:
    runtime = Runtime()
    propagator = RedactionBaggagePropagator(STANDARD, policy=["pii"], runtime=runtime)
    context = baggage.set_baggage("odd", Unprintable(), context_with(plan="gold"))
    headers, found = sent(propagator, context)
    assert found == {}
    assert "traceparent" in headers
    assert runtime.error_counts() == {"redaction": {"baggage:RuntimeError": 1}}


def test_dropping_needs_no_policy() -> None:
    propagator = RedactionBaggagePropagator(STANDARD, policy=None, drop=["*"], runtime=Runtime())
    assert sent(propagator, context_with(plan="gold", user_mail="jane@example.com"))[1] == {}


@pytest.fixture
def document() -> Iterator[dict[str, Any]]:
    yield {
        "processors": {"redaction": {"baggage": {"redact": True, "drop": ["internal.*"]}}},
        "exporters": {"failover": {"endpoints": [{"url": "http://127.0.0.1:9"}]}},
        "service": {"pipelines": {"traces": {"processors": ["redaction"], "exporters": ["failover"]}}},
    }


def test_by_configuration(document: dict[str, Any], tmp_path: Path) -> None:
    warden = configure(document, set_global=False)
    try:
        context = context_with(user_mail="jane@example.com", internal_note="x", plan="gold")
        assert sent(warden.propagator, context)[1] == {"user.mail": "[REDACTED]", "plan": "gold"}
    finally:
        warden.shutdown(1.0)
    del document["processors"]["redaction"]["baggage"]
    plain = configure(document, set_global=False)
    assert plain.propagator is None
    plain.shutdown(1.0)
