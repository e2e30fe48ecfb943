"""`otelwarden reveal`: reading what was encrypted, by somebody who says who and why."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from otelwarden.audit import AuditTrail
from otelwarden.core import ConfigError, Fault, Runtime
from otelwarden.redaction import FileKeyRing, Keys, Revelation, SubjectKeyDirectory


def write_down(arguments: argparse.Namespace, action: str, *, count: int, target: str) -> None:
    """Writes down who did what, and why, before it has an effect.

    Raises:
        ConfigError: it cannot be written down, so it must not be done.
    """
    runtime = Runtime()
    trail = AuditTrail(arguments.trail, runtime=runtime)
    runtime.observe(trail)
    runtime.emit("redaction", action, arguments.purpose, count=count, target=target, actor=f"user:{arguments.actor}")
    closed = trail.close()
    if not closed or trail.stats().failing or trail.stats().lost:
        raise ConfigError([Fault(file=str(arguments.trail), message="the audit trail takes nothing; nothing was done")])


def add_key_arguments(parser: argparse.ArgumentParser, *, subjects_required: bool) -> None:
    """Adds what whoever uses keys must say."""
    parser.add_argument("--key-file", required=True, metavar="FILE", help="the keys of redaction")
    parser.add_argument(
        "--subject-keys", required=subjects_required, type=Path, metavar="DIRECTORY", help="the keys of persons"
    )
    parser.add_argument("--actor", required=True, metavar="NAME", help="who does it")
    parser.add_argument("--purpose", required=True, metavar="TEXT", help="why")
    parser.add_argument("--trail", required=True, type=Path, metavar="PATH", help="the audit trail")


def keys_of(arguments: argparse.Namespace) -> Keys:
    """The keys that the arguments name.

    Raises:
        ConfigError: they are not there, or refused.
    """
    ring = FileKeyRing(arguments.key_file, runtime=Runtime())
    if arguments.subject_keys is None:
        return Keys(ring)
    if not arguments.subject_keys.is_dir():
        raise ConfigError([Fault(file=str(arguments.subject_keys), message="no directory of keys of persons")])
    return Keys(ring, SubjectKeyDirectory(arguments.subject_keys, ring=ring))


def _reveal(arguments: argparse.Namespace) -> int:
    revelation = Revelation(keys_of(arguments))
    try:
        data = sys.stdin.buffer.read() if arguments.file is None else arguments.file.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise ConfigError([Fault(file=str(arguments.file), message=message)]) from None
    text = revelation.text(data.decode("utf-8", "surrogateescape"))
    target = " ".join(sorted(revelation.key_ids))[:200]
    write_down(arguments, "reveal", count=revelation.revealed, target=target)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    if revelation.unreadable:
        print(f"{revelation.unreadable} tokens cannot be read: their keys are not here", file=sys.stderr)
        return 1
    return 0


def add_commands(commands: Any) -> None:
    """Adds `reveal` to the command line."""
    parser = commands.add_parser(
        "reveal",
        help="read what redaction encrypted",
        description="Puts what they say in place of the tokens that `encrypt` left in a text. Who does it and why is "
        "written to the audit trail before anything is shown. Exit code: 0 done, 1 some tokens cannot be read, 2 it "
        "could not be done.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the text (default: standard input)")
    parser.set_defaults(run=_reveal)
    add_key_arguments(parser, subjects_required=False)
