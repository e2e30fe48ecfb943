"""A witness over HTTP: what it signs, what it refuses, and a trail that is shown to it."""

from __future__ import annotations

import base64
import itertools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from otelwarden.audit import (
    AuditTrail,
    Checkpoint,
    Keep,
    Retention,
    SigningKey,
    Status,
    WitnessLedger,
    WitnessServer,
    read_records,
    retire,
    verify,
)
from otelwarden.audit.checkpoints import Note, sign, split_notes
from otelwarden.audit.merkle import Frontier, consistency_ranges, leaf_hash, roots_of_consistency
from otelwarden.audit.witness_protocol import read_request, write_request
from otelwarden.core import ConfigError, GovernanceEvent, Runtime
from otelwarden.testing import FakeClock

LEAVES = [leaf_hash(b"record %d" % i) for i in range(70)]


def root(leaves: list[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def proof(old: int, new: int) -> list[bytes]:
    return [root(LEAVES[first:end]) for first, end in consistency_ranges(old, new)]


def sub_proof(m: int, first: int, end: int, whole: bool) -> list[tuple[int, int]]:
    """SUBPROOF of RFC 6962 section 2.1.2, word for word."""
    n = end - first
    if m == n:
        return [] if whole else [(first, end)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*sub_proof(m, first, first + k, whole), (first + k, end)]
    return [*sub_proof(m - k, first + k, end, False), (first, first + k)]


def test_consistency_is_that_of_the_definition_and_leads_to_both_roots() -> None:
    for new in range(2, 70):
        for old in range(1, new):
            assert consistency_ranges(old, new) == sub_proof(old, 0, new, True)
            roots = roots_of_consistency(old, new, root(LEAVES[:old]), proof(old, new))
            assert roots == (root(LEAVES[:old]), root(LEAVES[:new]))


@given(st.data())
def test_another_proof_leads_elsewhere(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    hashes = proof(old, new)
    changed = data.draw(st.sampled_from([hashes[:-1], [*hashes, hashes[0]], hashes[::-1], [*hashes[:-1], bytes(32)]]))
    if changed != hashes:
        expected = (root(LEAVES[:old]), root(LEAVES[:new]))
        assert roots_of_consistency(old, new, expected[0], changed) != expected


STREAM = "20261124T120000.000Z-1-00000000"


def note(size: int, key: SigningKey, tree: bytes | None = None, stream: str = STREAM) -> bytes:
    checkpoint = Checkpoint(
        stream=stream, number=0, size=size, root=root(LEAVES[:size]) if tree is None else tree, time_ns=1,
        interval_ns=1, state="open", key_id=key.key_id, config_digest="", account_records=0, account_digest=bytes(32),
    )  # fmt: skip
    return sign(checkpoint, key)


@pytest.fixture
def witness_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def open_ledger(tmp_path: Path, key: SigningKey, witness_key: SigningKey) -> Iterator[Callable[[], WitnessLedger]]:
    ledgers = []

    def build() -> WitnessLedger:
        keys = {key.key_id: key.verifying_key}
        ledgers.append(
            WitnessLedger(tmp_path / "witness", keys=keys, signing_key=witness_key, time_s=lambda: 1_700_000_000.5)
        )
        return ledgers[-1]

    yield build
    for ledger in ledgers:
        ledger.close()


def test_what_continues_is_signed(
    open_ledger: Callable[[], WitnessLedger], key: SigningKey, witness_key: SigningKey
) -> None:
    ledger = open_ledger()
    sizes = [0, 1, 7, 7, 64, 70]
    for old, new in itertools.pairwise(sizes):
        hashes = proof(old, new) if 0 < old < new else []
        answer = ledger.add(write_request(old, hashes, note(new, key)))
        assert answer.status == 200
        name, encoded = answer.body.removeprefix("— ".encode()).split()
        assert name == b"otelwarden-witness"
        signature = base64.b64decode(encoded)
        assert int.from_bytes(signature[4:12], "big") == 1_700_000_000
        signed = b"cosignature/v1\ntime 1700000000\n" + split_notes(note(new, key)).notes[0].text
        assert witness_key.verifying_key.signed(signed, signature[12:])


def test_what_does_not_is_refused(open_ledger: Callable[[], WitnessLedger], key: SigningKey) -> None:
    ledger = open_ledger()
    assert ledger.add(write_request(0, [], note(10, key))).status == 200
    stranger = SigningKey.generate()
    for body, status in (
        (write_request(0, [], note(20, key)), 409),  # not what it has signed
        (write_request(10, [], note(20, key)), 422),  # no proof
        (write_request(10, proof(11, 20), note(20, key)), 422),
        (write_request(10, proof(10, 20), note(20, key, tree=bytes(32))), 422),
        (write_request(10, [], note(10, key, tree=bytes(32))), 409),  # another history of the same length
        (write_request(10, [], note(5, key)), 400),  # a rollback
        (write_request(10, proof(10, 20), note(20, stranger)), 403),
        (b"", 400),
        (b"old x\n\n" + note(20, key), 400),
        (write_request(10, proof(10, 20), note(20, key) * 2), 400),
        (write_request(10, [bytes(31)], note(20, key)), 400),
        (write_request(10, [bytes(32)] * 64, note(20, key)), 400),
    ):
        answer = ledger.add(body)
        assert answer.status == status, (body, answer)
    assert ledger.add(write_request(10, proof(10, 20), note(20, key))).status == 200


def test_it_remembers(open_ledger: Callable[[], WitnessLedger], key: SigningKey, tmp_path: Path) -> None:
    assert open_ledger().add(write_request(0, [], note(10, key))).status == 200
    assert open_ledger().add(write_request(0, [], note(20, key))).body == b"10\n"
    file = tmp_path / "witness" / "checkpoints"
    whole = file.read_bytes()
    for length in range(len(whole) + 1, len(whole) + 120, 13):  # killed while it wrote the next
        file.write_bytes((whole + whole)[:length])
        assert open_ledger().add(write_request(0, [], note(20, key))).body == b"10\n"
    file.write_bytes(whole.replace(b"size", b"size").replace(b"\n10\n", b"\n9\n\n\n"))
    with pytest.raises(ConfigError, match="damaged"):
        open_ledger()


@given(st.binary(max_size=300))
def test_nonsense_is_no_request(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"no |not "):
        read_request(body)


@pytest.fixture
def serve(open_ledger: Callable[[], WitnessLedger]) -> Iterator[Callable[..., WitnessServer]]:
    servers = []

    def start(port: int = 0) -> WitnessServer:
        server = WitnessServer(open_ledger(), ("127.0.0.1", port))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def decide(trail: AuditTrail, number: int) -> None:
    assert trail.append_sync(GovernanceEvent(time.time_ns(), "redaction", "reload", f"policy-{number}"))


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def witnessed(store: Path) -> int:
    """Records of the last checkpoint that a witness has signed."""
    if not store.exists():
        return 0
    notes = split_notes(store.read_bytes()).notes
    return Checkpoint.parse(notes[-1].text).size if notes else 0


def test_a_trail_is_witnessed(
    serve: Callable[..., WitnessServer], open_trail: Callable[..., AuditTrail], tmp_path: Path, key: SigningKey
) -> None:
    trail = open_trail(witness=serve().url, segment_bytes=4096)
    store = tmp_path / "witness" / "checkpoints"
    for number in range(60):
        decide(trail, number)
        if number % 7 == 0:
            assert trail.checkpoint()
    assert trail.close()
    verdict = verify(trail.path, public_key=key.verifying_key, against=store)
    assert (verdict.status, verdict.warnings) == (Status.OK, ())
    assert witnessed(store) == verdict.streams[0].sealed == verdict.streams[0].records


def test_a_rollback_shows_and_the_witness_signs_no_second_history(
    serve: Callable[..., WitnessServer], open_trail: Callable[..., AuditTrail], tmp_path: Path, key: SigningKey
) -> None:
    server = serve()
    trail = open_trail(witness=server.url)
    store = tmp_path / "witness" / "checkpoints"
    decide(trail, 0)
    early = trail.checkpoint()
    decide(trail, 1)
    assert trail.close()
    until(lambda: witnessed(store) == 4)
    [stream] = (each for each in trail.path.iterdir() if each.name != "keys")
    [segment] = stream.glob("records-*")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:2]))
    checkpoints = stream / "checkpoints"
    checkpoints.write_bytes(checkpoints.read_bytes().split(early)[0] + early)
    assert verify(trail.path, public_key=key.verifying_key).status is Status.OK
    found = verify(trail.path, public_key=key.verifying_key, against=store).streams[0]
    assert (found.status, found.sequence) == (Status.TRUNCATED, 2)

    # The key's holder writes it anew, and asks for a signature.
    checkpoint = Checkpoint.parse(split_notes(early).notes[0].text)
    forged = sign(replace(checkpoint, size=3, number=2, root=bytes(32)), key)
    answer = urllib3.request("POST", server.url + "/add-checkpoint", body=write_request(4, [], forged))
    assert answer.status == 400
    answer = urllib3.request("POST", server.url + "/add-checkpoint", body=write_request(2, [], forged))
    assert (answer.status, answer.data) == (409, b"4\n")


