"""The options, as `config.yaml` in this folder shows them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import otelwarden.redaction as redaction
from otelwarden.core import ConfigError, parse_bytes, parse_document, read_document
from otelwarden.redaction import ClassificationConfig, RedactionConfig
from otelwarden.redaction.config import ArchiveConfig, BaggageConfig, SubjectsConfig
from otelwarden.schemas import load_schema

HERE = Path(__file__).parent
README = Path(redaction.__file__).parent / "README.md"
CASES = read_document(HERE / "config.yaml")


def test_defaults() -> None:
    assert RedactionConfig.from_mapping(CASES["valid"]["defaults"]) == RedactionConfig()
    assert RedactionConfig().policies == ("pii", "secrets")


def test_paths_start_from_the_base(tmp_path: Path) -> None:
    config = RedactionConfig.from_mapping(CASES["valid"]["everything"], base=tmp_path)
    assert (config.on_error, config.max_value_length, config.oversize) == ("pass", 65536, "scan")
    assert [Path(path) for path in config.policies] == [Path("pii"), Path("secrets"), tmp_path / "acme.yaml"]
    (tmp_path / "acme.yaml").write_text("rules: [{id: a, match: {entities: [EMAIL]}, action: {delete: {}}}]")
    assert {rule.id for rule in config.load_policy().rules} >= {"pii", "secrets", "a"}
    assert config.key_file == str(tmp_path / "keys")
    assert config.subjects is not None
    assert (config.subjects.path, config.subjects.attribute) == (str(tmp_path / "persons"), "enduser.id")
    assert config.archives["quarantine"].path == str(tmp_path / "archive")
    assert (config.archives["quarantine"].max_bytes, config.archives["vault"].exporter) == (1 << 20, "failover/vault")
    assert config.classification.allowed_endpoints("restricted") == {"vault"}
    assert config.baggage.drop == ("internal.*",)


@pytest.mark.parametrize("case", CASES["invalid"].values(), ids=CASES["invalid"].keys())
def test_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        RedactionConfig.from_mapping(case, file="warden.yaml")
    assert refused.value.faults[0].file == "warden.yaml"


@pytest.mark.parametrize("options", [{"policies": ()}, {"on_error": "x"}, {"oversize": "x"}, {"max_value_length": 1}])
def test_refused_in_code(options: Any) -> None:
    with pytest.raises(ConfigError):
        RedactionConfig(**options)


def test_schema_and_dataclass_agree() -> None:
    properties = load_schema("redaction")["properties"]
    fields = {field.name: field.default for field in dataclasses.fields(RedactionConfig)}
    assert set(properties) == set(fields)
    for name, schema in properties.items():
        default = fields[name]
        if "default" in schema and default is not dataclasses.MISSING:
            assert schema["default"] == (list(default) if isinstance(default, tuple) else default)


NESTED = {"subjects": SubjectsConfig, "archives": ArchiveConfig, "classification": ClassificationConfig}


@pytest.mark.parametrize(("option", "config"), [*NESTED.items(), ("baggage", BaggageConfig)])
def test_nested_schema_and_dataclass_agree(option: str, config: Any) -> None:
    schema = load_schema("redaction")["properties"][option]
    properties = (schema if "properties" in schema else schema["additionalProperties"])["properties"]
    fields = {field.name: field.default for field in dataclasses.fields(config)}
    assert set(properties) == set(fields)
    for name, each in properties.items():
        if "default" in each:
            assert fields[name] == (parse_bytes(each["default"]) if name == "max_bytes" else each["default"])


def test_the_readme_states_the_defaults_and_its_examples_work(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    for name in load_schema("redaction")["properties"]:
        assert re.search(rf"`{name}` \(default = ", text), name
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2  # the options, and a policy
    (tmp_path / "acme.yaml").write_text(blocks[1], encoding="utf-8")
    document = parse_document(blocks[0])["processors"]["redaction"]
    policy = RedactionConfig.from_mapping(document, base=tmp_path).load_policy()
    assert redaction.Redactor(policy).redact_text("customer ACME-00417", "logs", "") == "customer *******417"
    assert redaction.Redactor(policy).redact_text("card 4242424242424242", "logs", "") == "card ************4242"


def test_exports_are_sorted() -> None:
    assert redaction.__all__ == sorted(
        redaction.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert all(hasattr(redaction, name) for name in redaction.__all__)
