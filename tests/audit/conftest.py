"""Trails to be judged, written by the real writer into real files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import AuditTrail, SigningKey
from otelwarden.core import GovernanceEvent, Runtime
from otelwarden.testing import FakeClock


def event(action: str = "mask", reason: str = "pii/email", tenant: str = "acme", count: int = 1, **more: Any) -> Any:
    more.setdefault("component", "redaction")
    more.setdefault("signal", "traces")
    return GovernanceEvent(
        more.pop("time_ns", 1_700_000_000_000_000_000), more.pop("component"), action, reason, tenant,
        more.pop("signal"), count, **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def runtime(clock: FakeClock) -> Runtime:
    return Runtime(clock=clock, config_digest="00c0ffee00c0ffee")


@pytest.fixture
def open_trail(tmp_path: Path, key: SigningKey, runtime: Runtime) -> Iterator[Callable[..., AuditTrail]]:
    trails = []

    def build(name: str = "trail", **options: Any) -> AuditTrail:
        trail = AuditTrail(tmp_path / name, key=key, runtime=runtime, **{"sync_timeout": 60.0, **options})
        trails.append(trail)
        return trail

    yield build
    for trail in trails:
        trail.close()


@pytest.fixture
def written(open_trail: Callable[..., AuditTrail], tmp_path: Path, runtime: Runtime) -> Path:
    """A closed trail: 3 checkpoints over 15 records, witnessed outside."""
    trail = open_trail(witness=tmp_path / "witness")
    ledger = runtime.ledger("quota", "traces")
    numbers = itertools.count()
    for _ in range(2):
        for _ in range(5):
            ledger.account("acme").received.tick()
            ledger.account("acme").forwarded.tick()
            assert trail.append_sync(event("reload", f"r{next(numbers)}", time_ns=runtime.clock.time_ns()))
        assert trail.checkpoint()
    assert trail.close()
    return tmp_path / "trail"
