"""The README's examples run, and its table of options is the configuration's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

import otelwarden.tenancy
from otelwarden.schemas import load_schema
from otelwarden.tenancy import TenancyConfig, TenantRegistry

README = (Path(otelwarden.tenancy.__file__).parent / "README.md").read_text()
BLOCKS = re.findall(r"```(yaml|python)\n(.*?)```", README, re.DOTALL)


def test_the_examples_run(tmp_path):
    configuration, with_tokens, tenants = (text for kind, text in BLOCKS if kind == "yaml")
    by_host, program = (text for kind, text in BLOCKS if kind == "python")
    assert TenancyConfig.from_mapping(yaml.safe_load(configuration)["processors"]["tenancy"]).stamp == ("plan",)
    token = TenancyConfig.from_mapping(yaml.safe_load(with_tokens)["processors"]["tenancy"]).token
    assert token.tenant_claim == ("org", "tenant")
    exec(by_host, {})
    (tmp_path / "tenants.yaml").write_text(tenants)
    assert TenantRegistry(tmp_path / "tenants.yaml").stats()["pending"] == 1
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert '"tenant.plan": "gold"' in done.stdout
    assert '"name": "orders"' not in done.stdout, "its points were held back"
    assert "status_reason" in (tmp_path / "tenants.yaml").read_text()


def test_every_option_is_in_the_table_with_its_default():
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \(default = `?(.*?)`?\) \|", README, re.MULTILINE))
    schema = load_schema("tenancy")["properties"]
    expected = {}
    for name, option in schema.items():
        if name == "statuses":
            expected.update({f"statuses.{status}": action for status, action in option["default"].items()})
        elif name == "token":
            expected[name] = "none"
            for key, inner in option["properties"].items():
                if inner.get("default") is not None:
                    expected[f"token.{key}"] = str(inner["default"])
        elif isinstance(option["default"], list):
            expected[name] = f"[{', '.join(option['default'])}]" if option["default"] else "none"
        else:
            expected[name] = "none" if option["default"] is None else option["default"]
    assert listed == expected
    for name in schema["token"]["properties"]:
        assert f"`token.{name}`" in README
