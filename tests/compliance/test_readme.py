"""The README says what is there, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from otelwarden.cli import main
from otelwarden.compliance import BUILT_IN, Check, ComplianceConfig, Evidence, Result, all_checks, load_frameworks
from otelwarden.schemas import load_schema

from .conftest import Service

README = (Path(__file__).parents[2] / "processors/otelwarden/compliance/README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def test_every_option_is_described() -> None:
    described = re.findall(r"^- `(\w+)` \(default", README, re.MULTILINE)
    assert sorted(described) == sorted(load_schema("compliance")["properties"])


def test_the_numbers_are_right() -> None:
    frameworks = load_frameworks(BUILT_IN, all_checks())
    requirements = [each for framework in frameworks for each in framework.requirements]
    said = re.search(r"(\d+) requirements, (\d+) of them `manual`", README)
    assert said is not None
    assert [int(each) for each in said.groups()] == [len(requirements), sum(each.manual for each in requirements)]
    for framework in BUILT_IN:
        assert f"`{framework}`" in README


def test_the_configuration_and_the_framework_work(tmp_path: Path) -> None:
    texts = [text for kind, text in BLOCKS if kind == "yaml"]
    config = ComplianceConfig.from_mapping(yaml.safe_load(texts[0])["compliance"])
    assert config.recipients[0].name == "Example Observability"
    (tmp_path / "house-rules.yaml").write_text(texts[1])
    (framework,) = load_frameworks([str(tmp_path / "house-rules.yaml")], all_checks())
    assert len(framework.requirements) == 3


def test_the_check_works(service: Service) -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "python"]
    names: dict[str, object] = {}
    exec(text, names)  # the README's own
    check = names["CHECK"]
    assert isinstance(check, Check)
    assessor = service.assessor()
    evidence = Evidence(now_ns=1, configuration=assessor.configuration, declared=assessor.config)
    assert check.judge(evidence, {}).result is Result.PASS


def test_the_commands_are_there(service: Service) -> None:
    service.run()
    (text,) = [text for kind, text in BLOCKS if kind == "sh"]
    main(["assess", str(service.write())])
    fingerprint = service.assessor().store.findings()[0].fingerprint
    for line in text.splitlines():
        line = line.partition("  #")[0].replace("otelwarden.yaml", str(service.file)).replace("5c3aa13e", fingerprint)
        line = line.replace("compliance.html", str(service.directory / "compliance.html"))
        words = [each.strip('"') for each in re.findall(r'"[^"]*"|\S+', line)]
        assert words[0] == "otelwarden"
        assert main(words[1:]) in (0, 1), line
    assert (service.directory / "compliance.html").exists()
