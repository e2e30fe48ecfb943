"""What the commands about compliance share: an assessor from outside of the service, and who acts."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from otelwarden.audit import AuditConfig, AuditTrail
from otelwarden.compliance import Assessor, ComplianceConfig
from otelwarden.core import ConfigError, Fault, GovernanceEvent, Runtime
from otelwarden.pipeline import Settings, load_settings
from otelwarden.pipeline.compliance import audits_of, open_assessor

COLOURS: Final = {
    "pass": "green", "warn": "yellow", "fail": "red", "error": "magenta", "insufficient_evidence": "blue",
    "open": "red", "reopened": "red", "acknowledged": "yellow", "in_progress": "yellow", "resolved": "green",
    "critical": "red", "high": "yellow",
}  # fmt: skip


def _settings(file: Path) -> tuple[Settings, ComplianceConfig]:
    settings = load_settings(file)
    if settings.compliance is None:
        fault = Fault(file=os.fspath(file), message="nothing is to be assessed", allowed="a section `compliance`")
        raise ConfigError([fault])
    return settings, settings.compliance


@contextlib.contextmanager
def assessor_of(file: Path) -> Iterator[Assessor]:
    """An assessor from outside of the service; its decisions are written into the trail, as a stream of their own."""
    settings, config = _settings(file)
    runtime = Runtime()
    # Opened at the first decision: an assessment that changes nothing writes nothing.
    recorders = [_LazyTrail(each, runtime) for each in audits_of(settings)]
    try:
        yield open_assessor(settings, config, runtime=runtime, recorders=recorders)
    finally:
        for recorder in recorders:
            recorder.close()


class _LazyTrail:
    """Records decisions in a trail that is opened with the first."""

    def __init__(self, config: AuditConfig, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._trail: AuditTrail | None = None
        self._warned = False

    def append_sync(self, event: GovernanceEvent, *, actor: str = "") -> bool:
        """Writes a decision; a trail that cannot be written is said so, once."""
        done = False
        with contextlib.suppress(ConfigError):
            if self._trail is None:
                self._trail = AuditTrail.from_config(self._config, runtime=self._runtime)
            done = self._trail.append_sync(event, actor=actor)
        if not done and not self._warned:
            self._warned = True
            print("otelwarden: the decision could not be written into the audit trail", file=sys.stderr)
        return done

    def close(self) -> None:
        """Ends the stream, if there is one."""
        if self._trail is not None:
            self._trail.close()


def actor_of(arguments: argparse.Namespace) -> str:
    """Who runs the command, as `user:<name>` unless said otherwise."""
    try:
        return arguments.by or f"user:{getpass.getuser()}"
    except (KeyError, OSError):  # a container without users
        return f"user:{os.getuid()}"


def add_common(parser: argparse.ArgumentParser, run: Any, *, as_json: bool = False) -> None:
    """Adds what each of these commands takes."""
    parser.set_defaults(run=run)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="configuration file of the service")
    parser.add_argument("--by", metavar="NAME", help="who does this, for the audit trail (default: the user)")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print it as JSON")
