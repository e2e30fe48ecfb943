"""Proof of what was done: an append-only, signed trail of decisions, and its verification."""

from otelwarden.audit.checkpoints import Checkpoint
from otelwarden.audit.config import AuditConfig
from otelwarden.audit.evidence import TrailEvidence
from otelwarden.audit.keys import SigningKey, VerifyingKey
from otelwarden.audit.logs import AuditLogRecordExporter, AuditLogRecordProcessor
from otelwarden.audit.metrics import AuditMetricReader
from otelwarden.audit.reading import read_records
from otelwarden.audit.spans import AuditSpanExporter, AuditSpanProcessor
from otelwarden.audit.trail import AuditTrail, TrailStats
from otelwarden.audit.verdicts import Status, StreamVerdict, Verdict, exit_code, render
from otelwarden.audit.verification import verify

__all__ = [
    "AuditConfig",
    "AuditLogRecordExporter",
    "AuditLogRecordProcessor",
    "AuditMetricReader",
    "AuditSpanExporter",
    "AuditSpanProcessor",
    "AuditTrail",
    "Checkpoint",
    "SigningKey",
    "Status",
    "StreamVerdict",
    "TrailEvidence",
    "TrailStats",
    "Verdict",
    "VerifyingKey",
    "exit_code",
    "read_records",
    "render",
    "verify",
]
