"""How the environment wants metrics aggregated.

Source: OpenTelemetry specification, "Metrics Exporter - OTLP", additional environment variable configuration.
"""

from __future__ import annotations

import os
from typing import Final

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION,
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE,
)
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)

from otelwarden.core import ConfigError, Fault

_DELTA: Final[dict[str, tuple[type, ...]]] = {
    "cumulative": (),
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}
_INSTRUMENTS: Final = (
    Counter,
    UpDownCounter,
    Histogram,
    ObservableCounter,
    ObservableUpDownCounter,
    ObservableGauge,
)
_HISTOGRAMS: Final[dict[str, type[Aggregation]]] = {
    "explicit_bucket_histogram": ExplicitBucketHistogramAggregation,
    "base2_exponential_bucket_histogram": ExponentialBucketHistogramAggregation,
}


def temporality_of_environment() -> dict[type, AggregationTemporality]:
    """The temporality for each kind of instrument; cumulative unless the environment prefers otherwise.

    Raises:
        ConfigError: the environment names no temporality that there is.
    """
    delta = _DELTA[_chosen(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, "cumulative", tuple(_DELTA))]
    return {
        instrument: AggregationTemporality.DELTA if instrument in delta else AggregationTemporality.CUMULATIVE
        for instrument in _INSTRUMENTS
    }


def aggregation_of_environment() -> dict[type, Aggregation]:
    """The aggregation of histograms; explicit buckets unless the environment prefers otherwise.

    Raises:
        ConfigError: the environment names no aggregation that there is.
    """
    name = OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION
    return {Histogram: _HISTOGRAMS[_chosen(name, "explicit_bucket_histogram", tuple(_HISTOGRAMS))]()}


def _chosen(variable: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(variable, "").strip().lower() or default
    if value not in allowed:
        raise ConfigError([Fault(message=f"{variable} is unknown", given=value, allowed=", ".join(allowed))])
    return value
