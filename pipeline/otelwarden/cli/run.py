"""`otelwarden run`: starts an application with its telemetry governed, without a line of code."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from opentelemetry.instrumentation import auto_instrumentation
from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_CONFIGURATOR

from otelwarden.core import ConfigError, Fault
from otelwarden.pipeline import validate
from otelwarden.pipeline.configurator import CONFIG_FILE, CONFIGURATOR

_DEFAULT_FILE: Final = "otelwarden.yaml"


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    file = Path(arguments.config or os.environ.get(CONFIG_FILE) or _DEFAULT_FILE).absolute()
    faults = validate(file)
    if not command:
        faults.append(Fault(message="no command to run", allowed="a command behind --, as in `-- python app.py`"))
    elif shutil.which(command[0]) is None:
        faults.append(Fault(message="no such command", given=command[0], allowed="a program on the PATH"))
    if faults:
        raise ConfigError(faults)
    os.environ[OTEL_PYTHON_CONFIGURATOR] = CONFIGURATOR
    os.environ[CONFIG_FILE] = str(file)  # absolute: the application may start its workers elsewhere
    sys.argv = ["otelwarden run", *command]
    auto_instrumentation.run()  # what `opentelemetry-instrument` is; it becomes the application and does not come back
    return 2


def add_commands(commands: Any) -> None:
    """Adds `run` to the command line."""
    run = commands.add_parser(
        "run",
        help="start an application with its telemetry governed, without a line of code",
        description="Starts an application as `opentelemetry-instrument` does, instrumented by every instrumentation "
        "that is installed, with the pipelines of a configuration. With a configuration that has faults nothing is "
        "started. Exit code: that of the application; 2 when it was not started.",
        usage="otelwarden run [-c FILE] [--] COMMAND [ARGUMENT ...]",
    )
    run.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help=f"the configuration (default: what {CONFIG_FILE} names, or else {_DEFAULT_FILE})",
    )
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="the application, with its arguments")
    run.set_defaults(run=_run)
