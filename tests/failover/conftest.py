from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.core import Runtime, total
from otelwarden.failover import Endpoint, FailoverConfig, FailoverSpanExporter
from otelwarden.testing import EventRecorder, FaultyReceiver

# Short times, so that a test that waits for a backoff does not wait long.
FAST = FailoverConfig(initial_backoff=0.1, max_backoff=0.3, shutdown_patience=0.5)

ATTEMPT = 300.0
"""Seconds for an attempt at which no machine is too slow: what ends in less did not wait for one."""

PATIENCE = 60.0
"""Seconds to wait for what will come; a slow machine may need many."""


@pytest.fixture(params=["grpc", "http/protobuf"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


class _Shared(FaultyReceiver):
    """Knows whether a test froze it: then requests which that test gave up may still wait to be read, and would be
    taken for some of the next test's when it thaws."""

    was_frozen = False

    def freeze(self) -> None:
        self.was_frozen = True
        super().freeze()


class _Receivers:
    """Receivers that are used by many tests; one that a test ended or froze is started again."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._all: list[_Shared] = []

    def take(self, count: int) -> list[_Shared]:
        while len(self._all) < count:
            self._all.append(self._stack.enter_context(_Shared()))
        return self._all[:count]


@pytest.fixture(scope="session")
def _receivers() -> Iterator[_Receivers]:
    with ExitStack() as stack:
        yield _Receivers(stack)


@pytest.fixture
def pair(_receivers: _Receivers) -> Iterator[Sequence[FaultyReceiver]]:
    """Two receivers that are well and have received nothing."""
    receivers = _receivers.take(2)
    _wait_for_probes_to_end()
    for receiver in receivers:
        receiver.forget()
    yield receivers
    for receiver in receivers:
        if receiver.was_frozen:
            receiver.was_frozen = False
            receiver.restart()
            continue
        try:
            receiver.clear_fault()
        except Exception:
            receiver.restart()


def _wait_for_probes_to_end() -> None:
    """A probe of the test before, still under way, would be taken for a request of this one."""
    deadline = time.monotonic() + PATIENCE
    while any(thread.name == "otelwarden-failover-probe" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a probe outlived its pool"
        time.sleep(0.005)


@dataclass
class Rig:
    """A real pipeline over an exporter, and what it did."""

    exporter: FailoverSpanExporter
    provider: TracerProvider
    runtime: Runtime
    recorder: EventRecorder
    sent: set[int] = field(default_factory=set)

    def send(self, count: int = 1, **attributes: Any) -> None:
        tracer = self.provider.get_tracer("tests")
        for _ in range(count):
            with tracer.start_as_current_span("span", attributes=attributes) as span:
                self.sent.add(span.get_span_context().span_id)

    def flush(self, timeout_millis: int = 60_000) -> bool:
        return self.provider.force_flush(timeout_millis) and self.exporter.force_flush(timeout_millis)

    def actions(self, *wanted: str) -> list[tuple[str, str]]:
        return [(e.action, e.target) for e in self.recorder.events if not wanted or e.action in wanted]

    def wait_until(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "what was waited for never came"
            time.sleep(0.005)

    def assert_balanced(self) -> None:
        for balance in self.runtime.balances():
            assert balance.unaccounted == 0, balance

    @property
    def account(self) -> Any:
        return total(self.runtime.balances(), "failover")


@pytest.fixture
def endpoints_of(protocol: str) -> Callable[..., list[Endpoint]]:
    def endpoints(receivers: list[FaultyReceiver], **settings: Any) -> list[Endpoint]:
        return [
            Endpoint(
                url=each.grpc_endpoint if protocol == "grpc" else each.http_endpoint,
                protocol=protocol,  # type: ignore[arg-type]
                **{"timeout": ATTEMPT, **settings},
            )
            for each in receivers
        ]

    return endpoints


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(endpoints: Any = None, config: FailoverConfig = FAST, **batch: Any) -> Rig:
        runtime, recorder = Runtime(), EventRecorder()
        runtime.observe(recorder)
        exporter = FailoverSpanExporter(endpoints, config=config, runtime=runtime)
        provider = TracerProvider(shutdown_on_exit=False)
        # The SDK's queue drops what does not fit, which a thread that waits for its turn would be enough for.
        settings = {"schedule_delay_millis": 20, "max_queue_size": 1 << 17, **batch}
        provider.add_span_processor(BatchSpanProcessor(exporter, **settings))
        rig = Rig(exporter, provider, runtime, recorder)
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.provider.shutdown()
        rig.assert_balanced()
        assert rig.account.held == 0


@pytest.fixture
def rig(make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]) -> Rig:
    return make_rig(endpoints_of(pair))


class Load:
    """Spans at a steady rate from a thread, until stopped."""

    def __init__(self, rig: Rig, rate: float) -> None:
        self._rig = rig
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._rig.send(10, load=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
