"""`otelwarden redact`, `scan`, `reveal` and `erase` as a user runs them."""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.audit import Status, list_streams, prove, verify
from otelwarden.cli.redact import redacted_bytes, redactor_of
from otelwarden.redaction import FileKeyRing, ItemFacts, Keys, RedactionPolicy, Redactor, SubjectKeyDirectory

COMMAND = [str(Path(sys.executable).with_name("otelwarden"))]


def run(*arguments: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, arguments)], input=text, capture_output=True, timeout=60)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"k1 {base64.b64encode(bytes(range(32))).decode()}\n", encoding="ascii")
    file.chmod(0o600)
    return file


def test_a_filter_for_texts() -> None:
    pem = b"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx\nabc\n-----END RSA PRIVATE KEY-----\n"
    text = b"mail jane@example.com now\r\nclean \xf0\x9f\x98\x80 \xff line\n" + pem + b"latin \xff a@b.io\nlast"
    done = run("redact", text=text)
    assert done.returncode == 0, done.stderr
    kept = b"clean \xf0\x9f\x98\x80 \xff line\n"
    assert done.stdout == b"mail [REDACTED] now\r\n" + kept + b"[REDACTED]\nlatin \xff [REDACTED]\nlast"


def test_records_tell_what_was_found_where() -> None:
    records = [
        {"text": "h\u00e9\u00e9 \U0001f600 jane@example.com ok 4242424242424242"},
        {"text": "opensesame1", "key": "password"},
        {"text": "nothing", "key": None},
        {"text": "\ud800 jane@example.com"},
        {"text": "q=jane%40example.com"},
    ]
    lines = [json.dumps(record) for record in records]
    bad = ["nope", "[1]", '{"text": 3}', '{"text": "x", "key": 3}', "[" * 100_000, '{"text": "\xff']
    done = run("redact", "--json-lines", text="\n".join([*lines, *bad, ""]).encode("latin-1"))
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(records) + len(bad)
    assert all(list(answer) == ["error"] for answer in answers[len(records) :])
    found = [
        [record["text"][each["start"] : each["end"]] for each in answer["findings"]]  # type: ignore[index]
        for record, answer in zip(records, answers, strict=False)
    ]
    mail = "jane@example.com"
    assert found == [[mail, "4242424242424242"], ["opensesame1"], [], [mail], ["jane%40example.com"]]
    assert answers[0]["text"] == "h\u00e9\u00e9 \U0001f600 [REDACTED] ok [REDACTED]"
    assert [(each["entity"], each["rule"]) for each in answers[0]["findings"]] == [
        ("EMAIL", "pii"),
        ("PAYMENT_CARD", "pii"),
    ]
    assert answers[1]["text"] == "[REDACTED]"


