"""The directory of a spool: whose it is, which format it has, which streams are in it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otelwarden.core import ConfigError, Fault, Signal

FORMAT: Final = "format"
VERSION: Final = 1
SEGMENT_SUFFIX: Final = ".segment"

_TEXT: Final = "otelwarden spool "


def prepare_directory(path: Path) -> None:
    """Makes the directory, or checks the one that is there.

    Raises:
        ConfigError: it is not ours, cannot be written, or was written by a newer version.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            raise _refuse(path, f"belongs to the user {status.st_uid}", f"a directory of the user {os.geteuid()}")
        if status.st_mode & 0o077:
            path.chmod(0o700)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise _refuse(path, "cannot be written")
        check_format(path)
        if not (path / FORMAT).exists():
            _write_format(path)
    except OSError as error:
        raise _refuse(path, f"cannot be used: {error.strerror}") from error


def check_format(path: Path) -> None:
    """Refuses a directory of a newer format.

    Raises:
        ConfigError: it is newer, or no spool.
        OSError: it cannot be read.
    """
    try:
        text = (path / FORMAT).read_bytes()[:64].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return
    if text == f"{_TEXT}{VERSION}":
        return
    newer = text.startswith(_TEXT)
    raise _refuse(path, f"has the format {text!r}" if newer else "is no spool", f"{_TEXT}{VERSION}")


def _write_format(path: Path) -> None:
    # By renaming: another process must not read half of it.
    draft = path / f".{FORMAT}-{secrets.token_hex(8)}"
    draft.touch(mode=0o600)
    draft.write_text(f"{_TEXT}{VERSION}\n", encoding="ascii")
    draft.replace(path / FORMAT)


def _refuse(path: Path, message: str, allowed: str = "") -> ConfigError:
    return ConfigError([Fault(pointer="/path", message=message, given=str(path), allowed=allowed)])


def new_stream_name(signal: Signal) -> str:
    """A name that sorts by time and that no other process takes."""
    return f"{signal}-{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"


def streams_of(path: Path, signal: Signal | None = None) -> list[Path]:
    """The streams in the directory, oldest first; of one signal, or of all."""
    try:
        names = [entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    chosen = [name for name in names if signal is None or name.startswith(f"{signal}-")]
    return [path / name for name in sorted(chosen, key=lambda name: name.partition("-")[2])]


def segments_of(stream: Path) -> list[Path]:
    """The segments of a stream, oldest first."""
    try:
        return sorted(path for path in stream.iterdir() if path.suffix == SEGMENT_SUFFIX)
    except FileNotFoundError:
        return []


def bytes_used(path: Path) -> int:
    """Bytes of all segments of all streams; another process may be changing them."""
    return sum(_sizes(path))


def _sizes(path: Path) -> Iterator[int]:
    for stream in streams_of(path):
        for segment in segments_of(stream):
            try:
                yield segment.stat().st_size
            except FileNotFoundError:
                continue
