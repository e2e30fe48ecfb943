"""Every action at work on every place of the three signals, through the real SDK."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otelwarden.core import Runtime, total
from otelwarden.redaction import (
    BLOCKED,
    FixedKeyRing,
    Keys,
    RedactionLogRecordExporter,
    RedactionMetricReader,
    RedactionOptions,
    RedactionPolicy,
    RedactionSpanExporter,
    Redactor,
    SubjectKeyDirectory,
    read_token,
)

SECRET = "jane.doe@leak.example"
RING = FixedKeyRing({"k1": bytes(range(32))})

ACTIONS: dict[str, dict[str, Any]] = {
    "mask": {"mask": {"keep_last": 2}},
    "mask with a text": {"mask": {"text": "***"}},
    "replace": {"replace": {"text": "<{entity}>"}},
    "hash": {"hash": {}},
    "pseudonymise": {"pseudonymise": {"period": "month"}},
    "encrypt": {"encrypt": {}},
    "encrypt per subject": {"encrypt": {"per_subject": True}},
    "generalise": {"generalise": {}},
    "delete": {"delete": {}},
    "block": {"block": {}},
}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(RING, SubjectKeyDirectory(tmp_path / "persons", ring=RING))


def policy_with(tmp_path: Path, *rules: dict[str, Any], **more: Any) -> RedactionPolicy:
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps({"rules": list(rules), **more}), encoding="utf-8")
    return RedactionPolicy.load(path)


def rule(action: dict[str, Any], name: str = "mail", **match: Any) -> dict[str, Any]:
    return {"id": name, "match": match or {"entities": ["EMAIL"]}, "action": action}


def resource() -> Resource:
    return Resource({"owner": SECRET, f"of {SECRET}": "x", "admins": [SECRET, "x"]}, f"https://x/{SECRET}")


SCOPE: Any = (f"lib {SECRET}", f"1 {SECRET}", f"https://schema/{SECRET}", {"team": SECRET})


def spans(policy: RedactionPolicy, options: RedactionOptions, runtime: Runtime, *, clean: bool) -> bytes:
    """A span with the secret in every place, as it leaves."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({}) if clean else resource())
    exporter = RedactionSpanExporter(memory, policy=policy, options=options, runtime=runtime)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    remote = SpanContext(1, 2, True, TraceFlags(1), TraceState([("vendor", SECRET)]))
    span = (provider.get_tracer("t") if clean else provider.get_tracer(*SCOPE)).start_span(
        f"GET {SECRET}",
        context=set_span_in_context(NonRecordingSpan(remote)),
        attributes={"user.id": "u-17", "a": f"to {SECRET}!", SECRET: "key", "l": [SECRET, "x"], "b": SECRET.encode()},
        links=[Link(remote, {"who": SECRET, SECRET: 1})],
    )
    span.add_event(f"login {SECRET}", {"who": SECRET, SECRET: 1})
    span.set_status(Status(StatusCode.ERROR, f"no {SECRET}"))
    span.end()
    return encode_spans(memory.get_finished_spans()).SerializeToString()


def logs(policy: RedactionPolicy, options: RedactionOptions, runtime: Runtime, *, clean: bool) -> bytes:
    """Records with the secret in every place, as they leave."""
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=Resource({}) if clean else resource())
    exporter = RedactionLogRecordExporter(memory, policy=policy, options=options, runtime=runtime)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("t") if clean else provider.get_logger(*SCOPE)
    for body in (f"to {SECRET}", {"deep": [{"er": SECRET}], SECRET: 1}, SECRET.encode()):
        attributes = {"user.id": "u-17", "who": SECRET, SECRET: 1, "nested": {"a": [SECRET]}}
        record = LogRecord(
            timestamp=1_700_000_000_000_000_000,
            body=body,
            severity_text=f"WARN {SECRET}",
            event_name=f"login {SECRET}",
            attributes=attributes,
        )
        logger.emit(record)
    return encode_logs(memory.get_finished_logs()).SerializeToString()


