from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otelwarden.core import Runtime
from otelwarden.failover.spool import Record, Spool, SpoolConfig, TakenOver

TENANTS = {"acme": 2, "globex": 1}

ATTEMPT = 300.0
"""Seconds for an attempt at which no machine is too slow: what ends in less did not wait for one."""

PATIENCE = 60.0
"""Seconds to wait for what will come; a slow machine may need many."""


class Rig:
    """A spool, and what it told."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.runtime = Runtime()
        self.taken: list[TakenOver] = []
        config = SpoolConfig(**{"path": str(path), "fsync": "none", **settings})
        self.spool = Spool(config, "traces", runtime=self.runtime, on_takeover=self.taken.append)
        self.evicted: list[Record] = []

    def append(self, body: bytes, tenants: dict[str, int] = TENANTS) -> Record | None:
        record, evicted = self.spool.append(body, tenants)
        self.evicted += evicted
        return record

    @property
    def found(self) -> list[Record]:
        return [record for taken in self.taken for record in taken.records]

    @property
    def bodies(self) -> list[bytes | None]:
        return [self.spool.read(record) for record in self.found]

    def take_over(self) -> Rig:
        self.spool.take_over()
        return self


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**settings: Any) -> Rig:
        rigs.append(Rig(tmp_path / "spool", **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.spool.close()


@pytest.fixture
def segments(tmp_path: Path) -> Callable[[], list[Path]]:
    return lambda: sorted((tmp_path / "spool").glob("*/*.segment"))
