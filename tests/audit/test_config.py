from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import AuditConfig, AuditTrail, Keep, SigningKey
from otelwarden.core import ConfigError, read_document
from otelwarden.schemas import load_schema

CASES = read_document(Path(__file__).with_name("config.yaml"))


@pytest.mark.parametrize("name", CASES["valid"])
def test_what_is_accepted(name: str) -> None:
    AuditConfig.from_mapping(CASES["valid"][name])


def test_quantities() -> None:
    config = AuditConfig.from_mapping(CASES["valid"]["everything"])
    assert (config.checkpoint_interval, config.sync_timeout, config.segment_bytes) == (10.0, 0.25, 64 << 20)
    assert config.on_error == "drop"
    assert config.segment_age == 86_400
    assert config.retention is not None
    assert config.retention["redaction"] == Keep(at_least=30 * 86_400, at_most=400 * 86_400)


@pytest.mark.parametrize("name", CASES["invalid"])
def test_what_is_refused(name: str) -> None:
    case: dict[str, Any] = CASES["invalid"][name]
    with pytest.raises(ConfigError) as caught:
        AuditConfig.from_mapping(case["block"], file="otelwarden.yaml", pointer="/processors/audit")
    assert [fault.pointer for fault in caught.value.faults] == ["/processors/audit" + case["pointer"]]
    assert {fault.file for fault in caught.value.faults} == {"otelwarden.yaml"}


def test_schema_and_dataclass_agree() -> None:
    properties = load_schema("audit")["properties"]
    assert {name: each["default"] for name, each in properties.items()} == {
        field.name: field.default for field in fields(AuditConfig)
    }
    assert all(each["description"] for each in properties.values())
    assert set(CASES["valid"]["everything"]) == set(properties)


def test_a_trail_from_its_configuration(tmp_path: Path) -> None:
    key = SigningKey.generate()
    (tmp_path / "key.pem").write_bytes(key.to_pem())
    config = AuditConfig(path=str(tmp_path / "trail"), key_file=str(tmp_path / "key.pem"), witness=str(tmp_path / "w"))
    trail = AuditTrail.from_config(config)
    assert trail.key.key_id == key.key_id
    assert trail.checkpoint()
    assert trail.close()
    assert (tmp_path / "w").read_bytes().startswith(b"otelwarden/audit/")
    assert not (tmp_path / "trail" / "key.pem").exists()


def test_a_key_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        AuditTrail.from_config(AuditConfig(path=str(tmp_path / "trail"), key_file=str(tmp_path / "missing")))