def metrics(policy: RedactionPolicy, options: RedactionOptions, runtime: Runtime, *, clean: bool) -> bytes:
    """Points with the secret in every place, as they leave."""
    memory = InMemoryMetricReader()
    reader = RedactionMetricReader(memory, policy=policy, options=options, runtime=runtime)
    provider = MeterProvider([reader], Resource({}) if clean else resource(), AlwaysOnExemplarFilter())
    meter = provider.get_meter("t") if clean else provider.get_meter(*SCOPE)
    meter.create_counter("count", "12.3.4.5", f"by {SECRET}").add(1, {"user.id": "u-17", "who": SECRET, SECRET: "x"})
    meter.create_histogram("latency").record(3.5, {"who": f"to {SECRET}"})
    meter.create_gauge("heat").set(1, {"who": SECRET})
    data = memory.get_metrics_data()
    return b"" if data is None else encode_metrics(data).SerializeToString()


SIGNALS = {"traces": (spans, 1), "logs": (logs, 3), "metrics": (metrics, 3)}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())
@pytest.mark.parametrize("signal", SIGNALS)
def test_every_action_in_every_place(tmp_path: Path, keys: Keys, signal: str, action: dict[str, Any]) -> None:
    make, _ = SIGNALS[signal]
    runtime = Runtime()
    message = make(policy_with(tmp_path, rule(action)), RedactionOptions(keys=keys), runtime, clean=False)
    assert SECRET.encode() not in message
    ((name, _),) = action.items()
    assert runtime.error_counts() == {"redaction": {}}
    made = {decision.action for decision in runtime.decisions()}
    assert made == ({"block", "drop"} & made if name == "block" else {name} | (made & {"drop"}))
    balance = total(runtime.balances(), "redaction")
    assert balance.unaccounted == 0
    assert name == "block" or message
    if name == "block":
        assert (message, balance.forwarded) == (b"", 0)


@pytest.mark.parametrize("signal", SIGNALS)
def test_block_drops_and_counts_items(tmp_path: Path, signal: str) -> None:
    make, number = SIGNALS[signal]
    runtime = Runtime()
    message = make(policy_with(tmp_path, rule({"block": {}})), RedactionOptions(), runtime, clean=True)
    assert message == b""
    assert dict(total(runtime.balances(), "redaction").dropped) == {"blocked": number}
    assert {(d.action, d.reason) for d in runtime.decisions()} == {("block", "mail"), ("drop", "blocked")}


def test_other_items_of_a_batch_pass(tmp_path: Path) -> None:
    memory, runtime = InMemorySpanExporter(), Runtime()
    exporter = RedactionSpanExporter(memory, policy=policy_with(tmp_path, rule({"block": {}})), runtime=runtime)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for text in ("fine", SECRET, "fine as well"):
        provider.get_tracer("t").start_span("x", attributes={"a": text}).end()
    assert [dict(s.attributes or {})["a"] for s in memory.get_finished_spans()] == ["fine", "fine as well"]


@pytest.mark.parametrize("signal", SIGNALS)
def test_audit_tells_and_leaves(tmp_path: Path, signal: str) -> None:
    make, _ = SIGNALS[signal]
    runtime = Runtime()
    message = make(policy_with(tmp_path, rule({"audit": {}})), RedactionOptions(), runtime, clean=True)
    assert SECRET.encode() in message
    assert b"[REDACTED]" not in message
    assert sum(runtime.decisions().values()) >= 3
    assert {d.action for d in runtime.decisions()} == {"audit"}


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_dry_run_tells_and_changes_nothing(tmp_path: Path, signal: str) -> None:
    make, _ = SIGNALS[signal]
    wet, dry, untouched = Runtime(), Runtime(), Runtime()
    policy = policy_with(tmp_path, rule({"delete": {}}))
    would = RedactionPolicy.load(tmp_path / "policy.yaml", dry_run=True)
    make(policy, RedactionOptions(), wet, clean=False)
    message = make(would, RedactionOptions(), dry, clean=False)
    none = policy_with(tmp_path, rule({"delete": {}}, detectors=["slack_token"]))
    plain = make(none, RedactionOptions(), untouched, clean=False)
    assert message.count(SECRET.encode()) == plain.count(SECRET.encode()) > 3
    assert total(dry.balances(), "redaction").dropped == {}
    assert {d.action for d in dry.decisions()} == {"would_delete"}
    assert sum(dry.decisions().values()) == sum(n for d, n in wet.decisions().items() if d.action == "delete")


