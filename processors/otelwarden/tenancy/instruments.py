"""Metrics are tagged where they are measured: a meter provider around a meter provider.

The SDK has no processor for measurements, and once it has aggregated them nobody can tell whose they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import wrapt
from opentelemetry.context.context import Context
from opentelemetry.metrics import (
    CallbackT,
    Counter,
    Histogram,
    Meter,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import Attributes

from otelwarden.core import SeriesGate
from otelwarden.tenancy.measurements import NOT_RECORDED, InstrumentKey, MeasurementTagger
from otelwarden.tenancy.resolution import Tenancy


class _TaggedInstrument(wrapt.ObjectProxy[Any]):
    """A synchronous instrument whose measurements have their tenant; in everything else the one it wraps."""

    def __init__(self, instrument: Any, tagger: MeasurementTagger, key: InstrumentKey) -> None:
        super().__init__(instrument)
        self._self_tag = tagger.tag
        self._self_key = key
        self._self_measure: Callable[..., None] = (
            getattr(instrument, "add", None) or getattr(instrument, "record", None) or instrument.set
        )

    def _measure(self, amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        tagged = self._self_tag(self._self_key, attributes, context)
        if tagged is not NOT_RECORDED:
            self._self_measure(amount, tagged, context)


class _TaggedCounter(_TaggedInstrument):
    add = _TaggedInstrument._measure


class _TaggedHistogram(_TaggedInstrument):
    record = _TaggedInstrument._measure


class _TaggedGauge(_TaggedInstrument):
    set = _TaggedInstrument._measure


class TenantMeter(Meter):
    """A meter whose instruments tag what they measure with its tenant; made by `TenantMeterProvider`."""

    def __init__(self, meter: Meter, tagger: MeasurementTagger) -> None:
        super().__init__(meter.name, meter.version, meter.schema_url)
        self._meter = meter
        self._tagger = tagger

    def _key(self, name: str) -> InstrumentKey:
        return self._meter.name, name

    def _callbacks(self, name: str, callbacks: Sequence[CallbackT] | None) -> list[CallbackT] | None:
        return self._tagger.callbacks(self._key(name), callbacks)

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        """A counter; see the API."""
        return cast(
            Counter, _TaggedCounter(self._meter.create_counter(name, unit, description), self._tagger, self._key(name))
        )

    def create_up_down_counter(self, name: str, unit: str = "", description: str = "") -> UpDownCounter:
        """An up-down counter; see the API."""
        counter = self._meter.create_up_down_counter(name, unit, description)
        return cast(UpDownCounter, _TaggedCounter(counter, self._tagger, self._key(name)))

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Histogram:
        """A histogram; see the API."""
        histogram = self._meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=explicit_bucket_boundaries_advisory
        )
        return cast(Histogram, _TaggedHistogram(histogram, self._tagger, self._key(name)))

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Any:
        """A gauge; see the API, which has no public name for its class."""
        return _TaggedGauge(self._meter.create_gauge(name, unit, description), self._tagger, self._key(name))

    def create_observable_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableCounter:
        """An observable counter; see the API."""
        return self._meter.create_observable_counter(name, self._callbacks(name, callbacks), unit, description)

    def create_observable_up_down_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableUpDownCounter:
        """An observable up-down counter; see the API."""
        return self._meter.create_observable_up_down_counter(name, self._callbacks(name, callbacks), unit, description)

    def create_observable_gauge(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableGauge:
        """An observable gauge; see the API."""
        return self._meter.create_observable_gauge(name, self._callbacks(name, callbacks), unit, description)


class TenantMeterProvider(MeterProvider):
    """A meter provider whose instruments tag what they measure with its tenant, as it is measured.

    The tenant is that of the context given to `add`, `record` or `set`, or of the current one; a tag that the
    application gives is overridden. What may not pass is not recorded, and told as one event `reject` each, which costs
    less than recording it. Quarantine happens at the reader: a tenant that is pending today may be active when its sum
    leaves, and re-attributing here would make two series of one. Use it together with `TenantMetricReader`.

    Everything else is that of the provider it wraps.

    Args:
        provider: the one that measures, usually the SDK's.
        tenancy: resolves and judges.
        resource: the provider's resource, to resolve the source `resource` here; None leaves measurements that neither
            the context nor baggage names a tenant for untagged, and the reader tags their points.
        series: says which measurements have a series of their own; the others become one for each tenant, with the
            attribute `otel.metric.overflow`, in which nothing is lost. None for all; else the SDK's own limit must be
            raised, which knows no tenants.
    """

    def __init__(
        self,
        provider: MeterProvider,
        tenancy: Tenancy,
        *,
        resource: Resource | None = None,
        series: SeriesGate | None = None,
    ) -> None:
        self._provider = provider
        self._tagger = MeasurementTagger(tenancy, None if resource is None else resource.attributes, series)

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Meter:
        """A meter; see the API."""
        return TenantMeter(self._provider.get_meter(name, version, schema_url, attributes), self._tagger)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._provider, name)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flushes the provider; True for one that cannot be flushed."""
        flush = getattr(self._provider, "force_flush", None)
        return flush is None or bool(flush(timeout_millis))

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Shuts the provider down."""
        shutdown = getattr(self._provider, "shutdown", None)
        if shutdown is not None:
            shutdown(timeout_millis)
