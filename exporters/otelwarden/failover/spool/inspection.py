"""What is in a spool, read without touching it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from otelwarden.core import ConfigError, Fault
from otelwarden.failover.spool.directory import check_format, segments_of, streams_of
from otelwarden.failover.spool.lease import Lease
from otelwarden.failover.spool.segment import Segment


@dataclass(slots=True, kw_only=True)
class StreamReport:
    """What one process wrote for one signal."""

    stream: str
    signal: str
    alive: bool
    """Whether a process has it, which is delivering it; else the next one will take it over."""
    segments: int = 0
    disk_bytes: int = 0
    """Bytes of the segments."""
    waiting: int = 0
    """Batches that wait."""
    bytes: int = 0
    """Bytes of them."""
    items: int = 0
    """Spans, log records or data points in them."""
    tenants: dict[str, int] = field(default_factory=dict)
    """The items by tenant."""
    oldest_age: float = 0.0
    """Seconds since the oldest of them was appended."""
    encrypted: int = 0
    """How many of them are encrypted."""
    settled: int = 0
    """Batches that were delivered or dropped, in segments that are still there."""
    corrupt: int = 0
    """Batches that wait whose body is damaged."""
    corrupt_items: int = 0
    """The items in them."""
    damaged: int = 0
    """Places where a header is damaged: nothing tells what was there."""

    @property
    def intact(self) -> bool:
        """Whether everything in it is what was written."""
        return not (self.corrupt or self.damaged)


def inspect(path: Path) -> list[StreamReport]:
    """The streams in the directory of a spool, oldest first; every checksum is verified.

    Raises:
        ConfigError: it is no spool, of a newer format, or cannot be read.
    """
    try:
        if not path.is_dir():
            raise ConfigError([Fault(message="no such directory", given=str(path))])
        check_format(path)
        return [_report(stream) for stream in streams_of(path)]
    except OSError as error:
        raise ConfigError([Fault(message=f"cannot be read: {error.strerror}", given=str(path))]) from error


def _report(path: Path) -> StreamReport:
    lease = Lease.take(path)
    if lease is not None:
        lease.let_go()
    report = StreamReport(stream=path.name, signal=path.name.partition("-")[0], alive=lease is None)
    now = time.time_ns()
    for each in segments_of(path):
        with contextlib.suppress(FileNotFoundError, ValueError):  # its process has just removed it; or it is none
            _add(report, Segment.open(each), now)
    return report


def _add(report: StreamReport, segment: Segment, now_ns: int) -> None:
    found = segment.scan()
    report.segments += 1
    report.disk_bytes += segment.size
    for _, header, intact in found:
        if header is None:
            report.damaged += 1
        elif header.settled:
            report.settled += 1
        elif not intact:
            report.corrupt += 1
            report.corrupt_items += header.items
        else:
            report.waiting += 1
            report.bytes += header.size
            report.items += header.items
            report.encrypted += header.key_id is not None
            report.oldest_age = max(report.oldest_age, (now_ns - header.time_ns) / 1e9)
            _count(report.tenants, header.tenants)


def _count(total: dict[str, int], tenants: Mapping[str, int]) -> None:
    for tenant, count in tenants.items():
        total[tenant] = total.get(tenant, 0) + count