def test_a_dry_run_does_not_disarm_what_is_in_force(tmp_path: Path) -> None:
    trial = {**rule({"audit": {}}, "trial"), "priority": 9}
    trial["action"] = {"delete": {}}
    policy = policy_with(tmp_path, rule({"replace": {"text": "X"}}), {**trial, "dry_run": True})
    text, redaction = Redactor(policy).look_at_text(f"to {SECRET}")
    assert text == "to X"
    assert redaction is not None
    assert {r.told_as: n for r, n in redaction.counts.items()} == {"replace": 1, "would_delete": 1}


def look(policy: RedactionPolicy, text: str, keys: Keys | None = None, **more: Any) -> str:
    return Redactor(policy, keys=keys or Keys(RING)).redact_text(text, **more)


def test_hashes_are_equal_for_equal_hits_and_keyed(tmp_path: Path) -> None:
    policy = policy_with(tmp_path, rule({"hash": {"length": 20}}))
    one = look(policy, f"{SECRET} {SECRET} bob@leak.example").split()
    assert one[0] == one[1] != one[2]
    assert re.fullmatch(r"hash\.k1\.[0-9a-f]{20}", one[0])
    other = Keys(FixedKeyRing({"k1": bytes(32)}))
    assert look(policy, SECRET, other) != one[0]
    rotated = Keys(FixedKeyRing({"k1": bytes(range(32)), "k2": bytes(32)}))
    assert look(policy, SECRET, rotated).startswith("hash.k2.")


def test_pseudonyms_differ_by_tenant_entity_and_period(tmp_path: Path) -> None:
    policy = policy_with(tmp_path, rule({"pseudonymise": {"period": "month"}}))
    redactor = Redactor(policy, keys=Keys(RING))

    def pseudonym(tenant: str, time_ns: int) -> str:
        from otelwarden.redaction import ItemFacts

        return redactor.look_at_text(SECRET, "logs", tenant, item=ItemFacts(time_ns))[0]

    november, later, december = 1_700_000_000 * 10**9, 1_700_100_000 * 10**9, 1_702_000_000 * 10**9
    assert pseudonym("acme", november) == pseudonym("acme", later)
    assert re.fullmatch(r"pseudo\.k1\.202311\.[0-9a-f]{32}", pseudonym("acme", november))
    assert len({pseudonym("acme", november), pseudonym("globex", november), pseudonym("acme", december)}) == 3
    shared = policy_with(tmp_path, rule({"pseudonymise": {"per_tenant": False}}))
    assert look(shared, SECRET, tenant="acme") == look(shared, SECRET, tenant="globex")


def test_what_is_encrypted_can_be_read_with_the_key_alone(tmp_path: Path) -> None:
    policy = policy_with(tmp_path, rule({"encrypt": {}}))
    tokens = look(policy, f"{SECRET} {SECRET}").split()
    assert tokens[0] != tokens[1]  # equal hits cannot be told apart
    assert [read_token(token, Keys(RING)) for token in tokens] == [SECRET, SECRET]
    assert read_token(tokens[0], Keys(FixedKeyRing({"k1": bytes(32)}))) is None
    assert read_token(tokens[0], Keys(FixedKeyRing({"k2": bytes(range(32))}))) is None
    assert read_token(tokens[0].replace("k1", "k2"), Keys(FixedKeyRing({"k2": bytes(range(32))}))) is None
    assert read_token(tokens[0][:-2], Keys(RING)) is None
    rotated = Keys(FixedKeyRing({"k1": bytes(range(32)), "k2": bytes(32)}))
    assert read_token(tokens[0], rotated) == SECRET
    assert look(policy, SECRET, rotated).startswith("enc.k2.")


