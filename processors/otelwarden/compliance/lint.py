"""What a schema cannot say about a framework: every id is one of the text's, every name is of something that exists.

Packs seen elsewhere carried the ids of an older version, requirements without any check, and checks that nobody has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from otelwarden.compliance.checks import Check
from otelwarden.core import ConfigError, Fault, parse_duration

_RANGE: Final = re.compile(r"(.*?)(\d+|[A-Za-z]+)\.\.(\d+|[A-Za-z]+)(.*)")
_ROMAN: Final = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_DURATIONS: Final = frozenset({"least", "within"})


class HasChecks(Protocol):
    """A control."""

    @property
    def checks(self) -> tuple[str, ...]:
        """The checks that show it at work."""
        ...


def ids_of(ranges: Iterable[str]) -> frozenset[str]:
    """The ids that ranges like `CC1.1..5`, `17(1..3)`, `(a..d)` and `(i..iv)` stand for."""
    return frozenset(each for text in ranges for each in _expanded(text))


def _expanded(text: str) -> Iterator[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        yield text
        return
    before, first, last, after = match.groups()
    for member in _members(first, last):
        yield from _expanded(f"{before}{member}{after}")


def _members(first: str, last: str) -> Iterable[str]:
    if first.isdigit():  # leading zeros count: `GV.OC-01..05`
        return (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    if first in _ROMAN and last in _ROMAN and (len(last) > 1 or first == last):
        return _ROMAN[_ROMAN.index(first) : _ROMAN.index(last) + 1]
    return map(chr, range(ord(first), ord(last) + 1))


def lint(
    document: Mapping[str, Any],
    *,
    checks: Mapping[str, Check],
    controls: Mapping[str, HasChecks],
    file: str,
    ids: frozenset[str] | None = None,
) -> list[Fault]:
    """Everything that is wrong with a framework whose schema has been checked.

    Args:
        checks: every check that there is.
        controls: every control that there is.
        file: named in the faults.
        ids: the ids that the text of the framework has; None where that is not known.
    """
    faults: list[Fault] = []

    def fault(pointer: str, message: str, given: object, allowed: str = "") -> None:
        faults.append(Fault(file=file, pointer=pointer, message=message, given=given, allowed=allowed))

    seen: set[str] = set()
    for index, requirement in enumerate(document["requirements"]):
        pointer = f"/requirements/{index}"
        name = requirement["id"]
        if name in seen:
            fault(f"{pointer}/id", "another requirement has this id", name)
        seen.add(name)
        if ids is not None and name not in ids:
            fault(f"{pointer}/id", "the text of the framework has no such id", name)
        for number, control in enumerate(requirement["controls"]):
            if control not in controls:
                fault(f"{pointer}/controls/{number}", "there is no such control", control, ", ".join(sorted(controls)))
        faults += _check_faults(requirement, checks, controls, file, pointer)
    for index, own in enumerate(document.get("controls", ())):
        for number, check in enumerate(own.get("checks", ())):
            if check not in checks:
                fault(f"/controls/{index}/checks/{number}", "there is no such check", check)
        if not any(own["id"] in requirement["controls"] for requirement in document["requirements"]):
            fault(f"/controls/{index}/id", "no requirement names this control", own["id"])
    return faults


def _check_faults(
    requirement: Mapping[str, Any],
    checks: Mapping[str, Check],
    controls: Mapping[str, HasChecks],
    file: str,
    pointer: str,
) -> Iterator[Fault]:
    used = set()
    for number, use in enumerate(requirement.get("checks", ())):
        where = f"{pointer}/checks/{number}"
        name, parameters = (use, {}) if isinstance(use, str) else (use["check"], use["with"])
        used.add(name)
        if name not in checks:
            yield Fault(file=file, pointer=where, message="there is no such check", given=name)
            continue
        yield from _parameter_faults(checks[name], parameters, controls, file, where)
        if not any(name in controls[each].checks for each in requirement["controls"] if each in controls):
            message = "none of the requirement's controls has this check"
            yield Fault(file=file, pointer=where, message=message, given=name)
    if "checks" in requirement:
        for number, control in enumerate(requirement["controls"]):
            if control in controls and used.isdisjoint(controls[control].checks):
                message = "the requirement uses none of this control's checks"
                yield Fault(file=file, pointer=f"{pointer}/controls/{number}", message=message, given=control)


def _parameter_faults(
    check: Check, parameters: Mapping[str, Any], controls: Mapping[str, HasChecks], file: str, pointer: str
) -> Iterator[Fault]:
    for name in check.parameters:
        if name not in parameters:
            yield Fault(file=file, pointer=pointer, message=f"the check needs the parameter `{name}`")
    for name, value in parameters.items():
        where = f"{pointer}/with/{name}"
        if name not in check.parameters:
            allowed = ", ".join(check.parameters) or "none"
            yield Fault(
                file=file, pointer=where, message="the check has no such parameter", given=name, allowed=allowed
            )
        elif name == "control" and value not in controls:
            yield Fault(file=file, pointer=where, message="there is no such control", given=value)
        elif name in _DURATIONS:
            try:
                parse_duration(value)
            except ConfigError as error:
                yield from (each.within(where, file=file) for each in error.faults)
