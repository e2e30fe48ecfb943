"""The registry over a real file: reload, the last good one kept, atomic writes, faults."""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import ConfigError, Runtime
from otelwarden.tenancy import (
    DuplicateTenantError,
    Tenancy,
    TenantFileError,
    TenantRegistry,
    TenantSettings,
    TenantStatus,
    UnknownTenantError,
    use_tenant,
)

from .waiting import in_child, until

INVALID = sorted((Path(__file__).parent / "tenants-invalid").glob("*.yaml"))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_all_its_faults(path):
    expected = [line[2:].split(": ", 1) for line in path.read_text().splitlines() if line.startswith("# ")]
    with pytest.raises(ConfigError) as refused:
        TenantRegistry(path, runtime=Runtime())
    faults = refused.value.faults
    assert sorted(fault.pointer for fault in faults) == sorted(pointer for pointer, _ in expected)
    for pointer, message in expected:
        assert any(f.pointer == pointer and f.message.startswith(message.strip()) for f in faults), (pointer, faults)
    assert all(fault.file == str(path) for fault in faults)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        TenantRegistry(tmp_path / "none.yaml")
    (tmp_path / "latin.json").write_bytes(b'{"tenants": [{"id": "a", "name": "\xe9"}]}')
    with pytest.raises(ConfigError, match="UTF-8"):
        TenantRegistry(tmp_path / "latin.json")
    (tmp_path / "twice.json").write_text('{"tenants": [], "tenants": []}')
    with pytest.raises(ConfigError, match="twice"):
        TenantRegistry(tmp_path / "twice.json")


def test_everything_in_a_good_file_is_read(tmp_path):
    path = tmp_path / "tenants.yaml"
    path.write_text(
        "tenants:\n"
        "- {id: acme, name: Acme, domain: acme.example, status: suspended, status_reason: unpaid,\n"
        "   created_at: 2025-01-31T10:30:00+01:00, updated_at: '2025-02-01T00:00:00.250Z',\n"
        "   settings: {limits: {traces: {rate: 500/s, burst: 2000}, logs: {rate: 5}},\n"
        "              attributes: {plan: gold, n: 1}}}\n"
        "- {id: b, name: B, created_at: 2025-01-31}\n"
    )
    registry = TenantRegistry(path)
    tenant = registry.get("acme")
    assert tenant.created_at.isoformat() == "2025-01-31T09:30:00+00:00"
    assert tenant.updated_at.isoformat() == "2025-02-01T00:00:00.250000+00:00"
    assert (tenant.status, tenant.status_reason) == (TenantStatus.SUSPENDED, "unpaid")
    assert registry.limits("acme") == {"traces": {"rate": "500/s", "burst": 2000}, "logs": {"rate": 5}}
    assert tenant.settings.attributes == {"plan": "gold", "n": 1}
    assert registry.get("b").created_at.isoformat() == "2025-01-31T00:00:00+00:00"
    assert registry.get("b").updated_at is None


def test_a_change_is_in_force_for_spans_that_started_before(tenants_file, runtime, spans, events):
    registry = TenantRegistry(tenants_file, runtime=runtime)
    pipeline = spans(registry=registry)
    with use_tenant("acme"):
        span = pipeline.tracer.start_span("work")
    tenants_file.write_text("tenants:\n- {id: acme, name: Acme, status: suspended, status_reason: abuse}\n")
    until(lambda: registry.get("acme").status is TenantStatus.SUSPENDED)
    span.end()
    assert pipeline.left == []
    assert pipeline.drops == {"tenant_suspended": 1}
    told = [(e.action, e.reason, e.tenant, e.target) for e in events if e.target]
    file = str(tenants_file)
    assert told[:2] == [("load", "ok", "", file), ("reload", "ok", "", file)]
    assert ("suspend", "abuse", "acme", file) in told
    assert ("delete", "file", "blue", file) in told
    registry.close()


