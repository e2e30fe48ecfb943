"""`otelwarden redact`: a filter that lets nothing sensitive through, for texts and for records."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from otelwarden.core import Runtime
from otelwarden.redaction import (
    BUILT_IN,
    FileKeyRing,
    Finding,
    Keys,
    Redaction,
    RedactionPolicy,
    Redactor,
    Unscannable,
)

MAX_LINE: Final = 1 << 20
"""Characters that are read as one text; a longer line is cut behind a blank."""

MAX_BLOCK: Final = 256
"""Lines that a block between `-----BEGIN` and `-----END` may have."""

_BEGIN, _END = b"-----BEGIN ", b"-----END "


def add_policy_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what all commands that look for sensitive data have in common."""
    parser.add_argument(
        "--policy", nargs="+", default=["pii", "secrets"], metavar="NAME",
        help=f"`all`, names ({', '.join(BUILT_IN)}) or paths of policies (default: pii secrets)",
    )  # fmt: skip
    parser.add_argument(
        "--confidence", choices=("high", "low"), default="high",
        help="low: also forms without the context that tells them (default: high)",
    )  # fmt: skip
    parser.add_argument("--key-file", metavar="FILE", help="the keys of actions that need some")


def redactor_of(arguments: argparse.Namespace) -> Redactor:
    """The redactor that the arguments ask for.

    Raises:
        ConfigError: a policy or key file is refused.
    """
    names = [each for name in arguments.policy for each in (BUILT_IN if name == "all" else (name,))]
    policy = RedactionPolicy.load(*dict.fromkeys(names), confidence=arguments.confidence)
    keys = Keys(FileKeyRing(arguments.key_file, runtime=Runtime())) if arguments.key_file else Keys()
    return Redactor(policy, max_value_length=MAX_LINE, keys=keys, findings=True)


def add_commands(commands: Any) -> None:
    """Adds `redact` to the command line."""
    parser = commands.add_parser(
        "redact",
        help="redact a text, from standard input to standard output",
        description="Redacts a text, line by line; what stands between -----BEGIN and -----END is one text. With "
        '--json-lines each line is a record {"text": ..., "key": optional} and becomes {"text": redacted, "findings": '
        '[{"entity", "rule", "start", "end"}]}, with offsets in characters of the input text; a line that is no such '
        'record becomes {"error": ...}.',
    )
    parser.add_argument("--json-lines", action="store_true", help="read and write records")
    add_policy_arguments(parser)
    parser.set_defaults(run=_redact)


def _redact(arguments: argparse.Namespace) -> int:
    redactor = redactor_of(arguments)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    if arguments.json_lines:
        for line in source:
            if line.strip():
                sink.write(json.dumps(record_of(redactor, line), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                sink.flush()  # whoever asks record by record waits for the answer
        return 0
    for text in texts_of(source):
        sink.write(redacted_bytes(redactor, text))
        sink.flush()
    return 0


def record_of(redactor: Redactor, line: bytes) -> dict[str, Any]:
    """What a record becomes: the redacted text and what was found in it, or what is wrong with the line."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "not JSON"}
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return {"error": 'not an object with a "text"'}
    key = record.get("key") or ""
    if not isinstance(key, str):
        return {"error": 'the "key" is no text'}
    text: str = record["text"]
    try:
        new, redaction = redactor.look_at_text(text, key=key)
    except Unscannable as error:
        return {"error": error.reason}
    return {"text": new, "findings": findings_of(text, redaction)}


def findings_of(text: str, redaction: Redaction | None) -> list[dict[str, Any]]:
    """What was found in a text, with offsets in characters of it."""
    if redaction is None:
        return []
    # A lone surrogate has three bytes, as the sign has that stands for it when the text is scanned.
    data = text.encode("utf-8", "surrogatepass")
    return [
        {
            "entity": each.entity or "VALUE",
            "rule": each.rule.id,
            "start": _characters(data, each.start),
            "end": _characters(data, each.end),
        }
        for each in sorted(redaction.findings, key=_where)
    ]


def _characters(data: bytes, offset: int) -> int:
    return len(data[:offset].decode("utf-8", "surrogatepass"))


def _where(finding: Finding) -> tuple[int, int]:
    return finding.start, finding.end


def texts_of(source: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    """The texts of a stream: its lines with their ends, blocks of PEM whole, and what is too long in pieces."""
    block: list[bytes] = []
    for line in source:
        if block or (_BEGIN in line and _END not in line):
            block.append(line)
            if _END not in line and len(block) < MAX_BLOCK:
                continue
            line = b"".join(block)
            block = []
        yield from _pieces(line)
    yield from _pieces(b"".join(block))


def _pieces(line: bytes) -> Iterator[bytes]:
    while len(line) > MAX_LINE:
        cut = line.rfind(b" ", MAX_LINE // 2, MAX_LINE) + 1 or MAX_LINE
        yield line[:cut]
        line = line[cut:]
    if line:
        yield line


def redacted_bytes(redactor: Redactor, text: bytes) -> bytes:
    """A text, redacted; one in which nothing is found is returned as it is, to the byte."""
    try:
        decoded, encoding = text.decode(), "utf-8"
    except UnicodeDecodeError:
        decoded, encoding = text.decode("latin-1"), "latin-1"
    body = decoded.rstrip("\r\n")
    new, redaction = redactor.look_at_text(body)
    if redaction is None:
        return text
    return (new + decoded[len(body) :]).encode(encoding, "replace")