def test_a_witness_that_was_away_catches_up(
    serve: Callable[..., WitnessServer], open_trail: Callable[..., AuditTrail], tmp_path: Path, runtime: Runtime
) -> None:
    server = serve()
    port = int(server.url.rpartition(":")[2])
    store = tmp_path / "witness" / "checkpoints"
    trail = open_trail(witness=server.url)
    decide(trail, 0)
    assert trail.checkpoint()
    until(lambda: witnessed(store) == 2)
    server.stop()
    for number in range(30):
        decide(trail, number)
        assert trail.checkpoint()
    assert witnessed(store) == 2
    until(lambda: runtime.error_counts().get("audit", {}) != {})
    store.write_bytes(store.read_bytes()[:0])  # and it forgot what it knew
    serve(port)
    until(lambda: witnessed(store) == 32)


def test_a_witness_that_refuses_is_told_of(
    serve: Callable[..., WitnessServer], tmp_path: Path, runtime: Runtime
) -> None:
    seen: list[GovernanceEvent] = []
    runtime.observe(seen.append)
    stranger = SigningKey.generate()
    trail = AuditTrail(tmp_path / "strange", key=stranger, runtime=runtime, witness=serve().url, sync_timeout=60.0)
    decide(trail, 0)
    assert trail.checkpoint()
    until(lambda: bool(seen))
    assert (seen[0].action, seen[0].reason) == ("witness_refused", "key_unknown")
    started = time.monotonic()
    assert trail.close(60.0)
    assert time.monotonic() - started < 30