def test_the_last_good_one_stays_while_the_file_is_bad_or_gone(tenants_file, runtime, events, caplog):
    registry = TenantRegistry(tenants_file, runtime=runtime)
    tenancy = Tenancy(registry, runtime=runtime)
    good = tenants_file.read_text()

    def refusals():
        return [e for e in events if (e.action, e.reason) == ("reload", "refused")]

    tenants_file.write_text("tenants: [{id: acme")
    until(lambda: len(refusals()) == 1)
    before = registry.snapshot
    assert tenancy.admit("acme").action == "pass"
    with pytest.raises(TenantFileError, match="repair"):
        registry.suspend("acme", "unpaid")
    assert tenants_file.read_text() == "tenants: [{id: acme"
    tenants_file.unlink()
    until(lambda: len(refusals()) == 2)
    with pytest.raises(TenantFileError, match="vanished"):
        registry.delete("acme")
    assert not tenants_file.exists()
    assert registry.snapshot is before
    assert all(e.target == str(tenants_file) for e in refusals())
    assert len([r for r in caplog.records if "last good one" in r.getMessage()]) == 2
    tenants_file.write_text(good)
    until(lambda: [e.reason for e in events if e.action == "reload"][-1] == "ok")
    registry.suspend("acme", "unpaid")
    assert len(refusals()) == 2
    registry.close()


def test_a_change_of_the_same_size_at_the_same_time_is_seen(tenants_file, runtime):
    registry = TenantRegistry(tenants_file, runtime=runtime)
    registry.watch(0.02)
    when = tenants_file.stat()
    tenants_file.write_text(tenants_file.read_text().replace("name: Acme", "name: Bcme"))
    os.utime(tenants_file, ns=(when.st_atime_ns, when.st_mtime_ns))
    until(lambda: registry.get("acme").name == "Bcme")
    registry.close()


@pytest.mark.parametrize("name", ["tenants.yaml", "tenants.json"])
def test_changes_are_written_and_keep_the_mode(tmp_path, name):
    path = tmp_path / name
    path.write_text('{"tenants": []}')
    path.chmod(0o640)
    registry = TenantRegistry(path, runtime=Runtime())
    odd = 'Ümlaut "quoted" \\ $5 ${HOME} $$ 😀 #: {}'
    registry.create("acme", odd, settings=TenantSettings(attributes={"plan": odd + "\n\t\x7f\u2028\ufeff", "n": 1.5}))
    registry.create("b", "B", status=TenantStatus.PENDING)
    registry.suspend("b", "unpaid")
    again = TenantRegistry(path, runtime=Runtime())
    assert again.list() == registry.list()
    registry.delete("b")
    registry.delete("acme")
    assert TenantRegistry(path, runtime=Runtime()).list() == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing is left behind"
    if name.endswith(".json"):
        assert json.loads(path.read_text()) == {"tenants": []}


def test_what_a_symbolic_link_points_to_is_replaced(tmp_path, tenants_file):
    link = tmp_path / "link.yaml"
    link.symlink_to(tenants_file)
    TenantRegistry(link, runtime=Runtime()).create("new", "New")
    assert link.is_symlink()
    assert TenantRegistry(tenants_file, runtime=Runtime()).get("new").name == "New"


def test_what_others_wrote_meanwhile_is_taken_over_first(tenants_file):
    one = TenantRegistry(tenants_file, runtime=Runtime())
    other = TenantRegistry(tenants_file, runtime=Runtime())
    one.create("new", "New")
    with pytest.raises(DuplicateTenantError):
        other.create("new", "New")
    other.create("newer", "Newer")
    assert {"new", "newer"} <= {t.id for t in TenantRegistry(tenants_file, runtime=Runtime()).list()}


def test_two_processes_lose_no_change(tenants_file):
    def create(number: int) -> None:
        registry = TenantRegistry(tenants_file, runtime=Runtime())
        for each in range(15):
            registry.create(f"t{number}-{each}", "T")

    threads = [threading.Thread(target=lambda n=n: statuses.append(in_child(lambda: create(n)))) for n in range(2)]
    statuses: list[int] = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0, 0]
    assert TenantRegistry(tenants_file, runtime=Runtime()).stats()["total"] == 5 + 30


