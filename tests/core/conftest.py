from __future__ import annotations

import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

from otelwarden.core import Balance, Runtime

PATIENCE = 20.0  # seconds that nothing here needs; a test that waits so long has failed


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider()
    yield provider
    provider.shutdown()


@pytest.fixture
def logger_provider() -> Iterator[LoggerProvider]:
    provider = LoggerProvider()
    yield provider
    provider.shutdown()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.002)

    return wait


@pytest.fixture
def balance(runtime: Runtime) -> Callable[..., Balance]:
    """The one account of a component and tenant."""

    def find(component: str, tenant: str = "unattributed", signal: str = "traces") -> Balance:
        (found,) = [b for b in runtime.balances() if (b.component, b.tenant, b.signal) == (component, tenant, signal)]
        return found

    return find


@pytest.fixture
def in_child() -> Callable[[Callable[[], Any]], Any]:
    """Runs a function in a forked child and answers what it returned; a child that hangs is killed."""

    def run(function: Callable[[], Any]) -> Any:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answer = (True, function())
            except BaseException:
                answer = (False, traceback.format_exc())
            with os.fdopen(writer, "wb") as out:
                pickle.dump(answer, out)
            os._exit(0)
        os.close(writer)
        try:
            ready, _, _ = select.select([reader], [], [], PATIENCE)
            assert ready, "the child hangs"
            with os.fdopen(reader, "rb", closefd=False) as source:
                well, answer = pickle.load(source)
        finally:
            os.close(reader)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert well, answer
        return answer

    return run
