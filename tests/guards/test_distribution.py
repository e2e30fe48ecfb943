"""What is published: the wheel, the sdist, and the wheel that the sdist makes, are the same code."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(source: Path, target: Path, *kinds: str) -> list[Path]:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", str(target), str(source)],
        check=True,
        capture_output=True,
    )
    return sorted(target.iterdir())


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    target = tmp_path_factory.mktemp("dist")
    (wheel,) = build(ROOT, target / "wheel", "--wheel")
    (sdist,) = build(ROOT, target / "sdist", "--sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(target / "unpacked")
    (unpacked,) = (target / "unpacked").iterdir()
    (again,) = build(unpacked, target / "again", "--wheel")
    return wheel, sdist, again


def test_the_sdist_makes_the_same_wheel(distributions: tuple[Path, Path, Path]) -> None:
    wheel, _, again = distributions
    assert contents(wheel) == contents(again)


def test_the_wheel_holds_the_package_alone(distributions: tuple[Path, Path, Path]) -> None:
    names = [name for name in contents(distributions[0]) if ".dist-info/" not in name]
    assert names
    assert all(name.startswith("otelwarden/") for name in names)
    portions = {name.split("/")[1] for name in names}
    for portion in portions:
        assert f"otelwarden/{portion}/py.typed" in names
        assert f"otelwarden/{portion}/__init__.py" in names
    assert any(name.endswith(".schema.json") for name in names)
