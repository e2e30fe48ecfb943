"""One function for every format."""

from __future__ import annotations

import json
from typing import Final, Literal, TypeAlias, get_args

from otelwarden.compliance.reports.document import report_document
from otelwarden.compliance.reports.html import html_report
from otelwarden.compliance.reports.markdown import markdown_report
from otelwarden.compliance.reports.oscal import oscal_results
from otelwarden.compliance.store import FindingStore

ReportFormat: TypeAlias = Literal["json", "oscal", "md", "html"]

FORMATS: Final[tuple[ReportFormat, ...]] = get_args(ReportFormat)


def render_report(store: FindingStore, format: ReportFormat, *, assessment: str | None = None) -> str:
    """The report of an assessment. From the same store it is the same, byte for byte.

    Args:
        assessment: its id; None for the latest.

    Raises:
        ConfigError: there is no such assessment, or what the format needs is not installed.
    """
    report = report_document(store, assessment)
    if format == "json":
        return json.dumps(report, indent=2, sort_keys=True) + "\n"
    if format == "oscal":
        return json.dumps(oscal_results(report), indent=2) + "\n"
    return markdown_report(report) if format == "md" else html_report(report)
