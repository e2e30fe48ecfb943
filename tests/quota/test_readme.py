from __future__ import annotations

import re
from pathlib import Path

import yaml

import otelwarden.quota
from otelwarden.quota import QuotaConfig, SignalLimits, Usage

README = (Path(otelwarden.quota.__file__).parent / "README.md").read_text()


def test_the_yaml_is_valid():
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    config = QuotaConfig.from_mapping(yaml.safe_load(text)["processors"]["quota"])
    assert config.default.traces == SignalLimits(rate=500, burst=2000, max_item_size=64 << 10)


def test_the_code_runs(capsys):
    (text,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(text, {})
    out = capsys.readouterr().out
    assert str([Usage("acme", "traces", 1, 0)]) in out


def test_what_is_exported_is_what_is_visible():
    visible = {
        name
        for name, value in vars(otelwarden.quota).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("otelwarden.quota")
    }
    assert otelwarden.quota.__all__ == sorted(visible)
