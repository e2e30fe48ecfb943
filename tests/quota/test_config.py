from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import yaml

from otelwarden.core import ConfigError
from otelwarden.quota import (
    Amount,
    Budgets,
    Exempt,
    MetricLimits,
    QuotaConfig,
    ReserveConfig,
    SignalLimits,
    StoreConfig,
    TenantLimits,
    UsageConfig,
)
from otelwarden.schemas import load_schema

DEFAULT = TenantLimits(
    traces=SignalLimits(
        rate=500.0,
        burst=2000,
        byte_rate=2.0 * (1 << 20),
        byte_burst=8 << 20,
        max_item_size=64 << 10,
        budget=Budgets(items=(Amount(1_000_000, "day"), Amount(100_000, "hour")), bytes=(Amount(50 << 30, "month"),)),
        soft_budget=Budgets(items=(Amount(5_000_000, "week"),)),
    ),
    logs=SignalLimits(rate=100 / 6),
    metrics=MetricLimits(cardinality=10_000),
    all=SignalLimits(budget=Budgets(bytes=(Amount(5 << 30, "day"),))),
    time_zone="Europe/Berlin",
)

DOCUMENT = yaml.safe_load((Path(__file__).parent / "config.yaml").read_text())


def test_every_option_is_read():
    assert QuotaConfig.from_mapping(DOCUMENT["valid"]["everything"]) == QuotaConfig(
        default=DEFAULT,
        plans={
            "gold": dataclasses.replace(DEFAULT, traces=dataclasses.replace(DEFAULT.traces, rate=5000.0)),
            "boundless": dataclasses.replace(
                DEFAULT, traces=dataclasses.replace(DEFAULT.traces, rate=None, burst=None, budget=Budgets())
            ),
        },
        overflow="reroute",
        sample_ratio=0.05,
        reroute_exporter="failover/cold",
        exempt=Exempt(errors=True, scopes=("payments.*", "billing")),
        max_debt=5000,
        logs_follow_traces=False,
        notice_period=300.0,
        store=StoreConfig(
            type="redis",
            url="rediss://redis.example:6380/2",
            username="otelwarden",
            password_file="./redis-password",
            ca_file="./ca.pem",
            cert_file="./cert.pem",
            key_file="./key.pem",
            prefix="shop",
            interval=0.05,
            timeout=0.2,
            fallback="closed",
        ),
        reserve=ReserveConfig(share=0.1, max_spans=1000, max_bytes=4 << 20, max_age=30.0),
        usage=UsageConfig(
            path="./usage",
            url="https://billing.example/usage",
            token_file="./token",
            source="/shop/eu",
            period=900.0,
            checkpoint=5.0,
            timeout=2.0,
        ),
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


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, True, "5/s", 1e300])
def test_a_rate_in_code_is_checked_as_well(rate):
    with pytest.raises(ConfigError) as caught:
        SignalLimits(rate=rate, burst=0)
    assert [fault.pointer for fault in caught.value.faults] == ["/rate", "/burst"]


def test_other_fields_in_code_are_checked_as_well():
    with pytest.raises(ConfigError) as caught:
        QuotaConfig(overflow="delay", max_debt=-1, logs_follow_traces=1, notice_period=0)  # type: ignore[arg-type]
    pointers = ["/overflow", "/max_debt", "/logs_follow_traces", "/notice_period"]
    assert [fault.pointer for fault in caught.value.faults] == pointers


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
        (StoreConfig, load_schema("quota")["$defs"]["store"]),
        (ReserveConfig, load_schema("quota")["$defs"]["reserve"]),
        (UsageConfig, load_schema("quota")["$defs"]["usage"]),
        (Exempt, load_schema("quota")["$defs"]["exempt"]),
        (TenantLimits, load_schema("limits")),
        (SignalLimits, load_schema("limits")["$defs"]["signal"]),
        (MetricLimits, load_schema("limits")["properties"]["metrics"]),
        (Budgets, load_schema("limits")["$defs"]["signal"]["properties"]["budget"]),
    ],
    ids=["quota", "store", "reserve", "usage", "exempt", "limits", "signal", "metrics", "budgets"],
)
def test_schema_and_dataclass_agree(of, schema):
    assert set(schema["properties"]) == {field.name for field in dataclasses.fields(of)}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "of", [StoreConfig, ReserveConfig, UsageConfig, Exempt], ids=["store", "reserve", "usage", "exempt"]
)
def test_the_defaults_of_a_part_are_those_of_the_schema(of):
    schema = load_schema("quota")["$defs"][of.__name__.removesuffix("Config").lower()]
    assert of.from_mapping({name: each["default"] for name, each in schema["properties"].items()}) == of()


class TestLimitsOfATenant:
    config = QuotaConfig.from_mapping(
        {
            "default": {"traces": {"rate": 10, "budget": {"items": "5/day"}}, "logs": {"rate": 1}},
            "plans": {"gold": {"traces": {"rate": 100, "burst": 7}}},
        }
    )

    def test_lie_over_its_plan_over_the_default(self):
        limits = self.config.limits_of({"traces": {"burst": 9}, "all": {"rate": 3}}, "gold", "Asia/Tokyo")
        assert limits.time_zone == "Asia/Tokyo"
        assert limits.traces == SignalLimits(rate=100.0, burst=9, budget=Budgets(items=(Amount(5, "day"),)))
        assert limits.logs == SignalLimits(rate=1.0)
        assert limits.all == SignalLimits(rate=3.0)

    def test_may_take_a_limit_away(self):
        assert self.config.limits_of({"logs": {"rate": None}}).logs == SignalLimits()
        assert self.config.limits_of({"traces": {"rate": None}}, "gold").traces.burst is None

    def test_name_a_plan_and_a_zone_that_exist(self):
        with pytest.raises(ConfigError) as caught:
            self.config.limits_of({"logs": {"rate": 0}}, "silver", "Mars/Olympus")
        assert [fault.pointer for fault in caught.value.faults] == ["/plan", "/limits/logs/rate", "/time_zone"]
        assert "allowed: gold" in str(caught.value)

    def test_a_plan_is_of_no_concern_where_none_is_defined(self):
        assert QuotaConfig().limits_of(None, "silver") == TenantLimits()
