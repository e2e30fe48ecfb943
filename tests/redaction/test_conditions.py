"""What rules are about: types, sizes, ages, scopes, lists of allowed keys, classifications, tenants' own policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import ConfigError, Runtime, state_of, use_tenant
from otelwarden.redaction import (
    ACTIONS,
    ClassificationConfig,
    HitFacts,
    ItemFacts,
    RedactionLogRecordExporter,
    RedactionMetricReader,
    RedactionOptions,
    RedactionPolicy,
    RedactionSpanExporter,
    Redactor,
)
from otelwarden.testing import FakeClock

MAIL = "jane@example.com"
NOW = 1_800_000_000 * 10**9


def load(tmp_path: Path, *rules: Any, **more: Any) -> RedactionPolicy:
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps({"rules": list(rules), **more}), encoding="utf-8")
    return RedactionPolicy.load(path)


def rule(match: dict[str, Any], action: dict[str, Any] | None = None, name: str = "r", **more: Any) -> dict[str, Any]:
    return {"id": name, "match": match, "action": action or {"replace": {"text": "X"}}, **more}


def redact(policy: RedactionPolicy, fields: dict[str, Any], item: ItemFacts | None = None, tenant: str = "") -> Any:
    redactor = Redactor(policy, clock=FakeClock(start_ns=NOW))
    document = redactor.document()
    taken = document.fields(fields)
    redaction = redactor.redact(document, "traces", tenant, item or ItemFacts(NOW))
    return fields if redaction is None else taken.rebuild(redaction.edits)


def test_types(tmp_path: Path) -> None:
    fields = {"k.s": "text", "k.n": 3, "k.f": 2.5, "k.b": True, "k.y": b"raw", "k.l": ["t", 1, False]}
    left = {
        "string": {**fields, "k.s": "X", "k.l": ["X", 1, False]},
        "number": {**fields, "k.n": "X", "k.f": "X", "k.l": ["t", "X", False]},
        "bool": {**fields, "k.b": "X", "k.l": ["t", 1, "X"]},
        "bytes": {**fields, "k.y": b"X"},
    }
    for kind, expected in left.items():
        assert redact(load(tmp_path, rule({"keys": ["k.*"], "types": [kind]})), fields) == expected
    card = load(tmp_path, rule({"entities": ["PAYMENT_CARD"], "types": ["number"]}))
    number = {"a": 4242424242424242, "b": "4242424242424242"}
    assert redact(card, number) == {"a": "X", "b": "4242424242424242"}


def test_sizes(tmp_path: Path) -> None:
    fields = {"a": "x" * 9, "b": "é" * 5, "c": "x" * 1025}
    assert redact(load(tmp_path, rule({"keys": ["*"], "min_size": 10})), fields) == {"a": "x" * 9, "b": "X", "c": "X"}
    small = rule({"keys": ["*"], "min_size": 10, "max_size": "1KiB"})
    assert redact(load(tmp_path, small), fields) == {"a": "x" * 9, "b": "X", "c": "x" * 1025}
    found = load(tmp_path, rule({"entities": ["EMAIL"], "max_size": 20}))
    assert redact(found, {"a": MAIL, "b": f"{MAIL}, we said"}) == {"a": "X", "b": f"{MAIL}, we said"}


def test_ages(tmp_path: Path) -> None:
    old = load(tmp_path, rule({"entities": ["EMAIL"], "older_than": "30d"}))
    young = load(tmp_path, rule({"entities": ["EMAIL"], "younger_than": "1h"}))
    for age, is_old, is_young in ((0, False, True), (3601, False, False), (31 * 86_400, True, False)):
        item = ItemFacts(NOW - age * 10**9)
        assert redact(old, {"a": MAIL}, item) == {"a": "X" if is_old else MAIL}
        assert redact(young, {"a": MAIL}, item) == {"a": "X" if is_young else MAIL}
    assert redact(old, {"a": MAIL}, ItemFacts()) == {"a": MAIL}  # no time of its own: new


def test_scopes(tmp_path: Path) -> None:
    policy = load(tmp_path, rule({"entities": ["EMAIL"], "scopes": ["opentelemetry.instrumentation.*"]}))
    assert redact(policy, {"a": MAIL}, ItemFacts(NOW, {}, "opentelemetry.instrumentation.flask")) == {"a": "X"}
    assert redact(policy, {"a": MAIL}, ItemFacts(NOW, {}, "shop")) == {"a": MAIL}


def test_a_list_of_allowed_keys(tmp_path: Path) -> None:
    policy = load(tmp_path, rule({"unless_keys": ["http.*", "error"]}, {"delete": {}}))
    fields = {"http.route": "/", "error": {"kind": "x"}, "user": "u", "password": "hunter2", "n": 1, "ok": True}
    assert redact(policy, fields) == {"http.route": "/", "error": {"kind": "x"}}
    narrowed = load(tmp_path, rule({"entities": ["EMAIL"], "unless_keys": ["contact.*"]}))
    assert redact(narrowed, {"contact.mail": MAIL, "other": MAIL}) == {"contact.mail": MAIL, "other": "X"}
    both = load(tmp_path, rule({"keys": ["user.*"], "unless_keys": ["user.id"]}))
    assert redact(both, {"user.id": "7", "user.name": "Jane"}) == {"user.id": "7", "user.name": "X"}


def test_a_list_of_allowed_keys_is_not_about_places_without_a_key(tmp_path: Path) -> None:
    memory, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    policy = load(tmp_path, rule({"unless_keys": ["http.*"]}, {"delete": {}}))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactionSpanExporter(memory, policy=policy, runtime=Runtime())))
    span = provider.get_tracer("t").start_span("GET /", attributes={"http.route": "/", "who": "me"})
    span.add_event("login", {"who": "me"})
    span.end()
    (left,) = memory.get_finished_spans()
    assert (left.name, dict(left.attributes or {})) == ("GET /", {"http.route": "/"})
    assert [(event.name, dict(event.attributes or {})) for event in left.events] == [("login", {})]
    records = LoggerProvider()
    exporter = RedactionLogRecordExporter(logs, policy=policy, runtime=Runtime())
    records.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    records.get_logger("t").emit(LogRecord(body="text", attributes={"who": "me"}))
    records.get_logger("t").emit(LogRecord(body={"http.route": "/", "who": "me"}))
    bodies = [(each.log_record.body, dict(each.log_record.attributes or {})) for each in logs.get_finished_logs()]
    assert bodies == [("text", {}), (None, {})]  # fields of a body are called `log.body.http.route`
    named = load(tmp_path, rule({"unless_keys": ["log.body.http.*"]}, {"delete": {}}))
    assert redact(named, {"who": "me", "log.body.http.route": "/"}) == {"log.body.http.route": "/"}


PLACES = ["span.name", "span.status", "event.name"]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_without_a_key_may_be_named_like_one(tmp_path: Path, place: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    memory = InMemorySpanExporter()
    policy = load(tmp_path, rule({"keys": [place]}))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactionSpanExporter(memory, policy=policy, runtime=Runtime())))
    for _ in range(2):  # the second takes the short path, where there is one
        span = provider.get_tracer("t").start_span("GET /users", attributes={"a": "b"})
        span.add_event("login")
        span.set_status(Status(StatusCode.ERROR, "no such user"))
        span.end()
    for left in memory.get_finished_spans():
        found = {"span.name": left.name, "span.status": left.status.description, "event.name": left.events[0].name}
        plain = {"span.name": "GET /users", "span.status": "no such user", "event.name": "login"}
        assert found == {**plain, place: "X"}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("text", "X"),
        ({"a": "b", "c": [1]}, {"a": "X", "c": ["X"]}),
        ([True, "x"], ["X", "X"]),
        (b"raw", b"X"),
        (7, "X"),
    ],
)
def test_the_body_of_a_log_record_may_be_named(tmp_path: Path, body: Any, left: Any) -> None:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    policy = load(tmp_path, rule({"keys": ["log.body"]}))
    exporter = RedactionLogRecordExporter(memory, policy=policy, runtime=Runtime())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("t").emit(LogRecord(body=body, attributes={"log.body.x": "kept"}))
    (record,) = memory.get_finished_logs()
    assert (record.log_record.body, dict(record.log_record.attributes or {})) == (left, {"log.body.x": "kept"})


def test_what_is_allowed_by_pattern_stays(tmp_path: Path) -> None:
    policy = load(tmp_path, rule({"entities": ["EMAIL"]}), allow={"patterns": [r"[a-z]+@ops\.example\.com"]})
    text = "a@ops.example.com b@ops.example.com.evil.io c@example.com"
    assert redact(policy, {"a": text}) == {"a": "a@ops.example.com X X"}
    with pytest.raises(ConfigError, match="no RE2 pattern"):
        load(tmp_path, rule({"entities": ["EMAIL"]}), allow={"patterns": ["(?=x)"]})


def test_policies_of_a_tenant_stand_beside_those_of_all(tmp_path: Path) -> None:
    acme = {
        "rules": [rule({"entities": ["EMAIL"]}, {"mask": {}}, "acme.mail", priority=5)],
        "allow": {"values": ["ops@acme.io"]},
    }
    (tmp_path / "acme.yaml").write_text(json.dumps(acme))
    policy = RedactionPolicy.load("pii", base=tmp_path, tenants={"acme": ["acme.yaml"], "globex": ["pii", "secrets"]})
    fields = {"a": MAIL, "b": "ops@acme.io", "password": "opensesame1"}
    assert redact(policy, fields) == {"a": "[REDACTED]", "b": "[REDACTED]", "password": "opensesame1"}
    assert redact(policy, fields, tenant="acme") == {"a": "*" * 16, "b": "ops@acme.io", "password": "opensesame1"}
    assert redact(policy, fields, tenant="globex") == dict.fromkeys(fields, "[REDACTED]")


def test_globs_choose_detectors(tmp_path: Path) -> None:
    policy = load(tmp_path, rule({"detectors": ["us_*"]}))
    assert {each.entity for each in policy.detectors} >= {"US_SSN"}
    assert not [each for each in policy.detectors if not each.id.startswith("us_")]
    with pytest.raises(ConfigError, match="nothing has this name"):
        load(tmp_path, rule({"entities": ["NOTHING_*"]}))


def test_classifications_choose_detectors_and_declared_keys(tmp_path: Path) -> None:
    declared = [{"keys": ["contract.*"], "classification": "restricted"}]
    policy = load(tmp_path, rule({"classifications": ["restricted"]}), classifications=declared)
    fields = {"card": "4242424242424242", "mail": MAIL, "contract.text": "whatever", "contract": "no"}
    assert redact(policy, fields) == {"card": "X", "mail": MAIL, "contract.text": "X", "contract": "no"}


CLASSIFICATION = ClassificationConfig(stamp=True, retention={"restricted": "30d"}, destinations={"restricted": ("a",)})
DECLARED = [{"keys": ["contract"], "classification": "confidential"}]
LEFT = [
    ({"a": "fine"}, {"audit": {}}, None),
    ({"a": MAIL}, {"audit": {}}, "confidential"),
    ({"a": MAIL}, {"generalise": {}}, "confidential"),
    ({"a": MAIL}, {"mask": {"keep_last": 4}}, "confidential"),
    ({"a": MAIL}, {"mask": {}}, None),
    ({"a": MAIL}, {"replace": {}}, None),
    ({"a": f"{MAIL} 4242424242424242"}, {"audit": {}}, "restricted"),
    ({"contract": "text"}, {"replace": {}}, "confidential"),
    ({"contract": 7, "a": "4242424242424242"}, {"delete": {}}, "confidential"),
]


@pytest.mark.parametrize(("attributes", "action", "classification"), LEFT)
def test_an_item_is_classified_by_what_is_left_in_it(
    tmp_path: Path, attributes: Any, action: Any, classification: str | None
) -> None:
    policy = load(tmp_path, rule({"entities": ["EMAIL", "PAYMENT_CARD"]}, action), classifications=DECLARED)
    options = RedactionOptions(classification=CLASSIFICATION)
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    provider, records = TracerProvider(), LoggerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(RedactionSpanExporter(spans, policy=policy, runtime=Runtime(), options=options))
    )
    records.add_log_record_processor(
        SimpleLogRecordProcessor(RedactionLogRecordExporter(logs, policy=policy, runtime=Runtime(), options=options))
    )
    with use_tenant("acme"):
        provider.get_tracer("t").start_span("x", attributes=attributes).end()
        records.get_logger("t").emit(LogRecord(body="x", attributes=attributes))
    items: list[Any] = [*spans.get_finished_spans(), *logs.get_finished_logs()]
    assert len(items) == 2
    for item in items:
        assert state_of(item).classification == classification
        found = item.attributes if hasattr(item, "attributes") else item.log_record.attributes
        assert found.get("data.classification") == classification
        assert found.get("data.retention") == ("30d" if classification == "restricted" else None)


def test_what_is_left_in_a_resource_classifies_its_items(tmp_path: Path) -> None:
    from opentelemetry.sdk.resources import Resource

    spans = InMemorySpanExporter()
    policy = load(tmp_path, rule({"entities": ["PAYMENT_CARD"]}, {"audit": {}}))
    options = RedactionOptions(classification=CLASSIFICATION)
    provider = TracerProvider(resource=Resource({"card": "4242424242424242"}))
    exporter = RedactionSpanExporter(spans, policy=policy, runtime=Runtime(), options=options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for _ in range(2):
        provider.get_tracer("t").start_span("x").end()
    assert [state_of(span).classification for span in spans.get_finished_spans()] == ["restricted"] * 2


def test_evidence_names_rule_and_path_and_never_a_value(tmp_path: Path) -> None:
    memory = InMemorySpanExporter()
    policy = load(tmp_path, rule({"entities": ["EMAIL"]}, name="mail"), rule({"keys": ["note"]}, {"mask": {}}, "note"))
    options = RedactionOptions(evidence_attribute="otelwarden.redaction")
    provider = TracerProvider()
    exporter = RedactionSpanExporter(memory, policy=policy, runtime=Runtime(), options=options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = {"a": f"{MAIL} {MAIL}", MAIL: "sue@example.com", "note": "text", "b": "fine"}
    provider.get_tracer("t").start_span(f"for {MAIL}", attributes=attributes).end()
    provider.get_tracer("t").start_span("fine", attributes={"b": "fine"}).end()
    first, second = memory.get_finished_spans()
    evidence = dict(first.attributes or {})["otelwarden.redaction"]
    assert set(evidence) == {"mail@span.name", "mail@a", "mail@(redacted key)", "note@note"}  # type: ignore[call-overload]
    assert "example" not in repr(evidence)
    assert "otelwarden.redaction" not in (second.attributes or {})


def test_metric_names_may_be_named(tmp_path: Path) -> None:
    memory = InMemoryMetricReader()
    policy = load(tmp_path, rule({"keys": ["metric.description"]}))
    provider = MeterProvider([RedactionMetricReader(memory, policy=policy, runtime=Runtime())])
    provider.get_meter("m").create_counter("c", description="for Jane").add(1)
    data = memory.get_metrics_data()
    assert data is not None
    assert data.resource_metrics[0].scope_metrics[0].metrics[0].description == "X"


class Shout:
    """An action of one's own."""

    name = "shout"
    strictness = 25

    def __init__(self, mark: str = "!") -> None:
        self._mark = mark

    def apply(self, hit: str, facts: HitFacts) -> str:
        return f"{facts.entity}{self._mark * len(hit)}"


