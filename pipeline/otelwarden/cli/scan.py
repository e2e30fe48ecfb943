"""`otelwarden scan`: what is in telemetry that should not be, as a table for people."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from otelwarden.cli.otlpjson import Field, fields_of, is_otlp
from otelwarden.cli.progress import Progress
from otelwarden.cli.redact import add_policy_arguments, redactor_of, texts_of
from otelwarden.cli.table import table
from otelwarden.core import ConfigError, Fault
from otelwarden.redaction import Redactor, Unscannable

MAX_SAMPLES: Final = 3
_MAX_DOCUMENT: Final = 1 << 30


@dataclass(slots=True)
class Found:
    """What was found of one entity in one place."""

    entity: str
    place: str
    count: int = 0
    samples: list[str] = field(default_factory=list)
    """A few of the hits, masked."""


class Scan:
    """Looks at fields and remembers what it found.

    Attributes:
        values: how many values were looked at.
        unscannable: how many could not be looked at.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._found: dict[tuple[str, str], Found] = {}
        self.values = 0
        self.unscannable = 0

    @property
    def found(self) -> list[Found]:
        """What was found, the most frequent first."""
        return sorted(self._found.values(), key=lambda each: (-each.count, each.entity, each.place))

    def look(self, place: str, key: str, value: Any) -> None:
        """Looks at one value.

        Args:
            place: where it stands, in a few words, without the key.
            key: the key it stands under; empty for none.
        """
        self.values += 1
        document = self._redactor.document()
        try:
            document.fields({key: value}) if key else document.value("", value)
            redaction = self._redactor.redact(document, "logs", "")
        except Unscannable:
            self.unscannable += 1
            return
        if redaction is None:
            return
        for each in redaction.findings:
            in_key = each.text < 0
            data = (
                each.path.encode("utf-8", "replace") if in_key else document.texts[each.text].encode("utf-8", "replace")
            )
            # The key may be what was found.
            name = "a key" if in_key or self._redactor.keys.facts(each.path).hits else each.path
            self._note(each.entity or "VALUE", f"{place} {name}".strip(), data[each.start : each.end])

    def _note(self, entity: str, place: str, hit: bytes) -> None:
        found = self._found.setdefault((entity, place), Found(entity, place))
        found.count += 1
        if len(found.samples) < MAX_SAMPLES:
            sample = masked(hit.decode("utf-8", "replace"))
            if sample not in found.samples:
                found.samples.append(sample)


def masked(hit: str) -> str:
    """A hit that may be shown: its first characters, if there are enough others, and how long it is."""
    kept = hit[: min(4, len(hit) // 5)]
    return f"{kept}{'*' * min(8, len(hit) - len(kept))} ({len(hit)})".replace("\n", " ")


def scan_file(path: Path, scan: Scan, progress: Callable[[int], None]) -> None:
    """Scans a file: OTLP as JSON or JSON lines, other JSON lines, or text.

    Args:
        progress: told how many bytes are done.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as source:
            head = source.read(1)
            source.seek(0)
            if head in (b"{", b"[") and (document := _whole(path)) is not None:
                for each in _fields(document):
                    scan.look(*each)
                progress(path.stat().st_size)
                return
            done = 0
            for text in texts_of(source):
                done += len(text)
                _scan_line(text, scan)
                progress(done)
    except OSError as error:
        raise ConfigError([Fault(file=str(path), message=f"cannot be read: {error.strerror or error}")]) from None


def _whole(path: Path) -> Any:
    """The one JSON document that a file is; None when it is none, or JSON lines."""
    with path.open("rb") as source:
        first = source.readline(1 << 24)
        if source.read(1) and _parsed(first) is not None:
            return None
    if path.stat().st_size > _MAX_DOCUMENT:
        return None
    return _parsed(path.read_bytes())


def _parsed(data: bytes) -> Any:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, (dict, list)) else None


def _scan_line(line: bytes, scan: Scan) -> None:
    document = _parsed(line) if line.lstrip()[:1] in (b"{", b"[") else None
    if document is not None:
        for each in _fields(document):
            scan.look(*each)
        return
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if text:
        scan.look("text", "", text)


def _fields(document: Any) -> Iterator[Field]:
    if is_otlp(document):
        yield from fields_of(document)
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield Field("json", key, value)
    else:
        for each in document:
            yield from _fields(each) if isinstance(each, (dict, list)) else (Field("json", "", each),)


def _scan(arguments: argparse.Namespace) -> int:
    scan = Scan(redactor_of(arguments))
    for path in arguments.files:
        progress = Progress(path.name, path.stat().st_size if path.is_file() else 0)
        scan_file(path, scan, progress)
        progress.end()
    found = scan.found
    if arguments.json:
        findings = [
            {"entity": each.entity, "place": each.place, "count": each.count, "samples": each.samples} for each in found
        ]
        print(json.dumps({"values": scan.values, "unscannable": scan.unscannable, "findings": findings}, indent=2))
    else:
        if found:
            head = ("ENTITY", "PLACE", "COUNT", "SAMPLES")
            rows = [(each.entity, each.place, str(each.count), "  ".join(each.samples)) for each in found]
            print(table([head, *rows]), end="")
        total = sum(each.count for each in found)
        print(f"{total} found in {scan.values} values" + _tail(scan.unscannable))
    return 1 if found or scan.unscannable else 0


def _tail(unscannable: int) -> str:
    return f"; {unscannable} could not be looked at" if unscannable else ""


def add_commands(commands: Any) -> None:
    """Adds `scan` to the command line."""
    parser = commands.add_parser(
        "scan",
        help="say what sensitive data is in files of telemetry",
        description="Says what sensitive data is in files: OTLP as JSON or JSON lines, other JSON lines, or text. "
        "Masks the samples, changes nothing. Exit code: 0 nothing was found, 1 something was, 2 a file is unreadable.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_policy_arguments(parser)
    parser.set_defaults(run=_scan)
