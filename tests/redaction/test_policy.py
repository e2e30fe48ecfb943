"""Policies: what they choose, who decides, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otelwarden.core import ConfigError
from otelwarden.redaction import DELETED, RedactionPolicy, Redactor, catalogue


def load(tmp_path: Path, document: Any, *more: str) -> RedactionPolicy:
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return RedactionPolicy.load(path, *more)


def rule(name: str, match: dict[str, Any], action: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "match": match, "action": action, **more}


def redact(policy: RedactionPolicy, fields: dict[str, Any], signal: Any = "traces", tenant: str = "") -> dict[str, Any]:
    redactor = Redactor(policy)
    document = redactor.document()
    taken = document.fields(fields)
    redaction = redactor.redact(document, signal, tenant)
    left: dict[str, Any] = fields if redaction is None else taken.rebuild(redaction.edits)
    return left


EMAIL = {"entities": ["EMAIL"]}
CARD = {"detectors": ["payment_card"]}


@pytest.mark.parametrize(
    ("action", "left"),
    [
        ({"mask": {"keep_last": 4}}, "************4242"),
        ({"mask": {"keep_first": 6, "keep_last": 2, "char": "#"}}, "424242########42"),
        ({"mask": {"keep_last": 12}}, "****************"),
        ({"mask": {}}, "****************"),
        ({"replace": {}}, "[REDACTED]"),
        ({"replace": {"text": "<card>"}}, "<card>"),
    ],
)
def test_actions(tmp_path: Path, action: dict[str, Any], left: str) -> None:
    policy = load(tmp_path, {"rules": [rule("card", CARD, action)]})
    assert redact(policy, {"a": "pay 4242424242424242.", "b": "x"}) == {"a": f"pay {left}.", "b": "x"}


def test_delete_deletes_the_field(tmp_path: Path) -> None:
    policy = load(tmp_path, {"rules": [rule("card", CARD, {"delete": {}})]})
    fields = {"a": "pay 4242424242424242", "l": ["x", "4242424242424242"], "d": {"e": "4242424242424242", "f": 1}}
    assert redact(policy, fields) == {"l": ["x"], "d": {"f": 1}}
    redactor = Redactor(policy)
    document = redactor.document()
    document.text("span.name", "4242424242424242")
    redaction = redactor.redact(document, "traces", "")
    assert redaction is not None
    assert redaction.edits.texts[0] is DELETED


@pytest.mark.parametrize(
    ("match", "value", "left"),
    [
        ({"keys": ["header"]}, ["Bearer x"], None),
        ({"keys": ["header"]}, ("a", None, "", "b"), None),
        ({"keys": ["header"]}, [True, 3, 2.5, b"x", ["y"]], None),
        ({"keys": ["header"]}, {"a": [{"b": "x"}], "c": False}, None),
        ({"keys": ["header"]}, True, None),
        ({"keys": ["header"]}, [], []),
        (CARD, ["4242424242424242", "4000056655665556"], None),
        (CARD, ["4242424242424242", "x"], ["x"]),
        (CARD, ["4242424242424242", False], [False]),
        (CARD, [["4242424242424242"], "x"], ["x"]),
        (CARD, {"a": {"b": "4242424242424242"}}, None),
        (CARD, [], []),
    ],
)
def test_delete_leaves_no_hollow_field(tmp_path: Path, match: Any, value: Any, left: Any) -> None:
    policy = load(tmp_path, {"rules": [rule("gone", match, {"delete": {}})]})
    expected = {"other": "x"} if left is None else {"header": left, "other": "x"}
    assert redact(policy, {"header": value, "other": "x"}) == expected


def test_keys_choose_values_of_any_type(tmp_path: Path) -> None:
    policy = load(tmp_path, {"rules": [rule("u", {"keys": ["a"]}, {"replace": {"text": "X"}})]})
    fields = {"a": [True, None, 1, "x"], "b": True}
    assert redact(policy, fields) == {"a": ["X", None, "X", "X"], "b": True}


def test_the_higher_priority_decides_then_the_stricter_action(tmp_path: Path) -> None:
    rules = [
        rule("mask", CARD, {"mask": {"keep_last": 4}}),
        rule("replace", {"groups": ["pii"]}, {"replace": {"text": "X"}}),
        rule("off", CARD, {"delete": {}}, active=False),
    ]
    assert redact(load(tmp_path, {"rules": rules}), {"a": "4242424242424242"}) == {"a": "X"}
    rules[0]["priority"] = 1
    assert redact(load(tmp_path, {"rules": rules}), {"a": "4242424242424242"}) == {"a": "************4242"}


def test_hits_that_overlap_are_one(tmp_path: Path) -> None:
    document = {
        "rules": [
            rule("a", {"detectors": ["left"]}, {"replace": {"text": "L"}}, priority=1),
            rule("b", {"detectors": ["right"]}, {"replace": {"text": "R"}}),
        ],
        "detectors": [
            {"id": "left", "entity": "L", "group": "pii", "classification": "internal", "pattern": "abcd"},
            {"id": "right", "entity": "R", "group": "pii", "classification": "internal", "pattern": "cdef"},
        ],
    }
    assert redact(load(tmp_path, document), {"a": "-abcdef-"}) == {"a": "-L-"}


def test_keys_choose_whole_values(tmp_path: Path) -> None:
    policy = load(tmp_path, {"rules": [rule("u", {"keys": ["user.*", "*.body.name"]}, {"replace": {}})]})
    fields = {"user.id": 17, "user": "x", "http.body": {"name": "Jane", "age": 4}, "user.tags": ["a", "b"]}
    assert redact(policy, fields) == {
        "user.id": "[REDACTED]",
        "user": "x",
        "http.body": {"name": "[REDACTED]", "age": 4},
        "user.tags": ["[REDACTED]", "[REDACTED]"],
    }


def test_keys_narrow_detectors(tmp_path: Path) -> None:
    policy = load(tmp_path, {"rules": [rule("e", {**EMAIL, "keys": ["note?"]}, {"replace": {}})]})
    assert redact(policy, {"note1": "a@b.io", "note": "a@b.io"}) == {"note1": "[REDACTED]", "note": "a@b.io"}


def test_signals_and_tenants_narrow_rules(tmp_path: Path) -> None:
    policy = load(
        tmp_path, {"rules": [rule("e", {**EMAIL, "signals": ["logs"], "tenants": ["acme"]}, {"replace": {}})]}
    )
    fields = {"a": "a@b.io"}
    assert redact(policy, fields, "logs", "acme") == {"a": "[REDACTED]"}
    assert redact(policy, fields, "traces", "acme") == fields
    assert redact(policy, fields, "logs", "other") == fields


def test_what_is_allowed_stays(tmp_path: Path) -> None:
    own = {"rules": [rule("x", CARD, {"mask": {}})], "allow": {"values": ["ops@example.com"], "keys": ["public.*"]}}
    policy = load(tmp_path, own, "pii")
    fields = {"a": "ops@example.com and a@b.io", "public.mail": "a@b.io"}
    assert redact(policy, fields) == {"a": "ops@example.com and [REDACTED]", "public.mail": "a@b.io"}


def test_a_detector_of_ones_own(tmp_path: Path) -> None:
    own = {
        "rules": [rule("acc", {"detectors": ["account"]}, {"replace": {}})],
        "detectors": [
            {
                "id": "account",
                "entity": "ACCOUNT",
                "group": "pii",
                "classification": "confidential",
                "pattern": r"^ACC\d{6}$",
                "examples": ["ACC123456"],
                "near_misses": ["ACC1234567"],
            }
        ],
    }
    policy = load(tmp_path, own)
    assert redact(policy, {"a": "ACC123456", "b": "x ACC123456"}) == {"a": "[REDACTED]", "b": "x ACC123456"}


def test_entropy_and_context_of_a_detector_of_ones_own(tmp_path: Path) -> None:
    own = {
        "rules": [rule("t", {"detectors": ["ticket"]}, {"replace": {}})],
        "detectors": [
            {
                "id": "ticket",
                "entity": "TICKET",
                "group": "secrets",
                "classification": "restricted",
                "pattern": "[a-z0-9]{12}",
                "min_entropy": 3,
                "context": {"words": ["ticket no"], "distance": 10},
            }
        ],
    }
    policy = load(tmp_path, own)
    fields = {
        "near": "ticket-no: a8f3k2m9x1q7",
        "behind": "a8f3k2m9x1q7 (ticket no)",
        "plain": "ticket no: aaaaaaaabbbb",
        "far": "ticket no, as everybody knows: a8f3k2m9x1q7",
        "none": "a8f3k2m9x1q7",
        "user.ticketNo": "a8f3k2m9x1q7",
    }
    assert [key for key, value in redact(policy, fields).items() if value != fields[key]] == [
        "near",
        "behind",
        "user.ticketNo",
    ]


def test_the_built_in_policies_cover_their_group() -> None:
    assert {detector.group for detector in RedactionPolicy.load("pii").detectors} == {"pii"}
    assert {detector.group for detector in RedactionPolicy.load("secrets").detectors} == {"secrets"}
    assert RedactionPolicy.load("pii").digest != RedactionPolicy.load("pii", "secrets").digest


OWN = {"id": "x", "entity": "X", "group": "pii", "classification": "internal", "pattern": "x"}
REFUSED = {
    "no_action": ({"rules": [{"id": "a", "match": EMAIL}]}, "/rules/0", "missing key `action`"),
    "unknown_action": ({"rules": [rule("a", EMAIL, {"burn": {}})]}, "/rules/0/action/burn", "unknown key"),
    "two_actions": ({"rules": [rule("a", EMAIL, {"mask": {}, "delete": {}})]}, "/rules/0/action", ""),
    "no_match": ({"rules": [rule("a", {"signals": ["logs"]}, {"mask": {}})]}, "/rules/0/match", ""),
    "unknown_detector": (
        {"rules": [rule("a", {"detectors": ["emial"]}, {"mask": {}})]},
        "/rules/0/match/detectors/0",
        "nothing has this name",
    ),
    "one_id_twice": (
        {"rules": [rule("a", EMAIL, {"mask": {}}), rule("a", EMAIL, {"delete": {}})]},
        "/rules/1/id",
        "this id is taken",
    ),
    "bad_pattern": (
        {"rules": [rule("a", EMAIL, {"mask": {}})], "detectors": [{**OWN, "pattern": "(a"}]},
        "/detectors/0/pattern",
        "no RE2 pattern",
    ),
    "lookahead": (
        {"rules": [rule("a", EMAIL, {"mask": {}})], "detectors": [{**OWN, "pattern": "a(?=b)"}]},
        "/detectors/0/pattern",
        "no RE2 pattern",
    ),
    "empty_match": (
        {"rules": [rule("a", EMAIL, {"mask": {}})], "detectors": [{**OWN, "pattern": "a*"}]},
        "/detectors/0/pattern",
        "matches an empty text",
    ),
    "detector_twice": (
        {"rules": [rule("a", EMAIL, {"mask": {}})], "detectors": [OWN, OWN]},
        "/detectors/1/id",
        "this id is taken",
    ),
    "detector_of_the_catalogue": (
        {"rules": [rule("a", EMAIL, {"mask": {}})], "detectors": [{**OWN, "id": "email"}]},
        "/detectors/0/id",
        "this id is taken",
    ),
    "unknown_key": ({"rules": [rule("a", EMAIL, {"mask": {}})], "rule": []}, "/rule", "unknown key"),
}


@pytest.mark.parametrize(("document", "pointer", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_names_file_and_place(tmp_path: Path, document: Any, pointer: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, document)
    faults = refused.value.faults
    assert {fault.file for fault in faults} == {str(tmp_path / "policy.yaml")}
    assert any(fault.pointer == pointer and message in fault.message for fault in faults), faults


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    bad = [rule("a", {"detectors": ["x"]}, {"mask": {}}), rule("b", {"entities": ["y"]}, {"mask": {}})]
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, {"rules": bad})
    assert [fault.pointer for fault in refused.value.faults] == [
        "/rules/0/match/detectors/0",
        "/rules/1/match/entities/0",
    ]


def test_a_detector_that_fails_its_own_example_is_refused(tmp_path: Path) -> None:
    own = {"rules": [rule("a", {"detectors": ["x"]}, {"mask": {}})], "detectors": [{**OWN, "examples": ["y"]}]}
    with pytest.raises(ConfigError, match="finds nothing in its own example"):
        Redactor(load(tmp_path, own))


def test_a_file_that_is_not_there_and_no_policy_at_all() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        RedactionPolicy.load("pii", "no/such/policy.yaml")
    with pytest.raises(ConfigError, match="no policy is named"):
        RedactionPolicy.load()


@pytest.mark.parametrize("name", ["pii", "gdpr", "hipaa-safe-harbor"])
def test_policies_about_persons_are_about_every_identity_of_the_catalogue(name: str) -> None:
    policy = RedactionPolicy.load(name)
    acting = [each for each in policy.rules if not each.stands_beside]
    everybody = {each.id for each in catalogue() if each.group == "pii"}
    assert len(everybody) > 150
    assert everybody == frozenset().union(*(each.detectors for each in acting))


def test_safe_harbor_keeps_the_year_of_dates() -> None:
    left = redact(
        RedactionPolicy.load("hipaa-safe-harbor", confidence="low"),
        {"note": "admitted on 2024-05-17, date of birth 1961-02-03"},
    )
    assert left == {"note": "admitted on 2024, date of birth 1961"}