def test_records_are_answered_as_they_come() -> None:
    with subprocess.Popen(
        [*COMMAND, "redact", "--json-lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("jane", "bob"):
            process.stdin.write(json.dumps({"text": f"{name}@example.com"}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == "[REDACTED]"
        process.stdin.close()
        assert process.wait(timeout=30) == 0


OWN = r"""
rules: [{id: own, match: {detectors: [own]}, action: {replace: {}}}]
detectors:
  - {id: own, entity: TICKET, group: pii, classification: internal, pattern: '\b[0-9]{9}\b', low: {},
     context: {words: [ticket]}}
"""


def test_policies_and_confidence(tmp_path: Path) -> None:
    def redacted(text: bytes, *policies: str, confidence: str = "high") -> bytes:
        arguments = argparse.Namespace(policy=list(policies), confidence=confidence, key_file=None)
        return redacted_bytes(redactor_of(arguments), text)

    text = b"pay 4242424242424242 to jane@example.com"
    assert run("redact", "--policy", "pci", "secrets", text=text).stdout == b"pay ************4242 to jane@example.com"
    assert redacted(text, "all") == b"pay [REDACTED] to [REDACTED]"
    assert redacted(text, "secrets") == text
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    assert redacted(b"ticket 219099998", str(own)) == b"ticket [REDACTED]"
    assert redacted(b"219099998", str(own)) == b"219099998"
    assert redacted(b"219099998", str(own), confidence="low") == b"[REDACTED]"
    refused = run("redact", "--policy", "nowhere.yaml")
    assert refused.returncode == 2
    assert b"nowhere.yaml:/: cannot be read" in refused.stderr


def test_a_line_without_end_is_read_in_pieces() -> None:
    line = b"word " * 500_000 + b"jane@example.com"
    done = run("redact", text=line)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"word " * 500_000 + b"[REDACTED]"


def otlp(path: Path) -> Path:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"host.owner": "ops@example.com"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for name in ("jane", "bob"):
        span = provider.get_tracer("t").start_span("x", attributes={"user.email": f"{name}@example.com", "n": 1})
        span.add_event("login 203.0.113.7", {"to": ["sue@example.com"]})
        span.end()
    path.write_text(MessageToJson(encode_spans(memory.get_finished_spans())), encoding="utf-8")
    return path


def test_scan_says_what_is_where(tmp_path: Path) -> None:
    done = run("scan", "--json", otlp(tmp_path / "spans.json"))
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert {(each["entity"], each["place"], each["count"]) for each in report["findings"]} == {
        ("EMAIL", "span user.email", 2),
        ("EMAIL", "event to", 2),
        ("EMAIL", "resource host.owner", 1),
        ("IP_ADDRESS", "event name", 2),
    }
    table = run("scan", tmp_path / "spans.json").stdout.decode()
    assert table.splitlines()[0].split() == ["ENTITY", "PLACE", "COUNT", "SAMPLES"]
    assert table.splitlines()[-1].startswith("7 found in ")
    for secret in ("jane@", "bob@", "sue@", "203.0.113.7"):
        assert secret not in table


def test_scan_reads_json_lines_and_texts(tmp_path: Path) -> None:
    lines, text, clean = tmp_path / "a.jsonl", tmp_path / "b.log", tmp_path / "c.log"
    lines.write_text('{"msg": "to jane@example.com", "password": "opensesame1"}\n{"n": [{"a": "b@c.io"}]}\n')
    text.write_text("GET /?token=x jane@example.com\n")
    clean.write_text("all is well\n")
    report = json.loads(run("scan", "--json", lines, text).stdout)
    assert {(each["entity"], each["place"]) for each in report["findings"]} >= {
        ("EMAIL", "json msg"),
        ("SECRET", "json password"),
        ("EMAIL", "json n.a"),
        ("EMAIL", "text"),
    }
    assert run("scan", clean).returncode == 0
    assert run("scan", tmp_path / "nowhere").returncode == 2
    own_line = json.dumps(json.loads(otlp(tmp_path / "spans.json").read_text()))
    (tmp_path / "spans.jsonl").write_text(f"{own_line}\n{own_line}\n")
    assert b"14 found" in run("scan", tmp_path / "spans.jsonl").stdout


def tokens(tmp_path: Path, key_file: Path, options: str) -> tuple[str, Path]:
    """A text with an encrypted address, and the directory of keys of persons."""
    policy = tmp_path / "encrypt.yaml"
    policy.write_text(f"rules: [{{id: e, match: {{entities: [EMAIL]}}, action: {{encrypt: {options}}}}}]")
    ring = FileKeyRing(key_file)
    keys = Keys(ring, SubjectKeyDirectory(tmp_path / "persons", ring=ring))
    redactor = Redactor(RedactionPolicy.load(policy), keys=keys)
    text, _ = redactor.look_at_text("to jane@example.com!", item=ItemFacts(0, {"user.id": "u-17"}))
    return text, tmp_path / "persons"


def who(tmp_path: Path) -> list[str]:
    return ["--actor", "alice", "--purpose", "ticket 4711", "--trail", str(tmp_path / "audit")]


def test_reveal_is_written_to_the_trail_before_anything_is_shown(tmp_path: Path, key_file: Path) -> None:
    text, _ = tokens(tmp_path, key_file, "{}")
    assert "jane" not in text
    done = run("reveal", "--key-file", key_file, *who(tmp_path), text=text.encode())
    assert (done.returncode, done.stdout) == (0, b"to jane@example.com!"), done.stderr
    (stream,) = verify(tmp_path / "audit").streams
    assert stream.status is Status.OK
    trail = b"".join(file.read_bytes() for file in (tmp_path / "audit").rglob("*") if file.is_file())
    assert b"reveal" in trail
    assert b"alice" in trail
    assert b"ticket 4711" in trail
    assert b"jane" not in trail


def test_reveal_shows_nothing_that_cannot_be_written_down(tmp_path: Path, key_file: Path) -> None:
    text, _ = tokens(tmp_path, key_file, "{}")
    (tmp_path / "audit").write_text("a file where the trail should be")
    done = run("reveal", "--key-file", key_file, *who(tmp_path), text=text.encode())
    assert (done.returncode, done.stdout) == (2, b"")
    missing = run("reveal", "--key-file", key_file, "--trail", tmp_path / "audit2", text=text.encode())
    assert (missing.returncode, missing.stdout) == (2, b"")
    assert b"--actor" in missing.stderr


def test_erase_makes_it_unreadable_for_good(tmp_path: Path, key_file: Path) -> None:
    text, persons = tokens(tmp_path, key_file, "{per_subject: true}")
    arguments = ["--key-file", key_file, "--subject-keys", persons, *who(tmp_path)]
    assert run("reveal", *arguments, text=text.encode()).stdout == b"to jane@example.com!"
    erased = run("erase", "--subject", "u-17", "--tenant", "", *arguments)
    assert erased.returncode == 0, erased.stderr
    after = run("reveal", *arguments, text=text.encode())
    assert (after.returncode, after.stdout) == (1, text.encode())
    assert run("erase", "--subject", "u-17", "--tenant", "", *arguments).returncode == 1


def test_nobody_is_named_in_the_trail_and_what_led_to_him_is_gone_when_he_is_erased(
    tmp_path: Path, key_file: Path
) -> None:
    """The record names the key; which person it belonged to is nowhere any more, and the record can be proved still."""
    text, persons = tokens(tmp_path, key_file, "{per_subject: true}")
    ring = FileKeyRing(key_file)
    key_id = SubjectKeyDirectory(persons, ring=ring).key_id("", "u-17")
    assert key_id is not None
    arguments = ["--key-file", key_file, "--subject-keys", persons, *who(tmp_path)]
    assert run("reveal", *arguments, text=text.encode()).returncode == 0
    (stream,) = list_streams(tmp_path / "audit")
    before = prove(tmp_path / "audit" / stream.stream, 1)
    assert b'"action":"reveal"' in before.record
    assert run("erase", "--subject", "u-17", "--tenant", "", *arguments).returncode == 0
    files = {file: file.read_bytes() for file in (tmp_path / "audit").rglob("*") if file.is_file()}
    assert any(key_id.encode() in data for data in files.values())
    assert not [file for file, data in files.items() if b"u-17" in data or b"jane" in data]
    assert not [file for file in persons.rglob("*") if file.is_file() and key_id.encode() in file.read_bytes()]
    assert SubjectKeyDirectory(persons, ring=ring).key_id("", "u-17") is None
    assert verify(tmp_path / "audit").status is Status.OK
    assert prove(tmp_path / "audit" / stream.stream, 1) == before
