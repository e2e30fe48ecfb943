"""The shipped frameworks, and what the linter finds in others."""

from __future__ import annotations

import copy
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from otelwarden.compliance import BUILT_IN, all_checks, load_frameworks
from otelwarden.compliance.framework import catalogue, shipped_controls
from otelwarden.compliance.lint import ids_of
from otelwarden.core import ConfigError

CHECKS = all_checks()
FRAMEWORKS = load_frameworks(BUILT_IN, CHECKS)
REQUIREMENTS = [(framework, each) for framework in FRAMEWORKS for each in framework.requirements]


def test_there_are_enough_of_everything() -> None:
    assert len(FRAMEWORKS) == 9
    assert len(REQUIREMENTS) >= 120
    assert len(CHECKS) >= 40
    for framework in FRAMEWORKS:
        manual = sum(each.manual for each in framework.requirements)
        assert manual <= len(framework.requirements) / 3, framework.id


def test_every_check_is_used_and_every_control_named() -> None:
    assert {use.check for _, each in REQUIREMENTS for use in each.checks} == set(CHECKS)
    assert {name for _, each in REQUIREMENTS for name in each.controls} == set(shipped_controls())
    for control in shipped_controls().values():
        assert set(control.checks) <= set(CHECKS), control.id


def test_every_requirement_says_what_it_asks_for() -> None:
    for framework, each in REQUIREMENTS:
        assert len(each.text) > 20, (framework.id, each.id)
        assert each.category and each.title and each.controls


def test_ranges_of_ids() -> None:
    assert ids_of(["A.5.1..3"]) == {"A.5.1", "A.5.2", "A.5.3"}
    assert ids_of(["30(1)(a..c)"]) == {"30(1)(a)", "30(1)(b)", "30(1)(c)"}
    assert ids_of(["x(i..iv)"]) == {"x(i)", "x(ii)", "x(iii)", "x(iv)"}
    assert ids_of(["GV.OC-01..02", "plain"]) == {"GV.OC-01", "GV.OC-02", "plain"}
    assert len(catalogue()["nist-csf-2.0"]) == 106  # subcategories of the published core


def shipped(name: str = "sox") -> dict[str, Any]:
    return json.loads(resources.files("otelwarden.compliance").joinpath("frameworks", f"{name}.json").read_text())


FAULTS = {
    "an id of another version": (lambda d: d["requirements"][0].update(id="PR.IP-3"), "/requirements/0/id"),
    "an id twice": (lambda d: d["requirements"].append(copy.deepcopy(d["requirements"][0])), "/requirements/12/id"),
    "no such check": (lambda d: d["requirements"][0].update(checks=["no.such"]), "/requirements/0/checks/0"),
    "no such control": (lambda d: d["requirements"][0]["controls"].append("no-such"), "/requirements/0/controls/1"),
    "neither checks nor manual": (lambda d: d["requirements"][0].pop("checks"), "/requirements/0"),
    "checks and manual": (lambda d: d["requirements"][0].update(manual=True), "/requirements/0"),
    "a check of no control": (
        lambda d: d["requirements"][0].update(checks=["trail.intact"]), "/requirements/0/checks/0",
    ),
    "a control of no check": (
        lambda d: d["requirements"][0]["controls"].append("time"), "/requirements/0/controls/1",
    ),
    "a parameter that is missing": (
        lambda d: d["requirements"][0].update(checks=["assessment.scheduled"]), "/requirements/0/checks/0",
    ),
    "a parameter too many": (
        lambda d: d["requirements"][0]["checks"][0]["with"].update(colour="red"),
        "/requirements/0/checks/0/with/colour",
    ),
    "a duration that is none": (
        lambda d: d["requirements"][0]["checks"][0]["with"].update(within="soon"),
        "/requirements/0/checks/0/with/within",
    ),
    "an unknown key": (lambda d: d.update(colour="red"), "/colour"),
    "a dead control": (
        lambda d: d.update(controls=[{"id": "unused", "title": "x", "objective": "x"}]), "/controls/0/id",
    ),
    "a severity that is none": (lambda d: d["requirements"][0].update(severity="bad"), "/requirements/0/severity"),
    "no requirements": (lambda d: d.pop("requirements"), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_place(name: str, tmp_path: Path) -> None:
    change, pointer = FAULTS[name]
    document = shipped()
    change(document)
    file = tmp_path / "sox.json"
    file.write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        load_frameworks([str(file)], CHECKS)
    assert pointer in [fault.pointer for fault in caught.value.faults], caught.value
    assert {fault.file for fault in caught.value.faults} == {str(file)}


def test_frameworks_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "house.yaml"
    file.write_text(
        """
id: house-rules
title: House rules
version: "1"
controls:
  - {id: house-control, title: Ours, objective: We do it., checks: [trail.intact]}
requirements:
  - {id: H1, title: Trail is intact, category: all, severity: high, controls: [house-control], checks: [trail.intact]}
  - {id: H2, title: Somebody must say, category: all, severity: low, controls: [house-control], manual: true}
"""
    )
    (framework,) = load_frameworks([str(file)], CHECKS)
    assert [each.manual for each in framework.requirements] == [False, True]
    assert framework.controls["house-control"].title == "Ours"


def test_duplicates_and_strangers_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "sox.json"
    file.write_text(json.dumps(shipped()))
    with pytest.raises(ConfigError, match="another framework has this id"):
        load_frameworks(["sox", str(file)], CHECKS)
    with pytest.raises(ConfigError, match="no framework has this id"):
        load_frameworks(["pci-dss-3.2.1"], CHECKS)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_frameworks([str(tmp_path / "nowhere.yaml")], CHECKS)
