"""What may be in telemetry: finds personal data and secrets in spans, logs and metrics and removes them."""

from otelwarden.redaction.actions import ACTIONS, DELETED, Action, Delete, Mask, Replace
from otelwarden.redaction.catalogue import Detector, catalogue
from otelwarden.redaction.config import RedactionConfig
from otelwarden.redaction.document import Document, Edits, Unscannable
from otelwarden.redaction.logs import RedactionLogRecordExporter, RedactionLogRecordProcessor
from otelwarden.redaction.metrics import RedactionMetricReader
from otelwarden.redaction.policy import BUILT_IN, KeyGlobs, PolicySource, RedactionPolicy, Rule
from otelwarden.redaction.redactor import Redaction, Redactor
from otelwarden.redaction.scanner import Hit, Scanner
from otelwarden.redaction.spans import RedactionSpanExporter, RedactionSpanProcessor
from otelwarden.redaction.validators import VALIDATORS, Validator

__all__ = [
    "ACTIONS",
    "BUILT_IN",
    "DELETED",
    "VALIDATORS",
    "Action",
    "Delete",
    "Detector",
    "Document",
    "Edits",
    "Hit",
    "KeyGlobs",
    "Mask",
    "PolicySource",
    "Redaction",
    "RedactionConfig",
    "RedactionLogRecordExporter",
    "RedactionLogRecordProcessor",
    "RedactionMetricReader",
    "RedactionPolicy",
    "RedactionSpanExporter",
    "RedactionSpanProcessor",
    "Redactor",
    "Replace",
    "Rule",
    "Scanner",
    "Unscannable",
    "Validator",
    "catalogue",
]