def test_a_reader_never_sees_half_a_file(tenants_file):
    registry = TenantRegistry(tenants_file, runtime=Runtime())
    faults: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                TenantRegistry(tenants_file, runtime=Runtime())
            except Exception as error:
                faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        registry.create(f"t{number}", "T" * 150)
    done.set()
    reader.join()
    assert faults == []


def test_a_write_that_fails_leaves_everything_as_it_was(tenants_file):
    before = tenants_file.read_text()

    def grow_beyond_what_is_allowed() -> None:
        registry = TenantRegistry(tenants_file, runtime=Runtime())
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))  # in this child only: stands for a full disk
        with pytest.raises(TenantFileError, match="written"):
            registry.create("new", "New")
        with pytest.raises(UnknownTenantError):
            registry.get("new")

    assert in_child(grow_beyond_what_is_allowed) == 0
    assert tenants_file.read_text() == before
    assert [each.name for each in tenants_file.parent.iterdir()] == ["tenants.yaml"]


def test_a_child_process_watches_too(tenants_file, runtime):
    registry = TenantRegistry(tenants_file, runtime=runtime)
    registry.watch()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, b"r")
            until(lambda: registry.get("acme").status is TenantStatus.INACTIVE)
            names = [t.name for t in threading.enumerate()]
            os.write(write, b"1" if names.count("otelwarden-tenants") == 1 else b"2")
        finally:
            os._exit(0)
    assert os.read(read, 1) == b"r"
    tenants_file.write_text("tenants: [{id: acme, name: Acme, status: inactive}]\n")
    assert os.read(read, 1) == b"1"
    os.waitpid(child, 0)
    registry.close()


def test_the_thread_starts_when_needed_and_ends_with_its_registry(tenants_file, runtime):
    def watching():
        return sum(t.name == "otelwarden-tenants" for t in threading.enumerate())

    before = watching()
    registry = TenantRegistry(tenants_file, runtime=runtime)
    assert watching() == before
    registry.watch(0.02)
    registry.watch(0.02)
    assert watching() == before + 1
    del registry
    until(lambda: watching() == before)


def test_ten_thousand_tenants(tmp_path, runtime):
    path = tmp_path / "tenants.json"
    entries = [{"id": f"t{n}", "name": f"Tenant {n}", "settings": {"attributes": {"n": n}}} for n in range(10_000)]
    path.write_text(json.dumps({"tenants": entries}))
    registry = TenantRegistry(path, runtime=runtime)
    assert registry.stats()["active"] == 10_000
    tenancy = Tenancy(registry, runtime=runtime)
    entries[9_999]["status"] = "suspended"
    path.write_text(json.dumps({"tenants": entries}))
    until(lambda: tenancy.admit("t9999").action == "reject")
    registry.activate("t9999")
    assert tenancy.admit("t9999").action == "pass"
    assert re.search(r'"id": "t9999".*"status": "active"', path.read_text())
    registry.close()


SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)


@settings(max_examples=100, deadline=None)
@given(SCALARS, st.sampled_from([".yaml", ".json"]), st.booleans())
def test_any_value_survives_the_file(tmp_path_factory, value, suffix, by_the_full_reader):
    path = tmp_path_factory.mktemp("any") / f"tenants{suffix}"
    path.write_text("tenants: []")
    registry = TenantRegistry(path, runtime=Runtime())
    registry.create("acme", "Acme", settings=TenantSettings(attributes={"value": value}))
    if by_the_full_reader:
        path.write_text("\n" + path.read_text() + "# not one tenant a line\n")
    read = TenantRegistry(path, runtime=Runtime()).get("acme").settings.attributes["value"]
    assert (type(read), read) == (type(value), value)


def test_whoever_asks_for_limits_has_them_kept_up_to_date(tenants_file, runtime):
    registry = TenantRegistry(tenants_file, runtime=runtime)
    assert registry.limits("blue") == {"traces": {"rate": "500/s", "burst": 2000}}
    tenants_file.write_text(tenants_file.read_text().replace("500/s", "5/s"))
    until(lambda: registry.limits("blue") == {"traces": {"rate": "5/s", "burst": 2000}})
    registry.close()
