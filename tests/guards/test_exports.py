"""`__all__` of each package is sorted and equal to what is visible."""

from __future__ import annotations

import importlib
import types

import pytest

PACKAGES = [
    f"otelwarden.{name}"
    for name in (
        "audit", "cli", "compliance", "core", "failover", "otlp",
        "pipeline", "quota", "redaction", "schemas", "tenancy", "testing"
    )
]  # fmt: skip


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_is_visible(name: str) -> None:
    package = importlib.import_module(name)
    visible = {
        each
        for each, value in vars(package).items()
        if not each.startswith("_") and not isinstance(value, types.ModuleType) and each != "annotations"
    }
    assert set(package.__all__) == visible
    assert sorted(package.__all__, key=order) == package.__all__
