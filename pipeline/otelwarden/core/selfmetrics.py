"""Self-metrics: what the ledgers know, as observable instruments.

Observable, because a `counter.add` with attributes costs 6-7 us and the ledgers count anyway. Tenant labels are
bounded: the first `max_tenants` that a pipeline meets have their own series, all others share `<other>`. First come,
first served, as a tenant that joined later would make the sum of the others fall, and a counter must not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from otelwarden.core.accounting import OTHER_TENANTS, Balance
from otelwarden.core.batcher import COMPONENT as BATCH
from otelwarden.core.fork import run_in_child_after_fork
from otelwarden.core.runtime import Runtime

_SCOPE: Final = "otelwarden"
_ITEM_NAMES: Final = {"traces": "span", "logs": "log"}

Series: TypeAlias = Iterator[tuple[int, dict[str, str]]]


class _TenantLabels:
    """The tenants that have series of their own."""

    def __init__(self, max_tenants: int) -> None:
        self._max_tenants = max_tenants
        self._chosen: set[str] = set()
        self._reset_lock()
        run_in_child_after_fork(self._reset_lock)

    def _reset_lock(self) -> None:
        self._lock = threading.Lock()

    def label(self, tenant: str) -> str:
        with self._lock:
            if tenant not in self._chosen:
                if len(self._chosen) >= self._max_tenants:
                    return OTHER_TENANTS
                self._chosen.add(tenant)
            return tenant


def _summed(series: Series) -> list[Observation]:
    totals: dict[tuple[tuple[str, str], ...], int] = {}
    for value, attributes in series:
        key = tuple(attributes.items())
        totals[key] = totals.get(key, 0) + value
    return [Observation(value, dict(key)) for key, value in totals.items()]


def _callback(series: Callable[[], Series]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: _summed(series())


def _balances(runtime: Runtime, component: str) -> list[Balance]:
    """The accounts of one stage; those of all others are not even read."""
    return [each for each in runtime.balances(component.partition("/")[0]) if each.component == component]


def publish_self_metrics(runtime: Runtime, provider: MeterProvider, *, max_tenants: int = 50) -> None:
    """Publishes the ledgers, decisions and errors of a pipeline, for the components that it has by now.

    For each component: `otelwarden.<component>.received`, `.forwarded`, `.dropped` and `.held` (`{item}`), `.decisions`
    (`{decision}`) and `.errors` (`{error}`); for stages that measure what they get also `.received.size`,
    `.forwarded.size`, `.dropped.size` and `.held.size` (`By`); for the batch also the conventions'
    `otel.sdk.processor.*.processed` and `otel.sdk.processor.*.queue.size`. The tenant is in `otelwarden.tenant` and not
    in the attribute that tags the tenant's own telemetry, since these numbers belong to whoever runs the process.

    Args:
        max_tenants: tenants with series of their own.
    """
    meter = provider.get_meter(_SCOPE)
    labels = _TenantLabels(max_tenants)

    def attributes(balance: Balance) -> dict[str, str]:
        return {"otelwarden.signal": balance.signal or "", "otelwarden.tenant": labels.label(balance.tenant)}

    for component in runtime.components():
        name = f"otelwarden.{component.replace('/', '_')}"

        def count(field: str, of: str = component) -> Callable[[], Series]:
            return lambda: ((getattr(b, field), attributes(b)) for b in _balances(runtime, of))

        def dropped(of: str = component) -> Series:
            for balance in _balances(runtime, of):
                for reason, number in balance.dropped.items():
                    yield number, {**attributes(balance), "otelwarden.reason": reason}

        def decisions(of: str = component) -> Series:
            for made, number in runtime.decisions().items():
                if made.component == of:
                    yield (
                        number,
                        {
                            "otelwarden.action": made.action,
                            "otelwarden.reason": made.reason,
                            "otelwarden.signal": made.signal,
                            "otelwarden.tenant": labels.label(made.tenant),
                        },
                    )

        def errors(of: str = component) -> Series:
            for place, number in runtime.error_counts().get(of, {}).items():
                yield number, {"error.type": place}

        for outcome in ("received", "forwarded"):
            meter.create_observable_counter(
                f"{name}.{outcome}", [_callback(count(outcome))], "{item}", f"Items {outcome} by {component}"
            )
        meter.create_observable_counter(
            f"{name}.dropped", [_callback(dropped)], "{item}", f"Items dropped by {component}, by reason"
        )
        meter.create_observable_up_down_counter(
            f"{name}.held", [_callback(count("held"))], "{item}", f"Items held by {component}"
        )
        _publish_sizes(runtime, meter, component, name, attributes)
        meter.create_observable_counter(
            f"{name}.decisions", [_callback(decisions)], "{decision}", f"Decisions of {component}"
        )
        meter.create_observable_counter(
            f"{name}.errors", [_callback(errors)], "{error}", f"Errors caught by {component}"
        )
    _publish_conventions(runtime, provider)


def _publish_sizes(
    runtime: Runtime, meter: Meter, component: str, name: str, attributes: Callable[[Balance], dict[str, str]]
) -> None:
    """The accounts in bytes, of stages that measure what they get; of others there is no series."""

    def measured() -> list[Balance]:
        return [b for b in _balances(runtime, component) if b.received_bytes]

    def size(field: str) -> Callable[[], Series]:
        return lambda: ((getattr(b, f"{field}_bytes"), attributes(b)) for b in measured())

    def dropped() -> Series:
        for balance in measured():
            for reason, number in balance.dropped_bytes.items():
                yield number, {**attributes(balance), "otelwarden.reason": reason}

    for outcome in ("received", "forwarded"):
        meter.create_observable_counter(
            f"{name}.{outcome}.size", [_callback(size(outcome))], "By", f"Bytes of the items {outcome} by {component}"
        )
    meter.create_observable_counter(
        f"{name}.dropped.size", [_callback(dropped)], "By", f"Bytes of the items dropped by {component}, by reason"
    )
    meter.create_observable_up_down_counter(
        f"{name}.held.size", [_callback(size("held"))], "By", f"Bytes of the items held by {component}"
    )


def _publish_conventions(runtime: Runtime, provider: MeterProvider) -> None:
    """The batch in the names of the semantic conventions (docs/otel/sdk-metrics.md, in development)."""
    meter = provider.get_meter(_SCOPE)

    def of_batch(signal: str) -> list[Balance]:
        return [b for b in _balances(runtime, BATCH) if b.signal == signal]

    for signal, item in _ITEM_NAMES.items():
        kind = f"otelwarden.core.FairBatch{'Span' if item == 'span' else 'LogRecord'}Processor"
        component = {"otel.component.type": kind, "otel.component.name": f"{kind}/0"}

        def processed(of: str = signal, who: dict[str, str] = component) -> Series:
            for balance in of_batch(of):
                yield balance.forwarded, who
                for reason, number in balance.dropped.items():
                    if reason != "not_sampled":
                        yield number, {**who, "error.type": reason}

        def queue_size(of: str = signal, who: dict[str, str] = component) -> Series:
            return ((balance.held, who) for balance in of_batch(of))

        meter.create_observable_counter(
            f"otel.sdk.processor.{item}.processed", [_callback(processed)], f"{{{item}}}", "Items processed"
        )
        meter.create_observable_up_down_counter(
            f"otel.sdk.processor.{item}.queue.size", [_callback(queue_size)], f"{{{item}}}", "Items queued"
        )
