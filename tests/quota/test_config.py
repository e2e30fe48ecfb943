from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import yaml

from otelwarden.core import ConfigError
from otelwarden.quota import QuotaConfig, SignalLimits, TenantLimits
from otelwarden.schemas import load_schema

DOCUMENT = yaml.safe_load((Path(__file__).parent / "config.yaml").read_text())


def test_every_option_is_read():
    assert QuotaConfig.from_mapping(DOCUMENT["valid"]["everything"]) == QuotaConfig(
        default=TenantLimits(
            traces=SignalLimits(rate=500.0, burst=2000),
            logs=SignalLimits(rate=100 / 6),
        ),
        overflow="observe",
        max_debt=5000,
    )


@pytest.mark.parametrize("settings", [None, {}, DOCUMENT["valid"]["defaults"]], ids=["none", "empty", "written_out"])
def test_nothing_given_means_the_defaults(settings):
    assert QuotaConfig.from_mapping(settings) == QuotaConfig()


@pytest.mark.parametrize("name", sorted(DOCUMENT["invalid"]))
def test_faults_are_all_told_with_their_places(name):
    case = DOCUMENT["invalid"][name]
    with pytest.raises(ConfigError) as caught:
        QuotaConfig.from_mapping(case["settings"])
    told = {fault.pointer: str(fault) for fault in caught.value.faults}
    assert set(told) == set(case["faults"])
    for pointer, words in case["faults"].items():
        assert words in told[pointer]


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, True, "5/s"])
def test_a_rate_in_code_is_checked_as_well(rate):
    with pytest.raises(ConfigError) as caught:
        SignalLimits(rate=rate, burst=0)
    assert [fault.pointer for fault in caught.value.faults] == ["/rate", "/burst"]


def test_other_fields_in_code_are_checked_as_well():
    with pytest.raises(ConfigError) as caught:
        QuotaConfig(overflow="delay", max_debt=-1)  # type: ignore[arg-type]
    assert [fault.pointer for fault in caught.value.faults] == ["/overflow", "/max_debt"]


def test_the_burst_is_a_second_of_the_rate_and_at_least_one():
    assert SignalLimits(rate=0.1).burst_items == 1
    assert SignalLimits(rate=2.7).burst_items == 2
    assert SignalLimits(rate=500, burst=3).burst_items == 3


def test_the_debt_is_the_burst_and_at_least_a_thousand():
    assert QuotaConfig().debt_items(SignalLimits(rate=5)) == 1000
    assert QuotaConfig().debt_items(SignalLimits(rate=5000)) == 5000
    assert QuotaConfig(max_debt=0).debt_items(SignalLimits(rate=5)) == 0


@pytest.mark.parametrize(
    ("of", "schema"),
    [
        (QuotaConfig, load_schema("quota")),
        (TenantLimits, load_schema("quota")["properties"]["default"]),
        (SignalLimits, load_schema("quota")["$defs"]["limit"]),
    ],
    ids=["quota", "limits", "limit"],
)
def test_schema_and_dataclass_agree(of, schema):
    assert set(schema["properties"]) == {field.name for field in dataclasses.fields(of)}
    assert schema["additionalProperties"] is False
