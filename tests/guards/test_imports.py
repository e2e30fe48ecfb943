"""Holds imports to the arrows of the architecture, and privates of the SDK to one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("pipeline", "processors", "exporters", "schemas")

MAY_IMPORT: dict[str, set[str]] = {
    "schemas": set(),
    "core": {"schemas"},
    "tenancy": {"core", "schemas"},
    "quota": {"core", "schemas"},
    "redaction": {"core", "schemas"},
    "audit": {"core", "schemas"},
    "compliance": {"core", "schemas"},
    "otlp": {"core"},
    "failover": {"core", "schemas", "otlp"},
    "testing": {"core"},
    "pipeline": {"core", "schemas", "tenancy", "quota", "redaction", "audit", "compliance", "failover"},
    "cli": {"core", "schemas", "tenancy", "quota", "redaction", "audit", "compliance", "failover", "pipeline"},
}

MODULES = sorted(path for root in SOURCE_ROOTS for path in (ROOT / root / "otelwarden").rglob("*.py"))


def module_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def portion_of(path: Path) -> str:
    parts = path.parts
    return parts[parts.index("otelwarden") + 1]


def imported(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_arrows_point_one_way(path: Path) -> None:
    portion = portion_of(path)
    for module, _ in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if module.startswith("otelwarden."):
            target = module.split(".")[1]
            assert target == portion or target in MAY_IMPORT[portion], f"{portion} must not import {module}"


def test_every_portion_has_its_arrows() -> None:
    assert {portion_of(path) for path in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "_sdk.py"], ids=module_id)
def test_private_names_of_the_sdk_stay_in_one_module(path: Path) -> None:
    # The encoder of log records has no public module; both OTLP exporters import it by this name.
    allowed = {
        "opentelemetry.exporter.otlp.proto.common._log_encoder",
        "opentelemetry._logs",
        "opentelemetry.sdk._logs",
    }
    for module, names in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if not module.startswith("opentelemetry"):
            continue
        rest = module
        for prefix in sorted(allowed, key=len, reverse=True):
            if module == prefix or module.startswith(prefix + "."):
                rest = module[len(prefix) :]
                break
        private = [part for part in [*rest.split("."), *names] if part.startswith("_") and part != "_logs"]
        assert not private, f"{module} {private}: private names of the SDK belong in core/_sdk.py"
