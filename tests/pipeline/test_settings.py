from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from otelwarden.core import ConfigError
from otelwarden.pipeline import DEFAULT_DOCUMENT, load_settings, validate

HERE = Path(__file__).parent
GOOD: dict[str, Any] = {
    "processors": {"tenancy": {}, "quota": {}, "redaction": {}, "audit": {}},
    "exporters": {"failover": {"endpoints": [{"url": "http://localhost:4317"}]}},
    "service": {
        "pipelines": {"traces": {"processors": ["tenancy", "quota", "redaction", "audit"], "exporters": ["failover"]}}
    },
}


def write(directory: Path, document: Any) -> Path:
    file = directory / "otelwarden.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
    return file


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    change(document)
    return document


def test_a_good_file(tmp_path: Path) -> None:
    assert validate(write(tmp_path, GOOD)) == []


def test_the_document_without_a_file_is_good() -> None:
    assert set(load_settings().pipelines) == {"traces", "logs", "metrics"}
    assert validate(DEFAULT_DOCUMENT) == []


def test_every_option_file_is_good() -> None:
    assert validate(HERE / "config.yaml", environment={"OTLP_A": "http://localhost:4317"}) == []


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        pytest.param(lambda d: d.update(colour=1), "/colour", "unknown key", id="unknown_top_level_key"),
        pytest.param(lambda d: d.pop("service"), "", "missing key `service`", id="no_service"),
        pytest.param(lambda d: d["service"]["pipelines"].clear(), "/service/pipelines", "", id="no_pipeline"),
        pytest.param(
            lambda d: d["processors"].update(redactoin={}), "/processors/redactoin", "unknown key", id="misspelt_type"
        ),
        pytest.param(
            lambda d: d["processors"].update(tenancy={"unknwon": "pass"}),
            "/processors/tenancy/unknwon",
            "unknown key",
            id="misspelt_option",
        ),
        pytest.param(
            lambda d: d["processors"].update(tenancy={"unknown": "maybe"}),
            "/processors/tenancy/unknown",
            "not one of the allowed values",
            id="not_an_option",
        ),
        pytest.param(
            lambda d: d["service"]["pipelines"]["traces"].update(processors=["quota", "tenancy"]),
            "/service/pipelines/traces/processors",
            "in another order",
            id="another_order",
        ),
        pytest.param(
            lambda d: d["service"]["pipelines"]["traces"].update(processors=["tenancy/eu"]),
            "/service/pipelines/traces/processors/0",
            "not defined under processors",
            id="undefined_processor",
        ),
        pytest.param(
            lambda d: d["service"]["pipelines"]["traces"].update(exporters=["failover/eu"]),
            "/service/pipelines/traces/exporters/0",
            "not defined under exporters",
            id="undefined_exporter",
        ),
        pytest.param(
            lambda d: d["service"]["pipelines"]["traces"].update(batch={"max_queue_size": 10}),
            "/service/pipelines/traces/batch/max_export_batch_size",
            "larger than the queue",
            id="batch_larger_than_queue",
        ),
        pytest.param(
            lambda d: d["service"]["pipelines"].update(metrics={"exporters": ["failover"], "interval": "0s"}),
            "/service/pipelines/metrics/interval",
            "not positive",
            id="no_interval",
        ),
        pytest.param(
            lambda d: d["exporters"]["failover"]["endpoints"][0].update(url="ftp://x"),
            "/exporters/failover/endpoints/0/url",
            "",
            id="bad_url",
        ),
        pytest.param(
            lambda d: d["processors"].update(quota={"default": {"traces": {"rate": "-5/s"}}}),
            "/processors/quota/default/traces/rate",
            "",
            id="negative_rate",
        ),
        pytest.param(
            lambda d: d["processors"].update(quota={"default": {"metrics": {"rate": "5/s"}}}),
            "/processors/quota/default/metrics/rate",
            "",
            id="rate_on_metrics",
        ),
        pytest.param(lambda d: d.update(tenants="missing.yaml"), "", "cannot be read", id="missing_tenants_file"),
        pytest.param(
            lambda d: d["processors"].update(redaction={"policies": ["./missing.yaml"]}),
            "",
            "cannot be read",
            id="missing_policy_file",
        ),
        pytest.param(
            lambda d: d["processors"].update(audit={"key_file": "missing.pem"}), "", "", id="missing_key_file"
        ),
    ],
)
def test_a_fault_says_where(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], pointer: str, message: str
) -> None:
    file = write(tmp_path, changed(change))
    faults = validate(file)
    assert len(faults) == 1, [str(fault) for fault in faults]
    (fault,) = faults
    assert fault.pointer == pointer
    assert message in fault.message
    assert fault.file.startswith(str(tmp_path))


