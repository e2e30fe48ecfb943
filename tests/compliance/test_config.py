"""Options: the ones that are taken, and the ones that are refused, with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from otelwarden.compliance import BUILT_IN, ComplianceConfig
from otelwarden.core import ConfigError
from otelwarden.pipeline import validate

from .conftest import Service

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES["valid"])
def test_valid(name: str) -> None:
    config = ComplianceConfig.from_mapping(CASES["valid"][name])
    if name == "everything":
        assert config.frameworks == ("gdpr", "pci-dss-4.0.1")
        assert config.schedule == 86_400
        assert config.retention["traces"] == 30 * 86_400
        assert config.recipients[0].agreements["baa"] == "BAA-4"
        assert config.min_free_bytes == 256 << 20
    if name == "off":
        assert config.schedule is None
    if name == "nothing":
        assert config == ComplianceConfig()
        assert config.frameworks == BUILT_IN


@pytest.mark.parametrize("name", CASES["invalid"])
def test_invalid(name: str) -> None:
    case = CASES["invalid"][name]
    with pytest.raises(ConfigError) as caught:
        ComplianceConfig.from_mapping(case["config"], file="x.yaml", pointer="/compliance")
    assert f"/compliance{case['pointer']}" in [fault.pointer for fault in caught.value.faults], caught.value
    assert {fault.file for fault in caught.value.faults} == {"x.yaml"}


def test_a_file_is_judged_with_the_frameworks_it_names(service: Service) -> None:
    service.document["compliance"]["frameworks"] = ["gdpr", "hippa", "own.yaml"]
    (service.directory / "own.yaml").write_text("{id: own, title: Own, version: '1', requirements: [{id: A}]}")
    found = validate(service.write())
    assert any("no framework has this id" in str(fault) and "hippa" in str(fault) for fault in found)
    assert any(fault.file.endswith("own.yaml") and fault.pointer == "/requirements/0" for fault in found)


def test_an_empty_section_is_all_defaults(service: Service) -> None:
    service.document["compliance"] = None
    assessor = service.assessor()
    assert assessor.store.path == service.directory / "compliance" / "findings.sqlite"
