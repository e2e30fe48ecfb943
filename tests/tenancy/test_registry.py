"""The registry in memory: its life cycle, its stats, what it refuses."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import pytest

from otelwarden.core import ConfigError, OtelwardenError, Runtime, TenantDirectory
from otelwarden.tenancy import (
    DuplicateTenantError,
    InvalidTenantIdError,
    Tenant,
    TenantError,
    TenantFileError,
    TenantRegistry,
    TenantSettings,
    TenantStatus,
    UnknownTenantError,
)
from otelwarden.testing import FakeClock


def test_errors_are_ours_and_say_when_they_are_raised():
    for error in (DuplicateTenantError, InvalidTenantIdError, UnknownTenantError, TenantFileError):
        assert issubclass(error, TenantError)
        assert issubclass(error, OtelwardenError)
        assert error.__doc__.startswith("Raised when")


def test_a_tenant_lives_and_every_change_is_told(runtime, events):
    registry = TenantRegistry(runtime=runtime)
    made = registry.create("acme", "Acme", domain="acme.example", status=TenantStatus.PENDING)
    assert made == registry.get("acme") == registry.list()[0]
    assert made.status is TenantStatus.PENDING
    assert registry.activate("acme").status is TenantStatus.ACTIVE
    suspended = registry.suspend("acme", "unpaid")
    assert (suspended.status, suspended.status_reason) == (TenantStatus.SUSPENDED, "unpaid")
    assert registry.activate("acme").status_reason == ""
    assert registry.activate("acme") is registry.get("acme"), "nothing to change, nothing to tell"
    assert registry.deactivate("acme").status is TenantStatus.INACTIVE
    settings = TenantSettings(limits={"traces": {"rate": "5/s"}}, attributes={"plan": "gold"})
    updated = registry.update("acme", name="Acme Inc.", settings=settings)
    assert (updated.name, updated.domain, updated.settings) == ("Acme Inc.", "acme.example", settings)
    assert registry.limits("acme") == {"traces": {"rate": "5/s"}}
    registry.delete("acme")
    assert registry.list() == []
    assert registry.limits("acme") is None
    assert [(e.component, e.action, e.reason, e.tenant) for e in events] == [
        ("tenancy", action, reason, "acme")
        for action, reason in (
            ("create", "api"),
            ("activate", "api"),
            ("suspend", "unpaid"),
            ("activate", "api"),
            ("deactivate", "api"),
            ("update", "api"),
            ("delete", "api"),
        )
    ]


def test_duplicates_strangers_and_nonsense_are_refused(registry):
    before = registry.snapshot
    with pytest.raises(DuplicateTenantError):
        registry.create("acme", "Another")
    for change in (registry.get, registry.activate, registry.deactivate, registry.delete, registry.update):
        with pytest.raises(UnknownTenantError):
            change("stranger")
        with pytest.raises(UnknownTenantError):
            change(["unhashable"])
    with pytest.raises(UnknownTenantError):
        registry.suspend("stranger", "unpaid")
    for reason in ("Not a word", "a\n", "x" * 65):
        with pytest.raises(ConfigError):
            registry.suspend("acme", reason)
    for name, domain in (("", ""), ("a\nb", ""), ("A", "no domain"), (7, "")):
        with pytest.raises(ConfigError):
            registry.create("new", name, domain=domain)
    for settings in (
        TenantSettings(limits={"metrics": {"rate": 1}}),
        TenantSettings(limits={"traces": {"rate": "fast"}}),
        TenantSettings(limits={"traces": {"burst": 0}}),
        TenantSettings(attributes={"id": "x"}),
        TenantSettings(attributes={"quarantined_id": "x"}),
        TenantSettings(attributes={"list": [1]}),
        TenantSettings(attributes={"odd": float("nan")}),
        TenantSettings(limits=[1]),
    ):
        with pytest.raises(ConfigError):
            registry.update("acme", settings=settings)
    with pytest.raises(ValueError):
        registry.create("new", "New", status="dead")
    assert registry.snapshot is before


def test_stats_count_by_status(registry):
    assert registry.stats() == {"total": 5, "active": 2, "suspended": 1, "inactive": 1, "pending": 1}
    registry.suspend("acme", "unpaid")
    registry.suspend("acme", "abuse")
    registry.delete("blue")
    assert registry.stats() == {"total": 4, "active": 0, "suspended": 2, "inactive": 1, "pending": 1}
    assert [t.id for t in registry.list(TenantStatus.SUSPENDED)] == ["acme", "broke"]


def test_times_are_utc_of_the_clock_given():
    clock = FakeClock()
    registry = TenantRegistry(clock=clock, runtime=Runtime())
    made = registry.create("acme", "Acme")
    assert made.created_at == made.updated_at == datetime.fromtimestamp(clock.time_ns() / 1e9, tz=timezone.utc)
    clock.advance(10)
    changed = registry.update("acme", name="Acme Inc.")
    assert changed.created_at == made.created_at
    assert (changed.updated_at - made.updated_at).total_seconds() == 10


def test_it_is_a_directory_whose_generation_grows(registry):
    directory: TenantDirectory = registry
    before = directory.generation
    registry.suspend("acme", "unpaid")
    assert directory.generation == before + 1
    assert directory.limits("acme") is None


def test_what_the_caller_holds_is_not_kept():
    limits = {"traces": {"rate": "5/s"}}
    settings = TenantSettings(limits=limits)
    limits["traces"]["rate"] = "500/s"
    assert settings.limits["traces"]["rate"] == "5/s"
    with pytest.raises(TypeError):
        settings.limits["traces"]["rate"] = "500/s"


def test_a_tenant_has_an_id():
    with pytest.raises(InvalidTenantIdError, match="allowed"):
        Tenant(id="../../etc", name="Evil")


def test_eight_threads_lose_no_change():
    registry = TenantRegistry(runtime=Runtime())

    def work(number: int) -> None:
        for each in range(50):
            registry.create(f"t{number}-{each}", "T")
            if each % 2:
                registry.suspend(f"t{number}-{each}", "unpaid")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.stats() == {"total": 400, "active": 200, "suspended": 200, "inactive": 0, "pending": 0}
    assert registry.generation == 1 + 400 + 200
