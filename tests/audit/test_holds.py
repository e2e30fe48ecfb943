"""Legal holds: what must stay whatever its retention, by whom and why."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import (
    AuditTrail,
    Hold,
    Keep,
    Retention,
    RetirementRefused,
    SigningKey,
    Status,
    due_segments,
    list_holds,
    place_hold,
    read_records,
    release_hold,
    retire,
    verify,
)
from otelwarden.core import ConfigError, GovernanceEvent, Runtime
from otelwarden.testing import FakeClock

DAY = 86_400.0
MONTH = Retention({"default": Keep(at_least=30 * DAY)})

OpenTrail = Callable[..., AuditTrail]


@pytest.fixture
def aged(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path) -> Path:
    """Three closed streams, a day apart, of a tenant and a kind each."""
    for tenant, component in (("acme", "redaction"), ("globex", "quota"), ("initech", "tenancy")):
        trail = open_trail(coalesce_window=3600.0)
        for _ in range(3):
            trail(GovernanceEvent(clock.time_ns(), component, "drop", "rate", tenant, "traces"))
        assert trail.close()
        clock.advance(DAY)
    clock.advance(40 * DAY)
    return tmp_path / "trail"


def hold(**what: Any) -> Hold:
    return Hold(reason="case 17", actor="user:alice", **what)


BEGIN = 1_700_000_000_000_000_000
SPAN_OF_GLOBEX = {"since_ns": BEGIN + int(0.5 * DAY * 1e9), "until_ns": BEGIN + int(1.5 * DAY * 1e9)}


@pytest.mark.parametrize(
    ("what", "held"),
    [
        pytest.param({"tenant": "globex"}, {"globex"}, id="tenant"),
        pytest.param({"kind": "quota"}, {"globex"}, id="component"),
        pytest.param({"kind": "tenancy/drop"}, {"initech"}, id="component and action"),
        pytest.param({"kind": "tenancy/mask"}, set(), id="another action"),
        pytest.param(SPAN_OF_GLOBEX, {"globex"}, id="time span"),
        pytest.param({"since_ns": SPAN_OF_GLOBEX["since_ns"]}, {"globex", "initech"}, id="since"),
        pytest.param({"until_ns": SPAN_OF_GLOBEX["until_ns"]}, {"acme", "globex"}, id="until"),
        pytest.param({**SPAN_OF_GLOBEX, "tenant": "acme"}, set(), id="both must be true"),
    ],
)
def test_what_is_held_stays(
    aged: Path, open_trail: OpenTrail, clock: FakeClock, what: dict[str, Any], held: set[str]
) -> None:
    trail = open_trail()
    placed = place_hold(trail, hold(**what))
    found = retire(trail, MONTH)
    assert {each["tenant"] for each in read_records(aged) if each["action"] == "drop"} == held
    assert sum(bool(due.held_by) for due in found) == len(held)
    release_hold(trail, placed, reason="case closed", actor="user:bob")
    clock.advance(1.0)
    assert not any(due.held_by for due in retire(trail, MONTH))
    assert [each for each in read_records(aged) if each["action"] == "drop"] == []
    assert trail.close()
    assert verify(aged).status is Status.OK


def test_who_held_what_and_why_is_in_the_trail(aged: Path, open_trail: OpenTrail) -> None:
    trail = open_trail()
    placed = place_hold(trail, hold(tenant="globex", kind="quota/drop", **SPAN_OF_GLOBEX))
    (found,) = list_holds(aged)
    assert found == hold(id=placed, tenant="globex", kind="quota/drop", **SPAN_OF_GLOBEX)
    release_hold(trail, placed, reason="case closed", actor="user:bob")
    assert list_holds(aged) == []
    assert trail.close()
    said = [
        (each["action"], each["actor"], each["reason"])
        for each in read_records(aged)
        if each["action"] in ("hold", "release")
    ]
    assert said == [("hold", "user:alice", "case 17"), ("release", "user:bob", "case closed")]


def test_a_hold_outlives_the_segment_that_its_record_is_in(aged: Path, open_trail: OpenTrail, clock: FakeClock) -> None:
    trail = open_trail()
    place_hold(trail, hold(tenant="globex"))
    assert trail.append_sync(GovernanceEvent(clock.time_ns(), "pipeline", "reload", "x"))
    assert trail.close()
    clock.advance(40 * DAY)
    later = open_trail()
    retire(later, MONTH)
    assert later.close()
    clock.advance(40 * DAY)
    assert {each["tenant"] for each in read_records(aged) if each["action"] == "drop"} == {"globex"}
    assert [due.held_by[0].tenant for due in due_segments(aged, MONTH, clock.time_ns()) if due.held_by] == ["globex"]
    assert len(list_holds(aged)) == 1


HOLDER = """
import os, signal, sys
from otelwarden.audit import AuditTrail, Hold, place_hold
from otelwarden.core import Runtime
trail = AuditTrail(sys.argv[1], runtime=Runtime(), sync_timeout=30.0)
print(place_hold(trail, Hold(tenant="globex", reason="case 17", actor="user:alice")), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_hold_survives_the_death_of_the_process(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HOLDER, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [each.id for each in list_holds(tmp_path)] == [done.stdout.strip()]


def test_a_release_that_nobody_sealed_releases_nothing(aged: Path, open_trail: OpenTrail, clock: FakeClock) -> None:
    trail = open_trail()
    placed = place_hold(trail, hold(tenant="globex"))
    event = GovernanceEvent(clock.time_ns(), "audit", "release", "x", target=placed, actor="user:mallory")
    assert trail.append_sync(event)
    assert [each.id for each in list_holds(aged)] == [placed]
    assert trail.checkpoint()
    assert list_holds(aged) == []


@pytest.mark.parametrize(
    "what",
    [{}, {"kind": "a b"}, {"kind": "a/b/c"}, {"since_ns": 2, "until_ns": 1}, {"tenant": "x", "reason": ""}],
    ids=str,
)
def test_a_hold_that_is_none(what: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Hold(**{"reason": "case 17", "actor": "user:alice", **what})


def test_releasing_what_is_not_held(aged: Path, open_trail: OpenTrail) -> None:
    trail = open_trail()
    with pytest.raises(ConfigError, match="no such hold"):
        release_hold(trail, "00000000", reason="x", actor="user:bob")
    placed = place_hold(trail, hold(tenant="globex"))
    with pytest.raises(ConfigError, match="needs a reason"):
        release_hold(trail, placed, reason="", actor="user:bob")
    assert [each.id for each in list_holds(aged)] == [placed]


def test_a_release_by_another_key_is_no_release(aged: Path, open_trail: OpenTrail, runtime: Runtime) -> None:
    """Whoever may write to the directory can put a key of their own there, and sign with it."""
    trail = open_trail()
    placed = place_hold(trail, hold(tenant="globex"))
    mallory = AuditTrail(aged, key=SigningKey.generate(), runtime=runtime, sync_timeout=10.0)
    release_hold(mallory, placed, reason="x", actor="user:mallory")
    assert mallory.close()
    with pytest.raises(RetirementRefused, match="KEY_UNKNOWN"):
        retire(trail, MONTH)
    assert {each["tenant"] for each in read_records(aged) if each["action"] == "drop"} == {"acme", "globex", "initech"}
