"""Proofs of single records, judged by the verifier in docs/, which shares no code with ours."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import AuditTrail, SigningKey, prove
from otelwarden.audit.merkle import Frontier, leaf_hash, siblings
from otelwarden.core import ConfigError, GovernanceEvent, Runtime

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_proof.py"


@pytest.fixture(scope="module")
def verifier() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def decision(reason: str, action: str = "mask") -> GovernanceEvent:
    return GovernanceEvent(1_700_000_000_000_000_000, "redaction", action, reason, "acme", "traces")


def root(leaves: list[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def test_the_path_of_every_leaf_of_every_small_tree_leads_to_its_root(verifier: dict[str, Any]) -> None:
    leaves = [leaf_hash(b"record %d" % i) for i in range(66)]
    for size in range(1, 67):
        expected = root(leaves[:size])
        for index in range(size):
            path = [root(leaves[first:end]) for first, end in siblings(index, size)]
            assert verifier["root_from_path"](leaves[index], index, size, path) == expected


@pytest.mark.parametrize("change", ["longer", "shorter", "swapped", "other index"])
def test_another_path_is_refused(verifier: dict[str, Any], change: str) -> None:
    leaves = [leaf_hash(b"record %d" % i) for i in range(21)]
    path = [root(leaves[first:end]) for first, end in siblings(5, 21)]
    index = 5
    if change == "longer":
        path = [*path, path[0]]
    elif change == "shorter":
        path = path[:-1]
    elif change == "swapped":
        path = [path[1], path[0], *path[2:]]
    else:
        index = 6
    try:
        found = verifier["root_from_path"](leaves[5], index, 21, path)
    except verifier["NotProved"]:
        return
    assert found != root(leaves)


@pytest.fixture
def trail(open_trail: Callable[..., AuditTrail], tmp_path: Path) -> Path:
    """Several segments, several checkpoints, and a tail that is not sealed."""
    trail = open_trail(coalesce_window=0, segment_bytes=4096)
    for number in range(60):
        trail(decision(f"pii/rule-{number}"))
        if number % 20 == 19:
            assert trail.checkpoint()
    trail(decision("after"))
    assert trail.flush()
    return tmp_path / "trail"


def test_every_sealed_record_is_proved(trail: Path, key: SigningKey, verifier: dict[str, Any]) -> None:
    assert len(list(trail.glob("*/records-*"))) > 2
    for sequence in range(61):
        proof = prove(trail, sequence)
        assert f'"sequence":{sequence},'.encode() in proof.record
        lines = verifier["verify"](proof.text, proof.record, str(key.verifying_key))
        assert int(lines[1]) == proof.checkpoint.size == 61


def test_no_byte_of_a_proof_or_its_record_can_be_changed(
    trail: Path, key: SigningKey, verifier: dict[str, Any]
) -> None:
    proof = prove(trail, 17)
    known = str(key.verifying_key)
    refusals = (verifier["NotProved"], ValueError, KeyError)
    for position in range(len(proof.record)):
        changed = bytearray(proof.record)
        changed[position] ^= 1
        with pytest.raises(refusals):
            verifier["verify"](proof.text, bytes(changed), known)
    for position in range(len(proof.text) - 1):  # the last is a line feed
        changed = bytearray(proof.text)
        changed[position] ^= 1
        with pytest.raises(refusals):
            verifier["verify"](bytes(changed), proof.record, known)


def test_another_key_proves_nothing(trail: Path, verifier: dict[str, Any]) -> None:
    proof = prove(trail, 17)
    with pytest.raises(verifier["NotProved"], match="not signed by this key"):
        verifier["verify"](proof.text, proof.record, str(SigningKey.generate().verifying_key))


def test_what_is_not_sealed_or_not_there_has_no_proof(trail: Path) -> None:
    for sequence in (-1, 61, 10_000):
        with pytest.raises(ConfigError, match=f"record {sequence} is not sealed; allowed: 0 to 60"):
            prove(trail, sequence)
    with pytest.raises(ConfigError, match="there is no stream nonsense"):
        prove(trail, 0, stream="nonsense")
    with pytest.raises(ConfigError, match="cannot be read"):
        prove(trail / "nowhere", 0)


def test_of_several_streams_one_is_named(tmp_path: Path, key: SigningKey) -> None:
    streams = []
    for _ in range(2):
        trail = AuditTrail(tmp_path / "both", key=key, runtime=Runtime(), sync_timeout=60.0)
        assert trail.append_sync(decision("policy.yaml", "reload"))
        streams.append(trail.stats().stream)
        assert trail.close()
    with pytest.raises(ConfigError, match="which stream is meant"):
        prove(tmp_path / "both", 1)
    for stream in streams:
        assert prove(tmp_path / "both", 1, stream=stream).checkpoint.stream == stream


@pytest.mark.parametrize("which", [0, 1, -2])
def test_without_one_of_its_files_a_stream_has_no_proof(trail: Path, which: int) -> None:
    sorted(trail.glob("*/records-*"))[which].unlink()
    with pytest.raises(ConfigError, match="61 records are sealed, and they are not all there"):
        prove(trail, 60)


def test_by_command(trail: Path, key: SigningKey, tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("otelwarden"))
    proof, record = tmp_path / "42.proof", tmp_path / "42.json"
    arguments = ["audit", "prove", str(trail), "42", "--output", str(proof), "--record", str(record)]
    done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(proof.read_bytes()) < 1500

    check = [sys.executable, str(SCRIPT), str(proof), str(record), str(key.verifying_key)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PROVED: the record is one of the 61 that this checkpoint seals\n")

    record.write_bytes(record.read_bytes().replace(b'"count":1', b'"count":2'))
    done = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (
        1,
        "NOT PROVED: the record is not in the tree that the checkpoint seals\n",
    )
