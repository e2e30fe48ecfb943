"""Where keys come from, what is refused, rotation, and keys of persons that many processes share."""

from __future__ import annotations

import base64
import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

from otelwarden.core import ConfigError, GovernanceEvent, Runtime
from otelwarden.redaction import (
    FileKeyRing,
    FixedKeyRing,
    ItemFacts,
    Keys,
    RedactionConfig,
    RedactionPolicy,
    Redactor,
    SubjectKeyDirectory,
    read_token,
)

KEY, OTHER = bytes(range(32)), bytes(reversed(range(32)))
RING = FixedKeyRing({"k1": KEY})


def line(key: bytes, name: str = "") -> str:
    return f"{name} {base64.b64encode(key).decode()}".strip() + "\n"


def key_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
    return path


def test_a_file_names_its_keys_and_the_last_is_current(tmp_path: Path) -> None:
    ring = FileKeyRing(
        key_file(tmp_path / "k", "# ours\n\n" + line(KEY, "old") + line(OTHER, "new")), runtime=Runtime()
    )
    assert (ring.current_id, ring.key("new"), ring.key("old"), ring.key("x")) == ("new", OTHER, KEY, None)


def test_a_bare_key_is_named_by_its_digest(tmp_path: Path) -> None:
    ring = FileKeyRing(key_file(tmp_path / "k", line(KEY)), runtime=Runtime())
    assert ring.current_id == "630dcd29"  # printf of 00..1f | sha256sum


def test_keys_of_the_environment_and_of_a_function() -> None:
    text = line(KEY, "a").strip() + "," + line(OTHER, "b").strip()
    assert FixedKeyRing.from_environment("KEYS", {"KEYS": text}).current_id == "b"
    assert FixedKeyRing.from_callable(lambda: {"vault-1": KEY}).key("vault-1") == KEY


SECRET_TEXT = base64.b64encode(b"x" * 31).decode()


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (line(KEY), 0o644, "others may read or write"),
        (line(KEY), 0o660, "others may read or write"),
        ("", 0o600, "holds no key"),
        (f"a {SECRET_TEXT}\n", 0o600, "no key in line 1"),
        ("a b c\n", 0o600, "no key in line 1"),
        (line(KEY, "a") + line(OTHER, "a"), 0o600, "a key id twice, in line 2"),
        (line(KEY, "a.b"), 0o600, "malformed key id"),
    ],
)
def test_a_bad_file_is_refused_without_quoting_it(tmp_path: Path, text: str, mode: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        FileKeyRing(key_file(tmp_path / "k", text, mode))
    for key in (KEY, OTHER, b"x" * 31):
        assert base64.b64encode(key).decode() not in str(refused.value)


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    def broken() -> dict[str, bytes]:
        raise OSError(f"vault said {SECRET_TEXT}")

    for make in (
        lambda: FileKeyRing(tmp_path / "nowhere"),
        lambda: FixedKeyRing.from_environment("KEYS", {}),
        lambda: FixedKeyRing.from_callable(dict),
        lambda: FixedKeyRing.from_callable(broken),
        lambda: FixedKeyRing({"a": b"short"}),
    ):
        with pytest.raises(ConfigError) as refused:
            make()
        assert SECRET_TEXT not in str(refused.value)


@pytest.mark.parametrize(
    ("action", "options", "says"),
    [
        ({"hash": {}}, {}, "needs a key"),
        ({"encrypt": {}}, {}, "needs a key"),
        ({"encrypt": {"per_subject": True}}, {"key_env": "OTELWARDEN_TEST_KEYS"}, "keys of persons"),
        ({"archive": {"to": "vault"}}, {}, "archives to a place that is not there"),
    ],
)
def test_a_rule_that_lacks_something_fails_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Any, options: Any, says: str
) -> None:
    monkeypatch.setenv("OTELWARDEN_TEST_KEYS", line(KEY))
    rules = [{"id": "mail", "match": {"entities": ["EMAIL"]}, "action": action}]
    (tmp_path / "own.yaml").write_text(json.dumps({"rules": rules}))
    config = RedactionConfig.from_mapping({"policies": ["own.yaml"], **options}, base=tmp_path)
    with pytest.raises(ConfigError, match=says):
        config.check()


def test_a_rotated_file_is_followed_and_a_bad_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runtime = Runtime()
    events: list[GovernanceEvent] = []
    runtime.observe(events.append)
    file = key_file(tmp_path / "k", line(KEY, "a"))
    ring = FileKeyRing(file, runtime=runtime)
    assert not ring.reload()
    key_file(file, line(KEY, "a") + line(OTHER, "b"))
    assert ring.reload()
    assert (ring.current_id, ring.key("a")) == ("b", KEY)
    key_file(file, "rubbish")
    assert not ring.reload()
    assert not ring.reload()
    assert ring.current_id == "b"
    assert [(e.action, e.reason, e.target) for e in events] == [
        ("key_rotated", "keys", "b"),
        ("reload", "refused", "keys"),
    ]
    assert caplog.text.count("redaction keys refused") == 1


