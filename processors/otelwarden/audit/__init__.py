"""Proof of what was done: an append-only, signed trail of decisions, and its verification."""

from otelwarden.audit.checkpoints import Checkpoint
from otelwarden.audit.config import AuditConfig, TrailLogsConfig
from otelwarden.audit.evidence import TrailEvidence
from otelwarden.audit.holds import Hold, list_holds, place_hold, release_hold
from otelwarden.audit.keys import SigningKey, VerifyingKey
from otelwarden.audit.listing import StreamEntry, list_streams
from otelwarden.audit.logs import AuditLogRecordExporter, AuditLogRecordProcessor
from otelwarden.audit.metrics import AuditMetricReader
from otelwarden.audit.proof import Proof, prove
from otelwarden.audit.reading import last_records, read_records
from otelwarden.audit.retention import Keep, Retention
from otelwarden.audit.retirement import Due, RetirementRefused, due_segments, retire
from otelwarden.audit.rotation import first_key
from otelwarden.audit.spans import AuditSpanExporter, AuditSpanProcessor
from otelwarden.audit.trail import AuditTrail, TrailStats
from otelwarden.audit.traillogs import TrailLogs, TrailLogsStats
from otelwarden.audit.verdicts import Status, StreamVerdict, Verdict, exit_code, render
from otelwarden.audit.verification import trail_bytes, verify
from otelwarden.audit.witness_ledger import WitnessLedger
from otelwarden.audit.witness_server import WitnessServer

__all__ = [
    "AuditConfig",
    "AuditLogRecordExporter",
    "AuditLogRecordProcessor",
    "AuditMetricReader",
    "AuditSpanExporter",
    "AuditSpanProcessor",
    "AuditTrail",
    "Checkpoint",
    "Due",
    "Hold",
    "Keep",
    "Proof",
    "Retention",
    "RetirementRefused",
    "SigningKey",
    "Status",
    "StreamEntry",
    "StreamVerdict",
    "TrailEvidence",
    "TrailLogs",
    "TrailLogsConfig",
    "TrailLogsStats",
    "TrailStats",
    "Verdict",
    "VerifyingKey",
    "WitnessLedger",
    "WitnessServer",
    "due_segments",
    "exit_code",
    "first_key",
    "last_records",
    "list_holds",
    "list_streams",
    "place_hold",
    "prove",
    "read_records",
    "release_hold",
    "render",
    "retire",
    "trail_bytes",
    "verify",
]
