"""Meaning: frameworks, checks, assessments, findings and reports."""

from otelwarden.compliance.assessment import Assessment, FrameworkResult, RequirementResult, assess
from otelwarden.compliance.assessor import Assessor, EvidenceSources, new_process_name
from otelwarden.compliance.checks import ENTRY_POINTS, Check, CheckRun, all_checks
from otelwarden.compliance.config import BUILT_IN, ComplianceConfig, Recipient
from otelwarden.compliance.facts import (
    Approval,
    Component,
    Configuration,
    ControlState,
    Evidence,
    History,
    Hit,
    OpenFinding,
    PipelineFacts,
    PolicyFacts,
    SampleFacts,
    Snapshot,
)
from otelwarden.compliance.findings import ComplianceFinding, Decision, Refused, Status, Transition
from otelwarden.compliance.framework import CheckUse, Control, Framework, Requirement, load_frameworks
from otelwarden.compliance.gate import Block, Gate
from otelwarden.compliance.logs import ComplianceLogRecordExporter, ComplianceLogRecordProcessor
from otelwarden.compliance.metrics import ComplianceMetricReader
from otelwarden.compliance.reports import FORMATS, ReportFormat, dangling_references, render_report
from otelwarden.compliance.results import Outcome, Problem, Result, Severity
from otelwarden.compliance.sample import Sample
from otelwarden.compliance.spans import ComplianceSpanExporter, ComplianceSpanProcessor
from otelwarden.compliance.store import FindingStore
from otelwarden.compliance.trailfacts import TrailFacts
from otelwarden.compliance.watch import Watch

__all__ = [
    "BUILT_IN",
    "ENTRY_POINTS",
    "FORMATS",
    "Approval",
    "Assessment",
    "Assessor",
    "Block",
    "Check",
    "CheckRun",
    "CheckUse",
    "ComplianceConfig",
    "ComplianceFinding",
    "ComplianceLogRecordExporter",
    "ComplianceLogRecordProcessor",
    "ComplianceMetricReader",
    "ComplianceSpanExporter",
    "ComplianceSpanProcessor",
    "Component",
    "Configuration",
    "Control",
    "ControlState",
    "Decision",
    "Evidence",
    "EvidenceSources",
    "FindingStore",
    "Framework",
    "FrameworkResult",
    "Gate",
    "History",
    "Hit",
    "OpenFinding",
    "Outcome",
    "PipelineFacts",
    "PolicyFacts",
    "Problem",
    "Recipient",
    "Refused",
    "ReportFormat",
    "Requirement",
    "RequirementResult",
    "Result",
    "Sample",
    "SampleFacts",
    "Severity",
    "Snapshot",
    "Status",
    "TrailFacts",
    "Transition",
    "Watch",
    "all_checks",
    "assess",
    "dangling_references",
    "load_frameworks",
    "new_process_name",
    "render_report",
]
