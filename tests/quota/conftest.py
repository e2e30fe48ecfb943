from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from otelwarden.core import Runtime, TenantResolver
from otelwarden.quota import (
    ErrorReserveSpanProcessor,
    QuotaConfig,
    QuotaLimiter,
    QuotaSampler,
    QuotaSpanProcessor,
    SignalLimits,
    TenantLimits,
)
from otelwarden.testing import EventRecorder, FakeClock, RecordingSpanProcessor


class SeededIds(RandomIdGenerator):
    """Trace ids that are the same in every run: on them hangs what is kept."""

    def __init__(self, seed: int = 1) -> None:
        self._draw = random.Random(seed)

    def generate_trace_id(self) -> int:
        return self._draw.getrandbits(128) or 1


class Directory:
    """A tenant directory that a test writes to."""

    def __init__(self) -> None:
        self.generation = 1
        self._limits: dict[str, Any] = {}
        self.plans: dict[str, str] = {}

    def limits(self, tenant: str) -> Any:
        return self._limits.get(tenant)

    def plan(self, tenant: str) -> str | None:
        return self.plans.get(tenant)

    def time_zone(self, tenant: str) -> str | None:
        return None

    def set(self, tenant: str, limits: Any) -> None:
        self._limits[tenant] = limits
        self.generation += 1


class Pipeline:
    """A real tracer provider with sampler and processor, on a clock set by hand."""

    def __init__(self, config: QuotaConfig, *, sampler: bool = True, resolver: TenantResolver | None = None) -> None:
        self.clock = FakeClock()
        self.runtime = Runtime(clock=self.clock)
        self.events = EventRecorder()
        self.runtime.observe(self.events)
        self.limiter = QuotaLimiter(config, clock=self.clock, runtime=self.runtime)
        self.sink = RecordingSpanProcessor()
        if sampler:
            quota_sampler = QuotaSampler(self.limiter, resolver=resolver, runtime=self.runtime)
            self.provider = TracerProvider(sampler=quota_sampler, id_generator=SeededIds())
        else:
            self.provider = TracerProvider(id_generator=SeededIds())
        processor: SpanProcessor = QuotaSpanProcessor(
            self.sink, limiter=self.limiter, resolver=resolver, runtime=self.runtime
        )
        if config.reserve is not None:
            processor = self.reserve = ErrorReserveSpanProcessor(
                processor, limiter=self.limiter, resolver=resolver, runtime=self.runtime
            )
        self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("test")


def traces(
    rate: float | None,
    burst: int | None = None,
    *,
    byte_rate: float | None = None,
    own: SignalLimits | None = None,
    together: SignalLimits | None = None,
    **settings: Any,
) -> QuotaConfig:
    """`own`: instead of the rates; `together`: beside them, on all signals."""
    own = own or SignalLimits(rate=rate, burst=burst, byte_rate=byte_rate)
    return QuotaConfig(default=TenantLimits(traces=own, all=together), **settings)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def runtime(clock: FakeClock) -> Runtime:
    return Runtime(clock=clock)


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def traces_config() -> Callable[..., QuotaConfig]:
    return traces


@pytest.fixture
def pipeline() -> Callable[..., Pipeline]:
    def make(rate: float | None, burst: int | None = None, **settings: Any) -> Pipeline:
        keywords = {key: settings.pop(key) for key in ("sampler", "resolver") if key in settings}
        return Pipeline(traces(rate, burst, **settings), **keywords)

    return make
