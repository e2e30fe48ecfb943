"""What may be in telemetry: finds personal data and secrets in spans, logs and metrics and removes them."""

from otelwarden.redaction.actions import (
    BLOCKED,
    DELETED,
    Action,
    ActsOnParts,
    Archive,
    Audit,
    Block,
    Delete,
    HitFacts,
    ItemFacts,
    Keys,
    Mask,
    NeedsKeys,
    Replace,
)
from otelwarden.redaction.archives import FileArchive, ItemArchive, ProcessorArchive
from otelwarden.redaction.baggage import RedactionBaggagePropagator
from otelwarden.redaction.case import Finding, Redaction
from otelwarden.redaction.catalogue import Detector, catalogue
from otelwarden.redaction.classification import ClassificationConfig
from otelwarden.redaction.config import RedactionConfig
from otelwarden.redaction.document import Document, Edits, Unscannable
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.generalise import Generalise
from otelwarden.redaction.keyring import FileKeyRing, FixedKeyRing
from otelwarden.redaction.literals import EmptyLiterals
from otelwarden.redaction.live import AnyPolicy, LivePolicy
from otelwarden.redaction.logs import RedactionLogRecordExporter, RedactionLogRecordProcessor
from otelwarden.redaction.metrics import RedactionMetricReader
from otelwarden.redaction.policy import BUILT_IN, PolicySource, RedactionPolicy
from otelwarden.redaction.redactor import Redactor
from otelwarden.redaction.registry import ACTIONS
from otelwarden.redaction.rules import Allowance, KeyGlobs, Rule
from otelwarden.redaction.scanner import Scanner
from otelwarden.redaction.segments import EmptyPathIds
from otelwarden.redaction.spans import RedactionSpanExporter, RedactionSpanProcessor
from otelwarden.redaction.stage import RedactionOptions
from otelwarden.redaction.subjects import SubjectKeyDirectory
from otelwarden.redaction.tokens import Encrypt, Hash, Pseudonymise, Revelation, read_token
from otelwarden.redaction.validators import VALIDATORS, Validator

__all__ = [
    "ACTIONS",
    "BLOCKED",
    "BUILT_IN",
    "DELETED",
    "VALIDATORS",
    "Action",
    "ActsOnParts",
    "Allowance",
    "AnyPolicy",
    "Archive",
    "Audit",
    "Block",
    "ClassificationConfig",
    "Delete",
    "Detector",
    "Document",
    "Edits",
    "EmptyLiterals",
    "EmptyPathIds",
    "Encrypt",
    "FileArchive",
    "FileKeyRing",
    "Finding",
    "FixedKeyRing",
    "Generalise",
    "Hash",
    "Hit",
    "HitFacts",
    "ItemArchive",
    "ItemFacts",
    "KeyGlobs",
    "Keys",
    "LivePolicy",
    "Mask",
    "NeedsKeys",
    "PolicySource",
    "ProcessorArchive",
    "Pseudonymise",
    "Redaction",
    "RedactionBaggagePropagator",
    "RedactionConfig",
    "RedactionLogRecordExporter",
    "RedactionLogRecordProcessor",
    "RedactionMetricReader",
    "RedactionOptions",
    "RedactionPolicy",
    "RedactionSpanExporter",
    "RedactionSpanProcessor",
    "Redactor",
    "Replace",
    "Revelation",
    "Rule",
    "Scanner",
    "SubjectKeyDirectory",
    "Unscannable",
    "Validator",
    "catalogue",
    "read_token",
]
