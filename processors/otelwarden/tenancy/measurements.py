"""The tenant of a measurement, and the series it goes into. No SDK in here."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from opentelemetry.context import get_current
from opentelemetry.context.context import Context
from opentelemetry.metrics import CallbackOptions, CallbackT, Observation
from opentelemetry.util.types import Attributes

from otelwarden.core import METRICS, NO_ATTRIBUTES, SeriesGate
from otelwarden.tenancy.resolution import COMPONENT, Tenancy

NOT_RECORDED: Final = object()
"""In place of attributes: the measurement is dropped."""

OVERFLOW: Final = "otel.metric.overflow"
"""The attribute of a series in which measurements are lumped together that exceed a limit of cardinality: everybody's
if the SDK did it, one tenant's if it bears that tenant's tag.
Source: OpenTelemetry specification, metrics/sdk.md, overflow attribute."""


InstrumentKey: TypeAlias = tuple[str, str]
"""Name of the scope and of the instrument."""


class EverySeries:
    """The gate of a pipeline without limits on series."""

    def admits(
        self, tenant: str, instrument: InstrumentKey, attributes: Mapping[str, Any], observed: bool = False
    ) -> bool:
        """Yes."""
        return True


class MeasurementTagger:
    """Puts the tenant into the attributes of a measurement, and that into the tenant's overflow series if need be."""

    def __init__(self, tenancy: Tenancy, resource: Mapping[str, Any] | None, series: SeriesGate | None) -> None:
        self._judge = tenancy.judge
        self._attribute = tenancy.config.attribute
        self._default = tenancy.config.default_tenant
        self._runtime = tenancy.runtime
        self._errors = tenancy.runtime.errors(COMPONENT)
        self._resource = NO_ATTRIBUTES if resource is None else resource
        # Only the reader knows the resource then, so what nobody else claims is left to it.
        self._leave_missing = resource is None and "resource" in tenancy.config.sources
        self._admits = (series or EverySeries()).admits

    def tag(self, key: InstrumentKey, attributes: Attributes, context: Context | None, observed: bool = False) -> Any:
        """The attributes to measure with, or `NOT_RECORDED`. Never raises."""
        try:
            return self._tag(key, attributes, get_current() if context is None else context, observed)
        except Exception as error:
            self._errors.record("measure", error)
            # Whatever is wrong with its attributes, the amount is kept, and nobody is charged for it.
            return {self._attribute: self._default, OVERFLOW: True}

    def _tag(self, key: InstrumentKey, attributes: Attributes, context: Context, observed: bool) -> Any:
        verdict, source = self._judge(context, self._resource, NO_ATTRIBUTES if attributes is None else attributes)
        if source == "default" and self._leave_missing:
            left = {name: value for name, value in (attributes or {}).items() if name != self._attribute}
            return left if self._admits(self._default, key, left, observed) else {OVERFLOW: True}
        drop = verdict.bars(METRICS)
        if drop is not None:
            self._runtime.emit(COMPONENT, "reject", drop.reason, tenant=verdict.tenant, signal=METRICS)
            return NOT_RECORDED
        tenant = verdict.measured
        tagged = {self._attribute: tenant} if attributes is None else {**attributes, self._attribute: tenant}
        if self._admits(tenant, key, tagged, observed):
            return tagged
        return {self._attribute: tenant, OVERFLOW: True}

    def observations(self, key: InstrumentKey, measured: Iterable[Observation]) -> Iterable[Observation]:
        """The observations of a callback with their tenants. The SDK adds up those of one series."""
        for observation in measured:
            attributes = self.tag(key, observation.attributes, observation.context, True)
            if attributes is not NOT_RECORDED:
                yield Observation(observation.value, attributes, observation.context)

    def callback(self, key: InstrumentKey, callback: CallbackT) -> CallbackT:
        """A callback whose observations have their tenants."""
        if not isinstance(callback, Generator):

            def observe(options: CallbackOptions) -> Iterable[Observation]:
                return self.observations(key, callback(options))

            return observe
        next(callback)  # to its first yield, as the SDK does with a generator

        def send(options: CallbackOptions) -> Iterable[Observation]:
            try:
                measured = callback.send(options)
            except StopIteration:
                return []
            return self.observations(key, measured)

        return send

    def callbacks(self, key: InstrumentKey, callbacks: Sequence[CallbackT] | None) -> list[CallbackT] | None:
        """As `callback`, of all."""
        return None if callbacks is None else [self.callback(key, callback) for callback in callbacks]
