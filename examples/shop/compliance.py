"""The compliance of the demo's own run: assessed from outside, as an auditor would, and written as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from otelwarden.compliance import render_report
from otelwarden.compliance.assessment import as_document
from otelwarden.compliance.reports.words import to_do
from otelwarden.core import Runtime
from otelwarden.pipeline import load_settings
from otelwarden.pipeline.compliance import open_assessor

_SHOWN: Final = 3


class Compliance:
    """One assessment.

    Args:
        config: the otelwarden file of the services.
        environment: what they run with.
        page: where the page is written to.
    """

    def __init__(self, config: Path, *, environment: Mapping[str, str], page: Path) -> None:
        self.page = page
        settings = load_settings(config, environment=environment)
        if settings.compliance is None:
            raise RuntimeError(f"{config} has no section `compliance`")
        assessor = open_assessor(settings, settings.compliance, runtime=Runtime())
        self.assessment = assessor.assess()
        page.write_text(render_report(assessor.store, "html"), encoding="utf-8")

    def advice(self) -> Iterator[str]:
        """What would help most, for people."""
        entries = to_do({"assessment": as_document(self.assessment)})
        for entry in entries[:_SHOWN]:
            yield f"{entry['advice'].replace('`', '')} ({len(entry['requirements'])} requirements)"
        if len(entries) > _SHOWN:
            yield f"and {len(entries) - _SHOWN} more"
