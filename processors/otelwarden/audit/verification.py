"""Verification of a whole trail: every stream by itself, then the streams against each other and against a witness."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from otelwarden.audit.checkpoints import ORIGIN, Checkpoint, is_torn, signature_fault, split_notes
from otelwarden.audit.judge import StreamJudge
from otelwarden.audit.keys import PUBLIC_KEYS, VerifyingKey, published_keys
from otelwarden.audit.reading import segments, stream_directories, tombstones
from otelwarden.audit.rotation import KeyChain
from otelwarden.audit.tombstone import RETIRE, retired_target
from otelwarden.audit.verdicts import Status, StreamVerdict, Verdict
from otelwarden.core import ConfigError, Fault

_KEY_FROM_TRAIL: Final = (
    "the public key was taken from beside the trail: whoever could replace both, key and trail, would not be found out"
)
_NO_WITNESS: Final = "without checkpoints kept elsewhere a rollback to an earlier state cannot be excluded"


class Outside(NamedTuple):
    """What a witness knows."""

    checkpoints: dict[str, list[Checkpoint]]
    """By stream, in the order of the file."""
    faults: dict[str, StreamVerdict]
    """Streams of which it holds a checkpoint that is not to be believed."""
    damaged: int
    """Pieces that are no note."""


def verify(
    path: str | os.PathLike[str],
    *,
    public_key: VerifyingKey | Ed25519PublicKey | str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Verdict:
    """Judges every stream of a trail. Nothing is written, and a trail that is being written may be judged.

    Args:
        path: the trail's directory, or that of one stream.
        public_key: the key that must have signed, or whose successors must: a key, a C2SP verifier key as text, or a
            file with that or with PEM. None: those in the trail's own `keys/`.
        against: a file of checkpoints kept outside, as a witness writes it. Only with it a rollback or a fork shows.
        progress: told how many bytes of records have been read, some 1 MB at a time; `trail_bytes` says of how many.

    Raises:
        ConfigError: a path or the key cannot be read.
    """
    directory = Path(path)
    try:
        chain = _known_keys(directory, public_key)
        # The witness first: a checkpoint is given to it when it is on the disk already.
        outside = _read_outside(Path(against), chain.keys) if against is not None else None
        found = stream_directories(directory)
        streams, _ = _judge_all(found, chain, outside, _summed(progress), whole=found != [directory])
    except OSError as error:
        file = os.fspath(error.filename or directory)
        raise ConfigError([Fault(file=file, message=f"cannot be read: {error.strerror}")]) from error
    warnings = [] if public_key is not None else [_KEY_FROM_TRAIL]
    if outside is None:
        warnings.append(_NO_WITNESS)
    else:
        unwitnessed = [each.stream for each in streams if each.stream not in outside.checkpoints]
        warnings += [f"{stream}: {_NO_WITNESS}, and there is none of this stream" for stream in unwitnessed]
        if outside.damaged:
            warnings.append(f"{outside.damaged} pieces of {os.fspath(against or '')} are no checkpoints")
    return Verdict(path=os.fspath(path), streams=tuple(streams), warnings=tuple(warnings))


def judge_trail(directory: Path, public_key: VerifyingKey | None = None) -> Judged:
    """Every stream of a trail, and what the trail says of its own life.

    Args:
        public_key: as for `verify`.

    Raises:
        OSError: a file cannot be read.
    """
    chain = _known_keys(directory, public_key)
    return _judge_all(stream_directories(directory), chain, None, lambda _: None, whole=True)


def trail_bytes(path: str | os.PathLike[str]) -> int:
    """How much `verify` has to read of a trail: the bytes of its records; raises OSError."""
    return sum(part.length for stream in stream_directories(Path(path)) for part in segments(stream))


def _summed(progress: Callable[[int], object]) -> Callable[[int], object]:
    """Of steps, the sum so far."""
    done = 0

    def step(length: int) -> None:
        nonlocal done
        done += length
        progress(done)

    return step


class Judged(NamedTuple):
    """What was found of every stream."""

    streams: list[StreamVerdict]
    marks: list[bytes]
    """The sealed records by which segments were dropped, held and released."""


def _judge_all(
    directories: Sequence[Path],
    chain: KeyChain,
    outside: Outside | None,
    progress: Callable[[int], object],
    *,
    whole: bool,
) -> Judged:
    known = outside or Outside({}, {}, 0)
    verdicts: dict[str, StreamVerdict] = {}
    openings: dict[str, bytes] = {}
    # Before any record is read: a tombstone is written when its event is sealed already.
    stones = {directory.name: tombstones(directory) for directory in directories}
    marks: list[bytes] = []
    for directory in directories:
        judge = StreamJudge(directory, chain, known.checkpoints.get(directory.name, ()), progress=progress)
        verdicts[directory.name] = judge.judge()
        openings[directory.name] = judge.first_record
        marks += judge.marks
    if not whole:
        marks += _marks_beside(directories, chain, stones)
    for stream, checkpoints in known.checkpoints.items():
        if stream not in verdicts:
            size = max(each.size for each in checkpoints)
            verdicts[stream] = _gone(stream, f"it is gone; {size} records of it are known outside")
    for stream, fault in known.faults.items():
        found = verdicts.get(stream, fault)
        _worsen(verdicts, replace(found, status=fault.status, message=fault.message, sequence=fault.sequence))
    _judge_tombstones(verdicts, stones, marks)
    if whole:
        _judge_neighbours(verdicts, openings)
    return Judged(list(verdicts.values()), marks)


def _judge_tombstones(
    verdicts: dict[str, StreamVerdict], stones: Mapping[str, Mapping[int, str]], marks: Iterable[bytes]
) -> None:
    """Records may be missing where a sealed record says that they were dropped, and what stays of them."""
    dropped = {event.get("target") for event in map(json.loads, marks) if event["action"] == RETIRE}
    for stream, found in stones.items():
        for first, digest in sorted(found.items()):
            if retired_target(stream, first, digest) not in dropped:
                message = f"a file says that records from {first} on were dropped, and no record of the trail does"
                _worsen(verdicts, replace(verdicts[stream], status=Status.TAMPERED, message=message, sequence=first))


def _marks_beside(
    directories: Iterable[Path], chain: KeyChain, stones: Mapping[str, Mapping[int, str]]
) -> Iterator[bytes]:
    """What other streams of the trail say of one that is judged alone: they may have dropped something of it."""
    for directory in directories:
        if not stones[directory.name]:
            continue
        for other in stream_directories(directory.parent):
            if other != directory:
                judge = StreamJudge(other, chain)
                judge.judge()
                yield from judge.marks


def _judge_neighbours(verdicts: dict[str, StreamVerdict], openings: Mapping[str, bytes]) -> None:
    """Each stream names, in its first record, those that were there before it and how much of them was sealed."""
    for stream, line in openings.items():
        if not line or verdicts[stream].status in (Status.TAMPERED, Status.KEY_UNKNOWN) or not verdicts[stream].sealed:
            continue
        for neighbour, sealed in json.loads(line).get("neighbours", {}).items():
            found = verdicts.get(neighbour)
            if found is None:
                _worsen(verdicts, _gone(neighbour, f"it is gone; {stream} saw {sealed} records of it sealed"))
            elif found.sealed < sealed and found.status.severity < Status.KEY_UNKNOWN.severity:
                message = f"{found.sealed} records are sealed; {stream} saw {sealed}"
                _worsen(verdicts, replace(found, status=Status.TRUNCATED, message=message, sequence=found.sealed))


def _worsen(verdicts: dict[str, StreamVerdict], worse: StreamVerdict) -> None:
    found = verdicts.get(worse.stream)
    if found is None or worse.status.severity > found.status.severity:
        verdicts[worse.stream] = worse


def _gone(stream: str, message: str) -> StreamVerdict:
    return StreamVerdict(stream=stream, status=Status.TRUNCATED, message=message, sequence=0)


def _known_keys(
    directory: Path, public_key: VerifyingKey | Ed25519PublicKey | str | os.PathLike[str] | None
) -> KeyChain:
    trail = directory if (directory / PUBLIC_KEYS).exists() else directory.parent
    if public_key is None:
        first = published_keys(trail)
    elif isinstance(public_key, VerifyingKey):
        first = [public_key]
    elif isinstance(public_key, Ed25519PublicKey):
        first = [VerifyingKey(public_key)]
    else:
        first = [VerifyingKey.read(public_key)]
    return KeyChain.of(trail, first)


def _read_outside(file: Path, keys: Mapping[str, VerifyingKey]) -> Outside:
    outside = Outside({}, {}, 0)
    damaged = 0
    for piece in _pieces(file.read_bytes()):
        notes = split_notes(piece).notes
        if not notes or is_torn(piece.rstrip(b"\n") + b"\n"):
            damaged += 1
            continue
        note = notes[0]
        stream = note.text.split(b"\n", 1)[0].removeprefix(ORIGIN.encode()).decode("ascii", "replace")
        fault = signature_fault(note, keys)
        if fault is not None:
            status = Status.KEY_UNKNOWN if fault.unknown else Status.TAMPERED
            message = f"a checkpoint of it kept outside: {fault.message}"
            outside.faults.setdefault(stream, StreamVerdict(stream=stream, status=status, message=message))
            continue
        try:
            checkpoint = Checkpoint.parse(note.text)
        except ValueError:
            damaged += 1
            continue
        outside.checkpoints.setdefault(checkpoint.stream, []).append(checkpoint)
    return outside._replace(damaged=damaged)


def _pieces(data: bytes) -> list[bytes]:
    """Several processes append to the file, and one may have died while it did: each note is looked for by itself."""
    mark = b"\n" + ORIGIN.encode()
    first, *others = (b"\n" + data).split(mark)
    pieces = [ORIGIN.encode() + each + b"\n" for each in others]
    if pieces:
        pieces[-1] = pieces[-1][:-1]
    return ([first] if first.strip() else []) + pieces
