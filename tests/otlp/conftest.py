from __future__ import annotations

from collections.abc import Iterator

import pytest

from otelwarden.testing import FaultyReceiver


@pytest.fixture(scope="session")
def _shared() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(_shared: FaultyReceiver) -> Iterator[FaultyReceiver]:
    _shared.forget()
    yield _shared
    _shared.clear_fault()
