"""`otelwarden report`: an assessment, to be read by people and machines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from otelwarden.cli.compliance import add_common, assessor_of
from otelwarden.compliance import FORMATS, render_report
from otelwarden.core import ConfigError, Fault


def _report(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        text = render_report(assessor.store, arguments.format, assessment=arguments.assessment)
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [Fault(file=str(arguments.output), message=f"cannot be written: {error.strerror}")]
        ) from error
    print(arguments.output)
    return 0


def add_commands(commands: Any) -> None:
    """Adds `report` to the command line."""
    report = commands.add_parser(
        "report",
        help="write the report of an assessment",
        description="Writes the report of the latest assessment, or of another one.",
    )
    add_common(report, _report)
    report.add_argument("--format", choices=FORMATS, default="html", help="(default: %(default)s)")
    report.add_argument("--assessment", metavar="ID", help="of the assessment (default: the latest)")
    report.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: standard output)")
