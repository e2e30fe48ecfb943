"""What is written, and when, and what is said about what was not."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import AuditTrail, SigningKey, Status, read_records, verify
from otelwarden.audit.records import MAX_RECORD, MAX_TEXT, is_rare
from otelwarden.core import Balance, ConfigError, GovernanceEvent, Runtime
from otelwarden.schemas import violations
from otelwarden.testing import FakeClock

OpenTrail = Callable[..., AuditTrail]


def mask(i: int = 0, tenant: str = "acme", count: int = 1, **more: Any) -> GovernanceEvent:
    return GovernanceEvent(
        1_700_000_000_000_000_000 + i, "redaction", "mask", "pii/email", tenant, "traces", count, **more
    )


def records(path: Path, **wanted: Any) -> list[dict[str, Any]]:
    return [each for each in read_records(path) if all(each.get(name) == value for name, value in wanted.items())]


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_rare_decision_is_on_the_disk_when_the_call_returns(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail()
    trail(GovernanceEvent(7, "failover", "failover", "refused", target="https://a.example"))
    (record,) = records(tmp_path / "trail", action="failover")
    assert record["time"] == "7"
    assert record["actor"] == "system:failover"
    assert (record["outcome"], record["target"], record["count"]) == ("success", "https://a.example", 1)


def test_an_actor_may_be_named(open_trail: OpenTrail, tmp_path: Path) -> None:
    assert open_trail().append_sync(GovernanceEvent(7, "tenancy", "create", "api", "acme"), actor="user:ann")
    assert records(tmp_path / "trail", action="create")[0]["actor"] == "user:ann"


@pytest.mark.parametrize(
    ("component", "action", "rare"),
    [
        ("failover", "failover", True),
        ("failover", "endpoint_unhealthy", True),
        ("tenancy", "delete", True),
        ("redaction", "delete", False),
        ("redaction", "reload", True),
        ("redaction", "erase", True),
        ("redaction", "reveal", True),
        ("audit", "retire", True),
        ("audit", "hold", True),
        ("audit", "release", True),
        ("tenancy", "hold", False),
        ("redaction", "mask", False),
        ("quota", "drop", False),
    ],
)
def test_what_is_rare(component: str, action: str, rare: bool) -> None:
    assert is_rare(component, action) is rare


def test_frequent_decisions_become_one_record_a_window(open_trail: OpenTrail, tmp_path: Path, clock: FakeClock) -> None:
    trail = open_trail()
    for i in range(1000):
        trail(mask(i, count=2))
    clock.advance(1.0)
    until(lambda: bool(records(tmp_path / "trail", action="mask")))
    assert trail.flush()
    found = records(tmp_path / "trail", action="mask")
    assert sum(each["count"] for each in found) == 2000
    assert len(found) <= 2
    first, last = found[0]["window"]
    assert int(first) <= int(last) == int(found[0]["time"])


def test_whoever_decided_is_never_taken_for_another(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail()
    for actor, count in (("user:alice", 3), ("user:bob", 2), ("", 1)):
        for _ in range(count):
            trail(mask(actor=actor))
    assert trail.close()
    found = {each["actor"]: each["count"] for each in records(tmp_path / "trail", action="mask")}
    assert found == {"user:alice": 3, "user:bob": 2, "system:redaction": 1}


def test_counts_are_exact_under_eight_threads(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail(coalesce_window=0.02)
    reasons = [f"rule-{i}" for i in range(7)]

    def work(number: int) -> None:
        for i in range(5000):
            trail(
                GovernanceEvent(
                    time.time_ns(), "redaction", "mask", reasons[i % 7], f"t{(i + number) % 5}", "logs", 1 + i % 3
                )
            )
            if i % 500 == 0:
                trail(GovernanceEvent(time.time_ns(), "quota", "reload", f"{number}-{i}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trail.close(30.0)
    expected: Counter[tuple[str, str]] = Counter()
    for number in range(8):
        for i in range(5000):
            expected[reasons[i % 7], f"t{(i + number) % 5}"] += 1 + i % 3
    found: Counter[tuple[str, str]] = Counter()
    for each in records(tmp_path / "trail", action="mask"):
        found[each["reason"], each["tenant"]] += each["count"]
    assert found == expected
    assert len(records(tmp_path / "trail", action="reload")) == 80
    assert verify(tmp_path / "trail").status is Status.OK


def test_a_single_decision_keeps_its_trace(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail()
    trail(mask(tenant="one", trace_id=0xABC, span_id=0xD))
    trail(mask(tenant="two", trace_id=0xABC, span_id=0xD))
    trail(mask(tenant="two", trace_id=0xDEF, span_id=0xE))
    assert trail.flush()
    one, two = records(tmp_path / "trail", tenant="one"), records(tmp_path / "trail", tenant="two")
    assert one[0]["trace_id"] == f"{0xABC:032x}"
    assert "trace_id" not in two[0]


def test_without_coalescing_each_is_a_record(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail(coalesce_window=0, segment_bytes=4096)
    for i in range(40_000):
        trail(mask(i, trace_id=i + 1, span_id=i + 1))
    assert trail.flush(30.0)
    assert trail.checkpoint()
    for i in range(100):
        trail(mask(i))
    assert trail.close(30.0)
    found = records(tmp_path / "trail", action="mask")
    assert len(found) == 40_100
    assert [int(each["trace_id"], 16) for each in found[:40_000]] == list(range(1, 40_001))
    assert len(list((tmp_path / "trail").glob("*/records-*"))) > 1
    assert verify(tmp_path / "trail").status is Status.OK


def test_many_kinds_in_one_window_lose_nothing(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail()
    for i in range(25_000):
        trail(mask(tenant=f"t{i}"))
    assert trail.close(30.0)
    assert sum(each["count"] for each in records(tmp_path / "trail", action="mask")) == 25_000


HOSTILE = ['"}\n{"action":"gap","x":"', "\x00\x1b[2J", "\ud800 lone", "x" * 100_000, "ß∂ƒ\u2028", "", "\\"]


@pytest.mark.parametrize("window", [0, 1.0])
def test_hostile_text_stays_text(open_trail: OpenTrail, tmp_path: Path, window: float) -> None:
    trail = open_trail(coalesce_window=window)
    for value in HOSTILE:
        event = GovernanceEvent(1, value, value, value, value, value, 1, config_digest=value, target=value)
        trail(event)
        assert trail.append_sync(event, actor=value)
    assert trail.close()
    found = list(read_records(tmp_path / "trail"))
    assert [each["sequence"] for each in found] == list(range(len(found)))
    for each in found:
        assert violations(each, "audit-event") == []
    assert verify(tmp_path / "trail").status is Status.OK
    for line in next(iter((tmp_path / "trail").glob("*/records-*"))).read_bytes().splitlines():
        assert line.isascii()
        assert len(line) < MAX_RECORD
    assert max(len(each["reason"]) for each in found) == MAX_TEXT


def test_every_record_is_as_the_schema_says(written: Path) -> None:
    found = list(read_records(written))
    assert {each["action"] for each in found} == {"open", "reload", "account", "close"}
    for each in found:
        assert violations(each, "audit-event") == []


def test_accounts_are_sealed_when_they_changed_and_all_at_the_end(
    open_trail: OpenTrail, tmp_path: Path, runtime: Runtime
) -> None:
    trail = open_trail()
    ledger = runtime.ledger("quota", "traces")
    for i in range(2000):
        ledger.account(f"tenant-{i}").received.tick()
        ledger.account(f"tenant-{i}").dropped("rate").tick()
    assert trail.checkpoint()
    ledger.account("tenant-7").received.tick()
    ledger.account("tenant-7").forwarded.tick()
    assert trail.checkpoint()
    assert trail.close()
    accounts = records(tmp_path / "trail", action="account")
    *_, changed = [each for each in accounts if each["reason"] == "checkpoint"]
    assert changed["balances"] == [
        {"component": "quota", "signal": "traces", "tenant": "tenant-7", "received": 2, "forwarded": 1,
         "dropped": {"rate": 1}, "held": 0}
    ]  # fmt: skip
    at_the_end = [balance for each in accounts if each["reason"] == "close" for balance in each["balances"]]
    assert len(at_the_end) == len(runtime.balances()) == 2000
    assert isinstance(runtime.balances()[0], Balance)
    assert verify(tmp_path / "trail").status is Status.OK


def test_empty_periods_are_sealed_too(open_trail: OpenTrail, clock: FakeClock) -> None:
    trail = open_trail(checkpoint_interval=10.0)
    trail.append_sync(GovernanceEvent(1, "pipeline", "open", "start"))
    for expected in (2, 3, 4):
        clock.advance(10.0)
        until(lambda expected=expected: trail.stats().checkpoints == expected)  # type: ignore[misc]


def test_what_finds_no_place_is_declared(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail(max_pending=10)
    held_up = threading.Event()
    trail._settings.runtime.ledger("quota", "traces", held=lambda: (held_up.wait() and {}) or {})
    sealing = threading.Thread(target=trail.checkpoint, args=(300.0,))
    sealing.start()
    until(lambda: trail.stats().written > 0)
    for _ in range(110):
        trail(mask(count=3))
    lost = trail.stats().lost["queue_full"]
    assert lost >= 100
    assert trail.failing
    held_up.set()
    sealing.join()
    assert trail.close()
    found = records(tmp_path / "trail")
    assert sum(each["count"] for each in found if each["action"] == "gap") == lost
    assert sum(each["count"] for each in found if each["action"] == "mask") == 330 - lost
    (stream,) = verify(tmp_path / "trail").streams
    assert stream.status is Status.INCOMPLETE
    assert f"{lost} decisions" in stream.message


def test_a_hung_writer_holds_up_one_caller_once(open_trail: OpenTrail, tmp_path: Path, runtime: Runtime) -> None:
    trail = open_trail(sync_timeout=1.0)
    held_up = threading.Event()
    runtime.ledger("quota", "traces", held=lambda: (held_up.wait() and {}) or {})
    sealing = threading.Thread(target=trail.checkpoint, args=(300.0,))
    sealing.start()
    until(lambda: trail.stats().written > 0)
    started = time.monotonic()
    results = [trail.append_sync(GovernanceEvent(1, "quota", "reload", str(i))) for i in range(20)]
    assert time.monotonic() - started < 15.0  # and not 20 times a second
    assert not any(results)
    assert trail.stats().sync_timeouts == 1
    held_up.set()
    sealing.join()
    assert trail.close()
    assert len(records(tmp_path / "trail", action="reload")) == 20  # late, and not lost
    assert trail.stats().lost == {}


@pytest.mark.parametrize("window", [0, 1.0])
def test_an_event_that_is_none_is_counted(open_trail: OpenTrail, tmp_path: Path, window: float) -> None:
    trail = open_trail(coalesce_window=window)
    trail(mask(count="many"))  # type: ignore[arg-type]
    trail.flush()
    assert trail.stats().lost.get("malformed", 0) == (1 if window else 0)
    trail(mask())
    assert trail.flush()  # and nothing else suffers
    assert len(records(tmp_path / "trail", action="mask")) == 1


def test_after_closing(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail()
    trail(mask())
    assert trail.close()
    assert trail.close()
    trail(mask(count=4))
    assert not trail.append_sync(GovernanceEvent(1, "quota", "reload", "x"))
    assert not trail.checkpoint()
    assert trail.stats().lost == {"closed": 5}
    assert verify(tmp_path / "trail").status is Status.OK


def test_a_trail_that_heard_nothing_leaves_no_stream(open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail()
    assert trail.flush()
    assert trail.close()
    assert [each.name for each in (tmp_path / "trail").iterdir()] == ["keys"]


def test_the_runtime_tells_it_everything(open_trail: OpenTrail, tmp_path: Path, runtime: Runtime) -> None:
    trail = open_trail()
    runtime.observe(trail)
    for _ in range(3):
        runtime.emit("quota", "drop", "rate", tenant="acme", signal="logs", count=2)
    assert trail.flush()
    (record,) = records(tmp_path / "trail", component="quota")
    assert (record["count"], record["config"]) == (6, "00c0ffee00c0ffee")


def test_a_witness_may_be_a_function(open_trail: OpenTrail, tmp_path: Path, runtime: Runtime) -> None:
    notes: list[bytes] = []
    trail = open_trail(witness=notes.append)
    note = trail.checkpoint()
    assert trail.close()
    assert notes[1] == note
    (tmp_path / "kept").write_bytes(b"".join(notes))
    assert verify(tmp_path / "trail", against=tmp_path / "kept").status is Status.OK


def test_a_witness_that_fails_harms_nobody(open_trail: OpenTrail, tmp_path: Path, runtime: Runtime) -> None:
    def broken(note: bytes) -> None:
        raise ConnectionError

    trail = open_trail(witness=broken)
    assert trail.checkpoint()
    assert trail.close()
    assert runtime.error_counts()["audit"] == {"witness:ConnectionError": 3}
    assert verify(tmp_path / "trail").status is Status.OK


def test_a_witness_inside_the_trail_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inside"):
        AuditTrail(tmp_path / "trail", witness=tmp_path / "trail" / "witness")
    with pytest.raises(ConfigError, match="cannot be written"):
        AuditTrail(tmp_path / "trail", witness=tmp_path / "missing" / "witness")


def test_the_witness_recovers_from_a_torn_line(open_trail: OpenTrail, tmp_path: Path) -> None:
    (tmp_path / "witness").write_bytes(b"otelwarden/audit/x\n3\nabc")
    trail = open_trail(witness=tmp_path / "witness")
    trail.checkpoint()
    trail.close()
    verdict = verify(tmp_path / "trail", against=tmp_path / "witness")
    assert verdict.status is Status.OK
    assert len(verdict.warnings) == 2


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        AuditTrail(tmp_path / "file" / "trail")


def test_the_key_is_made_beside_the_trail(tmp_path: Path) -> None:
    first, second = AuditTrail(tmp_path / "trail"), AuditTrail(tmp_path / "trail")
    assert first.key.key_id == second.key.key_id
    assert (tmp_path / "trail" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "trail" / "keys" / f"{first.key.key_id}.pub").read_text().strip() == str(first.key.verifying_key)
    for trail in (first, second):
        trail.append_sync(GovernanceEvent(1, "pipeline", "open", "start"))
        trail.close()
    verdict = verify(tmp_path / "trail")
    assert (verdict.status, len(verdict.streams)) == (Status.OK, 2)


def test_keys_from_files(tmp_path: Path) -> None:
    key = SigningKey.generate()
    (tmp_path / "pem").write_bytes(key.to_pem())
    assert SigningKey.load(tmp_path / "pem").key_id == key.key_id
    (tmp_path / "raw").write_text("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n")  # RFC 8032, test 1
    raw = SigningKey.load(tmp_path / "raw")
    assert raw.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    (tmp_path / "bad").write_text("c2hvcnQ=")
    for name, message in (("bad", "not an Ed25519"), ("missing", "cannot be read")):
        with pytest.raises(ConfigError, match=message) as caught:
            SigningKey.load(tmp_path / name)
        assert "c2hvcnQ" not in str(caught.value)


def test_lines_are_json(written: Path) -> None:
    for file in written.glob("*/records-*"):
        for line in file.read_text(encoding="ascii").splitlines():
            json.loads(line)