def test_an_action_of_ones_own(tmp_path: Path) -> None:
    ACTIONS["shout"] = Shout
    try:
        own = {"custom": {"name": "shout", "options": {"mark": "?"}}}
        assert redact(load(tmp_path, rule({"entities": ["EMAIL"]}, own)), {"a": "a@b.io"}) == {"a": "EMAIL??????"}
        with pytest.raises(ConfigError, match="/rules/0/action/custom/options: refused"):
            load(tmp_path, rule({"entities": ["EMAIL"]}, {"custom": {"name": "shout", "options": {"loud": 1}}}))
    finally:
        del ACTIONS["shout"]
    with pytest.raises(ConfigError, match="no action has this name"):
        load(tmp_path, rule({"entities": ["EMAIL"]}, {"custom": {"name": "shout"}}))


def test_an_action_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_actions.py").write_text(
        "class Vowels:\n"
        "    name, strictness = 'vowels', 25\n"
        "    def apply(self, hit, facts):\n"
        "        return ''.join(c for c in hit if c in 'aeiou')\n"
    )
    info = tmp_path / "acme_actions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-actions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[otelwarden_redaction_action]\nvowels = acme_actions:Vowels\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    policy = load(tmp_path, rule({"entities": ["EMAIL"]}, {"custom": {"name": "vowels"}}))
    assert redact(policy, {"a": f"to {MAIL}"}) == {"a": "to aeeaeo"}
