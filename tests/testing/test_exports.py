from __future__ import annotations

import subprocess
import sys
from importlib import resources

import otelwarden.testing as testing


def test_all_names_what_is_visible() -> None:
    visible = {
        name for name, value in vars(testing).items() if not name.startswith("_") and not hasattr(value, "__spec__")
    }
    assert testing.__all__ == sorted(visible)


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files(testing).joinpath("py.typed").is_file()


def test_the_example_of_the_readme_runs() -> None:
    readme = resources.files(testing).joinpath("README.md").read_text()
    example = readme.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", example], check=True, timeout=30)
