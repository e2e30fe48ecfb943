"""What the tests of redaction share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from otelwarden.redaction import RedactionPolicy, Redactor


@pytest.fixture(scope="session")
def policy() -> RedactionPolicy:
    return RedactionPolicy.load("pii", "secrets")


@pytest.fixture(scope="session")
def redactor(policy: RedactionPolicy) -> Redactor:
    return Redactor(policy)


@pytest.fixture(scope="session")
def telemetry_corpus() -> ModuleType:
    """The corpus of the benchmarks."""
    path = Path(__file__).parents[2] / "benchmarks" / "telemetry_corpus.py"
    spec = importlib.util.spec_from_file_location("telemetry_corpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["telemetry_corpus"] = module
    spec.loader.exec_module(module)
    return module