def test_a_witness_that_hangs_holds_up_nothing(open_trail: Callable[..., AuditTrail]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        trail = open_trail(witness=f"http://127.0.0.1:{hole.getsockname()[1]}")
        took = []
        for number in range(20):
            started = time.monotonic()
            decide(trail, number)
            assert trail.checkpoint()
            took.append(time.monotonic() - started)
        assert sorted(took)[10] < 2.5  # not the five seconds that a request may take
        assert trail.close()


@pytest.mark.parametrize("url", ["http://", "https:///prefix", "ftp://witness.example"])
def test_what_is_no_witness(tmp_path: Path, url: str, runtime: Runtime) -> None:
    with pytest.raises(ConfigError, match="the witness is no URL"):
        AuditTrail(tmp_path / "trail", runtime=runtime, witness=url)


def test_by_command(tmp_path: Path, key: SigningKey, runtime: Runtime) -> None:
    command = str(Path(sys.executable).with_name("otelwarden"))
    store = tmp_path / "store"
    arguments = [command, "audit", "witness", "--store", str(store), "--key", str(key.verifying_key)]
    with subprocess.Popen([*arguments, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[2].rstrip(",")
        trail = AuditTrail(tmp_path / "trail", key=key, runtime=runtime, witness=url, sync_timeout=60.0)
        decide(trail, 0)
        assert trail.close()
        until(lambda: witnessed(store / "checkpoints") == 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert verify(trail.path, public_key=key.verifying_key, against=store / "checkpoints").warnings == ()


def test_the_command_refuses_what_is_no_key(tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("otelwarden"))
    arguments = [command, "audit", "witness", "--store", str(tmp_path), "--key", "otelwarden+00000000+AAAA"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no public key" in done.stderr


def test_a_witness_that_forgot_is_shown_a_trail_of_which_segments_are_gone(
    serve: Callable[..., WitnessServer], open_trail: Callable[..., AuditTrail], tmp_path: Path, clock: FakeClock
) -> None:
    """Every checkpoint that it may remember can still be proved to be the beginning of what follows."""
    server = serve()
    port = int(server.url.rpartition(":")[2])
    store = tmp_path / "witness" / "checkpoints"
    trail = open_trail(witness=server.url, segment_bytes=4096)
    sizes = []
    for number in range(40):
        decide_at(trail, clock, number)
        sizes.append(Checkpoint.parse(split_notes(trail.checkpoint()).notes[0].text).size)
    until(lambda: witnessed(store) == sizes[-1])
    seen = split_notes(store.read_bytes()).notes
    clock.advance(40 * 86_400.0)
    assert len(retire(trail, Retention({"default": Keep(at_least=30 * 86_400.0)}))) == 2
    until(lambda: witnessed(store) > sizes[-1])
    server.stop()
    for remembered in (seen[0], seen[len(seen) // 3], None):
        early = b"" if remembered is None else stored(remembered)
        store.write_bytes(early)  # it was put back to an early state
        server = serve(port)
        decide_at(trail, clock, 0)
        size = Checkpoint.parse(split_notes(trail.checkpoint()).notes[0].text).size
        until(lambda size=size: witnessed(store) == size)
        server.stop()
    assert trail.close()
    assert not [each for each in read_records(trail.path) if each["action"] == "witness_refused"]
    assert verify(trail.path).status is Status.OK


def decide_at(trail: AuditTrail, clock: FakeClock, number: int) -> None:
    assert trail.append_sync(GovernanceEvent(clock.time_ns(), "redaction", "reload", f"policy-{number}"))


def stored(note: Note) -> bytes:
    return note.text + b"\n" + b"".join(line + b"\n" for line in note.signatures)
