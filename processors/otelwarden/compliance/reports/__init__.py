"""Reports: JSON, OSCAL assessment results, Markdown, and one HTML page that needs nothing else."""

from otelwarden.compliance.reports.oscal import dangling_references
from otelwarden.compliance.reports.render import FORMATS, ReportFormat, render_report

__all__ = ["FORMATS", "ReportFormat", "dangling_references", "render_report"]