def test_retentions_that_cannot_all_be_kept_are_said(tmp_path: Path) -> None:
    """Six years for what HIPAA asks for and ninety days for personal data, in the same files."""

    def spoil(document: dict[str, Any]) -> None:
        document["processors"]["audit"] = {
            "retention": {"default": {"at_least": "2190d"}, "redaction": {"at_most": "90d"}}
        }

    file = write(tmp_path, changed(spoil))
    (fault,) = validate(file)
    assert (fault.file, fault.pointer) == (str(file), "/processors/audit/retention")
    assert "redaction is to be gone after 90d" in fault.message
    assert load_settings(file).find("audit").retention["redaction"].at_most == 90 * 86_400


def test_every_fault_at_once(tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["processors"]["quota"] = {"default": {"traces": {"rate": "0/s"}, "logs": {"rate": "x"}}}
        document["exporters"]["failover"]["endpoints"].append({"url": "nonsense"})
        document["service"]["pipelines"]["logs"] = {"processors": ["audit", "tenancy"], "exporters": ["failover/b"]}

    pointers = {fault.pointer for fault in validate(write(tmp_path, changed(spoil)))}
    assert pointers == {
        "/processors/quota/default/traces/rate",
        "/processors/quota/default/logs/rate",
        "/exporters/failover/endpoints/1/url",
        "/service/pipelines/logs/processors",
        "/service/pipelines/logs/exporters/0",
    }


def test_a_variable_without_a_value(tmp_path: Path) -> None:
    file = write(tmp_path, yaml.safe_dump(GOOD).replace("http://localhost:4317", "${env:NOWHERE}"))
    (fault,) = validate(file, environment={})
    assert "NOWHERE is not set" in fault.message


def test_a_variable_cannot_inject_structure(tmp_path: Path) -> None:
    file = write(tmp_path, yaml.safe_dump(GOOD).replace("http://localhost:4317", "${env:URL}"))
    (fault,) = validate(file, environment={"URL": "http://a:1}, {url: http://evil:1"})
    assert fault.pointer == "/exporters/failover/endpoints/0/url"


def test_an_empty_block_is_a_block(tmp_path: Path) -> None:
    file = write(tmp_path, changed(lambda d: d["processors"].update(quota=None, tenancy=None)))
    assert validate(file) == []


def test_two_instances_of_one_type(tmp_path: Path) -> None:
    def two(document: dict[str, Any]) -> None:
        document["processors"]["redaction/strict"] = {"policies": ["pii"]}
        document["service"]["pipelines"]["logs"] = {"processors": ["redaction/strict"], "exporters": ["failover"]}

    settings = load_settings(changed(two))
    assert settings.pipelines["logs"].processors == {"redaction": "redaction/strict"}


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text("tenants: []", encoding="utf-8")
    file = write(
        tmp_path, changed(lambda d: (d.update(tenants="tenants.yaml"), d["processors"].update(audit={"path": "trail"})))
    )
    settings = load_settings(file)
    assert settings.tenants == tmp_path / "tenants.yaml"
    assert settings.components["audit"].path == str(tmp_path / "trail")


def test_validating_writes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, changed(lambda d: d["processors"].update(audit={"path": "trail"})))
    assert validate(file) == []
    assert [each.name for each in tmp_path.iterdir()] == ["otelwarden.yaml"]


@pytest.mark.parametrize("text", ["", "[]", "42", "a: [", "a: 1\na: 2", "x: &a [1]\ny: *a"])
def test_no_configuration_at_all(tmp_path: Path, text: str) -> None:
    assert validate(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "nowhere.yaml")
