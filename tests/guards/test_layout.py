"""Holds down what makes four source roots one namespace: see the comment of each test for what broke without it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("pipeline", "processors", "exporters", "schemas")
PORTIONS = sorted(
    path
    for root in SOURCE_ROOTS
    for path in (ROOT / root / "otelwarden").iterdir()
    if path.is_dir() and path.name != "__pycache__"
)


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_no_init_in_the_namespace_folder(root: str) -> None:
    # One such file makes `otelwarden` a regular package: the wheel works, editable installs lose the other roots.
    assert not (ROOT / root / "otelwarden" / "__init__.py").exists()


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_only_the_namespace_under_a_root(root: str) -> None:
    # `processors/x.py` would be importable as the top-level module `x` in editable installs.
    assert [path.name for path in (ROOT / root).iterdir() if path.name != "__pycache__"] == ["otelwarden"]


@pytest.mark.parametrize("portion", PORTIONS, ids=lambda path: path.name)
def test_each_portion_is_a_typed_package(portion: Path) -> None:
    assert (portion / "py.typed").exists()
    assert (portion / "__init__.py").exists()
