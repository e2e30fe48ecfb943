"""The spool: encoded batches on disk, in segments of records with checksums."""

from otelwarden.failover.spool.config import Fsync, SpoolConfig
from otelwarden.failover.spool.directory import check_format, segments_of, streams_of
from otelwarden.failover.spool.lease import Lease
from otelwarden.failover.spool.records import Found, Header, scan
from otelwarden.failover.spool.segment import Segment
from otelwarden.failover.spool.spool import Appended, Spool, SpoolStats, TakenOver
from otelwarden.failover.spool.stream import Record

__all__ = [
    "Appended",
    "Found",
    "Fsync",
    "Header",
    "Lease",
    "Record",
    "Segment",
    "Spool",
    "SpoolConfig",
    "SpoolStats",
    "TakenOver",
    "check_format",
    "scan",
    "segments_of",
    "streams_of",
]
