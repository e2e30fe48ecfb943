"""Frameworks: what is required, by which controls it is met, and which checks give evidence. Data, in JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

from otelwarden.compliance.checks import Check
from otelwarden.compliance.checks.check import run_key
from otelwarden.compliance.config import BUILT_IN
from otelwarden.compliance.lint import ids_of, lint
from otelwarden.compliance.results import Severity
from otelwarden.core import ConfigError, Fault, check_document, parse_document, read_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Something that is done so that requirements are met."""

    id: str
    title: str
    objective: str
    checks: tuple[str, ...] = ()
    """The checks that show it at work; none for one that only people can vouch for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUse:
    """A check, as a requirement uses it."""

    check: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names the question: the check and its parameters."""
        return run_key(self.check, self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something that is required."""

    id: str
    """As the framework names it."""
    title: str
    text: str
    category: str
    severity: Severity
    controls: tuple[str, ...]
    checks: tuple[CheckUse, ...] = ()

    @property
    def manual(self) -> bool:
        """Whether only people can say that it is met."""
        return not self.checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A set of requirements."""

    id: str
    title: str
    version: str
    note: str
    controls: Mapping[str, Control]
    """The controls that its requirements name, by id."""
    requirements: tuple[Requirement, ...]


@cache
def shipped_controls() -> Mapping[str, Control]:
    """The controls that are shipped, by id."""
    return {document["id"]: _control(document) for document in _shipped("controls.json")["controls"]}


@cache
def catalogue() -> Mapping[str, frozenset[str]]:
    """The ids that the texts of the shipped frameworks have, by framework; more than the frameworks use."""
    return {framework: ids_of(ranges) for framework, ranges in _shipped("catalogue.json").items()}


def load_frameworks(sources: Iterable[str], checks: Mapping[str, Check]) -> tuple[Framework, ...]:
    """The frameworks with these ids or paths.

    Args:
        checks: every check that there is, by id.

    Raises:
        ConfigError: with everything that is wrong with any of them.
    """
    frameworks: dict[str, Framework] = {}
    faults: list[Fault] = []
    for source in sources:
        try:
            framework = load_framework(source, checks)
        except ConfigError as error:
            faults += error.faults
            continue
        if framework.id in frameworks:
            message = "another framework has this id"
            faults.append(Fault(file=source, pointer="/id", message=message, given=framework.id))
        frameworks[framework.id] = framework
    if faults:
        raise ConfigError(faults)
    return tuple(frameworks.values())


_judged: Final[dict[str, Framework]] = {}
"""Shipped frameworks that were found to be good; they do not change, and checks are only ever added."""


def load_framework(source: str, checks: Mapping[str, Check]) -> Framework:
    """One framework; see `load_frameworks`."""
    if source in BUILT_IN:
        if source not in _judged:
            _judged[source] = _framework(_shipped(f"{source}.json"), source, checks)
        return _judged[source]
    if "/" not in source and not source.endswith((".yaml", ".yml", ".json")):
        raise ConfigError([Fault(message="no framework has this id", given=source, allowed=", ".join(BUILT_IN))])
    return _framework(read_document(source, environment={}), source, checks)


def _framework(document: Any, source: str, checks: Mapping[str, Check]) -> Framework:
    check_document(document, "framework", file=source)
    own = {each["id"]: _control(each) for each in document.get("controls", ())}
    known = {**shipped_controls(), **own}
    framework = Framework(
        id=document["id"],
        title=document["title"],
        version=document["version"],
        note=document.get("note", ""),
        requirements=tuple(map(_requirement, document["requirements"])),
        controls={
            name: known[name]
            for requirement in document["requirements"]
            for name in requirement["controls"]
            if name in known
        },
    )
    faults = lint(document, checks=checks, controls=known, file=source, ids=catalogue().get(document["id"]))
    if faults:
        raise ConfigError(faults)
    return framework


def _shipped(name: str) -> Any:
    text = resources.files("otelwarden.compliance").joinpath("frameworks").joinpath(name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else parse_document(text, file=name)


def _control(document: Mapping[str, Any]) -> Control:
    return Control(
        id=document["id"],
        title=document["title"],
        objective=document["objective"],
        checks=tuple(document.get("checks", ())),
    )


def _requirement(document: Mapping[str, Any]) -> Requirement:
    return Requirement(
        id=document["id"],
        title=document["title"],
        text=document.get("text", ""),
        category=document["category"],
        severity=document["severity"],
        controls=tuple(document["controls"]),
        checks=tuple(
            CheckUse(check=each) if isinstance(each, str) else CheckUse(check=each["check"], parameters=each["with"])
            for each in document.get("checks", ())
        ),
    )