def test_one_person_has_one_key_and_tenants_do_not_share(tmp_path: Path) -> None:
    subjects = SubjectKeyDirectory(tmp_path / "p", ring=RING)
    key = subjects.key_for("acme", "u-1")
    assert subjects.key_for("acme", "u-1") == key
    assert SubjectKeyDirectory(tmp_path / "p", ring=RING).key_for("acme", "u-1") == key
    others = [subjects.key_for(*who) for who in (("acme", "u-2"), ("globex", "u-1"), ("acmeu", "-1"), ("", "acmeu-1"))]
    assert len({key.key, *(other.key for other in others)}) == 5
    assert subjects.key(key.id) == key.key
    assert subjects.key("../../etc/passwd") is None


def test_what_is_on_the_disk_tells_neither_persons_nor_keys(tmp_path: Path) -> None:
    key = SubjectKeyDirectory(tmp_path / "p", ring=RING).key_for("acme", "jane@example.com")
    for path in (tmp_path / "p").rglob("*"):
        assert "jane" not in path.name
        assert path.stat().st_mode & 0o077 == 0
        if path.is_file():
            assert key.key not in path.read_bytes()
            assert b"jane" not in path.read_bytes()
    with pytest.raises(ConfigError, match="key of the ring"):
        SubjectKeyDirectory(tmp_path / "p", ring=FixedKeyRing({"k1": OTHER}))


def test_rotation_of_the_ring_keeps_persons_readable(tmp_path: Path) -> None:
    key = SubjectKeyDirectory(tmp_path / "p", ring=RING).key_for("acme", "u-1")
    later = SubjectKeyDirectory(tmp_path / "p", ring=FixedKeyRing({"k1": KEY, "k2": OTHER}))
    assert later.key_for("acme", "u-1") == key
    new = later.key_for("acme", "u-2")
    assert SubjectKeyDirectory(tmp_path / "p", ring=FixedKeyRing({"k2": OTHER, "k1": KEY})).key(new.id) == new.key


def test_destroying_a_key_erases_in_every_process(tmp_path: Path) -> None:
    rules = [{"id": "mail", "match": {"entities": ["EMAIL"]}, "action": {"encrypt": {"per_subject": True}}}]
    (tmp_path / "own.yaml").write_text(json.dumps({"rules": rules}))
    keys = Keys(RING, SubjectKeyDirectory(tmp_path / "p", ring=RING))
    redactor = Redactor(RedactionPolicy.load(tmp_path / "own.yaml"), keys=keys)

    def encrypted(subject: str) -> str:
        return redactor.look_at_text("jane@example.com", tenant="acme", item=ItemFacts(0, {"user.id": subject}))[0]

    before, other = encrypted("u-1"), encrypted("u-2")
    assert before.startswith("encs.")
    assert read_token(before, keys) == "jane@example.com"
    # As another process would: it shares nothing but the directory.
    assert SubjectKeyDirectory(tmp_path / "p", ring=RING).destroy("acme", "u-1") == before.split(".")[1]
    assert read_token(before, keys) is None
    after = encrypted("u-1")
    assert after.split(".")[1] != before.split(".")[1]
    assert (read_token(after, keys), read_token(other, keys)) == ("jane@example.com", "jane@example.com")
    assert SubjectKeyDirectory(tmp_path / "p", ring=RING).destroy("acme", "u-9") is None


def test_an_item_that_names_nobody_is_encrypted_with_the_ring(tmp_path: Path) -> None:
    rules = [{"id": "mail", "match": {"entities": ["EMAIL"]}, "action": {"encrypt": {"per_subject": True}}}]
    (tmp_path / "own.yaml").write_text(json.dumps({"rules": rules}))
    keys = Keys(RING, SubjectKeyDirectory(tmp_path / "p", ring=RING), "enduser.id")
    redactor = Redactor(RedactionPolicy.load(tmp_path / "own.yaml"), keys=keys)
    for attributes, kind in (({}, "enc"), ({"user.id": "u"}, "enc"), ({"enduser.id": 17}, "encs")):
        token = redactor.look_at_text("a@b.io", item=ItemFacts(0, attributes))[0]
        assert token.split(".")[0] == kind
        assert read_token(token, keys) == "a@b.io"


def _ask(path: str, found: Any) -> None:
    found.put([SubjectKeyDirectory(path, ring=RING).key_for("acme", f"u-{n}").id for n in range(8)])


def test_processes_that_start_together_agree_on_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    processes = [context.Process(target=_ask, args=(str(tmp_path / "p"), found)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [found.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(answer == answers[0] for answer in answers)
    assert len(list((tmp_path / "p" / "keys").iterdir())) == 8


def test_threads_agree_on_a_key(tmp_path: Path) -> None:
    subjects = SubjectKeyDirectory(tmp_path / "p", ring=RING)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(subjects.key_for("a", "u").id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
