"""Checks: each looks at some of the evidence and answers with one of six results."""

from otelwarden.compliance.checks.check import Check, CheckRun, Judge, Source
from otelwarden.compliance.checks.registry import ENTRY_POINTS, all_checks

__all__ = ["ENTRY_POINTS", "Check", "CheckRun", "Judge", "Source", "all_checks"]
