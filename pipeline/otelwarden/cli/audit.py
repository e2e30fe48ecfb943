"""`otelwarden audit`: the trail, for people."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otelwarden.audit import (
    AuditTrail,
    SigningKey,
    VerifyingKey,
    WitnessLedger,
    WitnessServer,
    exit_code,
    prove,
    render,
    trail_bytes,
    verify,
)
from otelwarden.cli.auditlife import add_life_commands
from otelwarden.cli.progress import Progress
from otelwarden.cli.trail import add_trail_commands
from otelwarden.core import ConfigError, Fault, Runtime

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


_PATIENCE: Final = 30.0  # seconds for the disk


def _verify(arguments: argparse.Namespace) -> int:
    progress = _progress(arguments)
    verdict = verify(arguments.path, public_key=arguments.public_key, against=arguments.against, progress=progress)
    progress.end()
    if arguments.json:
        document = {**asdict(verdict), "status": verdict.status}
        print(json.dumps(document, indent=2, default=lambda value: value.value))
    else:
        print(render(verdict), end="")
    return exit_code(verdict)


def _progress(arguments: argparse.Namespace) -> Progress:
    try:
        size = trail_bytes(arguments.path)
    except OSError:  # `verify` says what is wrong
        size = 0
    return Progress(arguments.path.name, size, always=arguments.progress)


def _prove(arguments: argparse.Namespace) -> int:
    proof = prove(arguments.path, arguments.sequence, stream=arguments.stream)
    if arguments.record is not None:
        arguments.record.write_bytes(proof.record + b"\n")
    if arguments.output is not None:
        arguments.output.write_bytes(proof.text)
    else:
        print(proof.text.decode(), end="")
    return 0


def _rotate_key(arguments: argparse.Namespace) -> int:
    old, new = SigningKey.load(arguments.old), SigningKey.load(arguments.new)
    if old.key_id == new.key_id:
        raise ConfigError([Fault(message="the new key is the old one", given=new.key_id)])
    trail = AuditTrail(arguments.path, key=old, runtime=Runtime(), sync_timeout=_PATIENCE)
    done = trail.rotate_key(new, actor=arguments.actor, timeout=_PATIENCE)
    if not trail.close(_PATIENCE) or not done:
        print(f"otelwarden: the trail in {arguments.path} could not be written", file=sys.stderr)
        return 2
    print(f"key {new.key_id} takes the place of {old.key_id}; let processes start with it from now on")
    return 0


def _witness(arguments: argparse.Namespace) -> int:
    keys = [VerifyingKey.read(text) for text in arguments.key]
    arguments.store.mkdir(mode=0o750, parents=True, exist_ok=True)
    ledger = WitnessLedger(
        arguments.store,
        keys={key.key_id: key for key in keys},
        signing_key=SigningKey.load(arguments.signing_key)
        if arguments.signing_key
        else SigningKey.beside(arguments.store),
        time_s=time.time,
    )
    host, _, port = arguments.listen.rpartition(":")
    if not port.isdigit():
        raise ConfigError([Fault(message="no address", given=arguments.listen, allowed="HOST:PORT")])
    server = WitnessServer(ledger, (host.strip("[]"), int(port)))
    server.start()
    print(f"witness at {server.url}, remembers in {arguments.store}", flush=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        server.stop()
    ledger.close()
    return 0


def add_commands(commands: Any) -> None:
    """Adds `audit` and what is under it to the command line."""
    audit = commands.add_parser("audit", help="read, judge and prove an audit trail", description="The audit trail.")
    under: Commands = audit.add_subparsers(title="commands", required=True, metavar="COMMAND")
    check = under.add_parser(
        "verify",
        help="say whether a trail is what was written",
        description="Judges every stream of a trail: OK, UNSEALED_TAIL, INCOMPLETE, KEY_UNKNOWN, TRUNCATED, FORKED or "
        "TAMPERED, with the first bad record. Writes nothing. Exit code: 0 all is well, 1 it is not, 2 it could not be "
        "judged.",
    )
    check.add_argument("path", type=Path, metavar="PATH", help="directory of the trail, or of one stream")
    check.add_argument(
        "--against", type=Path, metavar="FILE", help="checkpoints kept outside; only with them a rollback shows"
    )
    check.add_argument(
        "--public-key", metavar="KEY", help="the key that must have signed: a verifier key, or a file with it or PEM"
    )
    check.add_argument("--json", action="store_true", help="print the verdict as JSON")
    check.add_argument(
        "--progress",
        action="store_true",
        help="show how far it is also where standard error is no terminal, or the trail is short",
    )
    check.set_defaults(run=_verify)

    proof = under.add_parser(
        "prove",
        help="write the proof that a record is in a trail",
        description="Writes a proof (c2sp.org/tlog-proof) of one record. With it, the record and the public key "
        "anybody can verify offline that the record is in the trail, for instance by docs/verify_proof.py.",
    )
    proof.add_argument("path", type=Path, metavar="PATH", help="directory of the trail, or of one stream")
    proof.add_argument("sequence", type=int, metavar="SEQ", help="number of the record in its stream")
    proof.add_argument("--stream", metavar="ID", help="which stream, where there are several")
    proof.add_argument(
        "--output", type=Path, metavar="FILE", help="where to write the proof (default: standard output)"
    )
    proof.add_argument("--record", type=Path, metavar="FILE", help="where to write the record")
    proof.set_defaults(run=_prove)

    rotation = under.add_parser(
        "rotate-key",
        help="let another key sign a trail",
        description="States, signed by both keys and recorded in the trail, that NEW takes the place of OLD. Processes "
        "that run go on with the old one; those that start more than a minute later must be configured with the new.",
    )
    rotation.add_argument("path", type=Path, metavar="PATH", help="directory of the trail")
    rotation.add_argument("--old", required=True, type=Path, metavar="FILE", help="the private key that signs so far")
    rotation.add_argument("--new", required=True, type=Path, metavar="FILE", help="the one that signs from now on")
    rotation.add_argument("--actor", default="", metavar="WHO", help="who decided it, as user:<id> or service:<id>")
    rotation.set_defaults(run=_rotate_key)

    witness = under.add_parser(
        "witness",
        help="be a witness for other machines' trails",
        description="Serves a witness (c2sp.org/tlog-witness): signs a checkpoint when it continues what it signed "
        "before, and remembers it in STORE/checkpoints, which `audit verify --against` takes. For tests and "
        "small sites; it speaks plain HTTP, so put TLS in front of it.",
    )
    witness.add_argument("--store", required=True, type=Path, metavar="DIR", help="where it remembers")
    witness.add_argument(
        "--key", required=True, action="append", metavar="KEY",
        help="public key of a trail: a verifier key, or a file with it or PEM; may be given several times",
    )  # fmt: skip
    witness.add_argument(
        "--listen", default="127.0.0.1:8555", metavar="HOST:PORT", help="where it listens (default: %(default)s)"
    )
    witness.add_argument(
        "--signing-key", type=Path, metavar="FILE", help="its own private key (default: one made in DIR)"
    )
    witness.set_defaults(run=_witness)

    add_trail_commands(under)
    add_life_commands(under)
