"""The spool: encoded batches on disk, in segments of records with checksums."""

from otelwarden.failover.spool.config import SpoolConfig
from otelwarden.failover.spool.inspection import StreamReport, inspect
from otelwarden.failover.spool.spool import Appended, Spool, SpoolStats, TakenOver
from otelwarden.failover.spool.stream import Record

__all__ = [
    "Appended",
    "Record",
    "Spool",
    "SpoolConfig",
    "SpoolStats",
    "StreamReport",
    "TakenOver",
    "inspect",
]