def test_a_token_is_not_redacted_again(tmp_path: Path) -> None:
    built_in = RedactionPolicy.load("pii", "secrets")
    for action in ({"hash": {}}, {"pseudonymise": {}}, {"encrypt": {}}):
        token = look(policy_with(tmp_path, rule(action)), SECRET)
        assert Redactor(built_in).redact_text(f"mail {token} ok", "logs", "") == f"mail {token} ok"


GENERALISED = [
    ({"entities": ["IP_ADDRESS"]}, {}, "from 203.0.113.77 on", "from 203.0.113.0/24 on"),
    ({"entities": ["IP_ADDRESS"]}, {"ipv4_prefix": 16}, "from 203.0.113.77 on", "from 203.0.0.0/16 on"),
    ({"entities": ["IP_ADDRESS"]}, {}, "2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::/48"),
    ({"entities": ["EMAIL"]}, {}, f"to {SECRET}", "to leak.example"),
    ({"entities": ["PAYMENT_CARD"]}, {}, "card 4242424242424242", "card [REDACTED]"),
    ({"keys": ["k"]}, {}, "1984-03-21", "1984"),
    ({"keys": ["k"]}, {"date": "month"}, "1984-03-21T10:00:00Z", "1984-03"),
    ({"keys": ["k"]}, {"date": "month"}, "21.03.1984", "1984-03"),
    ({"keys": ["k"]}, {"date": "month"}, "03/04/1984", "1984"),
    ({"keys": ["k"]}, {}, "March 21, 1984", "1984"),
    ({"keys": ["k"]}, {}, "52.520008, 13.404954", "52.5, 13.4"),
    ({"keys": ["k"]}, {"decimals": 0}, "52.520008,13.404954", "53,13"),
    ({"keys": ["k"]}, {}, "47", "40-50"),
    ({"keys": ["k"]}, {"bucket": 25}, "-3.5", "-25-0"),
    ({"keys": ["k"]}, {}, "4242424242424242", "[REDACTED]"),
    ({"keys": ["k"]}, {}, "who knows", "[REDACTED]"),
]


@pytest.mark.parametrize(("match", "options", "text", "left"), GENERALISED)
def test_generalise(tmp_path: Path, match: Any, options: Any, text: str, left: str) -> None:
    assert look(policy_with(tmp_path, rule({"generalise": options}, **match)), text, key="k") == left


ORDER = ["block", "delete", "encrypt", "hash", "replace", "mask", "generalise"]


@pytest.mark.parametrize("stricter", range(len(ORDER) - 1))
def test_among_equals_the_stricter_action_decides(tmp_path: Path, stricter: int) -> None:
    for weaker in ORDER[stricter + 1 :]:
        policy = policy_with(tmp_path, rule({weaker: {}}, "weak"), rule({ORDER[stricter]: {}}, "strict"))
        _, redaction = Redactor(policy, keys=Keys(RING)).look_at_text(f"to {SECRET}")
        assert redaction is not None
        assert [each.id for each in redaction.counts] == ["strict"]
        assert redaction.blocked is (ORDER[stricter] == "block")


def test_the_higher_priority_decides_whatever_the_actions(tmp_path: Path) -> None:
    mild = {**rule({"generalise": {}}, "mild"), "priority": 1}
    assert look(policy_with(tmp_path, rule({"block": {}}, "strict"), mild), f"to {SECRET}") == "to leak.example"


def test_what_only_adds_stands_beside_what_decides(tmp_path: Path) -> None:
    tell = {**rule({"audit": {}}, "tell"), "priority": 5}
    text, redaction = Redactor(policy_with(tmp_path, rule({"mask": {}}), tell)).look_at_text(f"to {SECRET}")
    assert text == "to *********************"
    assert redaction is not None
    assert {each.id: count for each, count in redaction.counts.items()} == {"mail": 1, "tell": 1}
    assert repr(BLOCKED) == "BLOCKED"
