"""`otelwarden reveal` and `otelwarden erase`: reading what was encrypted, and making it unreadable for good."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from otelwarden.audit import AuditTrail
from otelwarden.core import UNATTRIBUTED, ConfigError, Fault, Runtime
from otelwarden.redaction import FileKeyRing, Keys, Revelation, SubjectKeyDirectory


def _audited(arguments: argparse.Namespace, action: str, *, count: int, target: str) -> None:
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


def _keys(arguments: argparse.Namespace) -> Keys:
    ring = FileKeyRing(arguments.key_file, runtime=Runtime())
    if arguments.subject_keys is None:
        return Keys(ring)
    if not arguments.subject_keys.is_dir():
        raise ConfigError([Fault(file=str(arguments.subject_keys), message="no directory of keys of persons")])
    return Keys(ring, SubjectKeyDirectory(arguments.subject_keys, ring=ring))


def _reveal(arguments: argparse.Namespace) -> int:
    revelation = Revelation(_keys(arguments))
    try:
        data = sys.stdin.buffer.read() if arguments.file is None else arguments.file.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise ConfigError([Fault(file=str(arguments.file), message=message)]) from None
    text = revelation.text(data.decode("utf-8", "surrogateescape"))
    target = " ".join(sorted(revelation.key_ids))[:200]
    _audited(arguments, "reveal", count=revelation.revealed, target=target)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    if revelation.unreadable:
        print(f"{revelation.unreadable} tokens cannot be read: their keys are not here", file=sys.stderr)
        return 1
    return 0


def _erase(arguments: argparse.Namespace) -> int:
    subjects = _keys(arguments).subjects
    assert subjects is not None  # a required argument
    key = subjects.key_id(arguments.tenant, arguments.subject)
    if key is None:
        print("there is no key of this person")
        return 1
    _audited(arguments, "erase", count=1, target=key)
    subjects.destroy(arguments.tenant, arguments.subject)
    print(f"key {key} is destroyed: what was encrypted with it cannot be read any more")
    return 0


def add_reveal_commands(commands: Any) -> None:
    """Adds `reveal` and `erase` to the command line."""
    reveal = commands.add_parser(
        "reveal",
        help="read what redaction encrypted",
        description="Puts what they say in place of the tokens that `encrypt` left in a text. Who does it and why is "
        "written to the audit trail before anything is shown. Exit code: 0 done, 1 some tokens cannot be read, 2 it "
        "could not be done.",
    )
    reveal.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the text (default: standard input)")
    reveal.set_defaults(run=_reveal)
    erase = commands.add_parser(
        "erase",
        help="destroy the key of a person",
        description="Destroys the key of a person, so that nothing that was encrypted with it can be read any more, "
        "wherever it is. Who does it and why is written to the audit trail before. Exit code: 0 done, 1 there is no "
        "such key, 2 it could not be done.",
    )
    erase.add_argument("--subject", required=True, metavar="ID", help="the person, as items name it")
    erase.add_argument(
        "--tenant", default=UNATTRIBUTED, metavar="ID", help="whose telemetry it is (default: %(default)s)"
    )
    erase.set_defaults(run=_erase)
    for parser in (reveal, erase):
        parser.add_argument("--key-file", required=True, metavar="FILE", help="the keys of redaction")
        parser.add_argument(
            "--subject-keys", required=parser is erase, type=Path, metavar="DIRECTORY", help="the keys of persons"
        )
        parser.add_argument("--actor", required=True, metavar="NAME", help="who does it")
        parser.add_argument("--purpose", required=True, metavar="TEXT", help="why")
        parser.add_argument("--trail", required=True, type=Path, metavar="PATH", help="the audit trail")
