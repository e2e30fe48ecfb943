"""All checks that there are: the shipped ones, and those that other distributions register."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Final

from otelwarden.compliance.checks import (
    auditing,
    counters,
    governance,
    keys,
    recipients,
    redaction,
    retention,
    sample,
    service,
    tenancy,
    trail,
    transport,
)
from otelwarden.compliance.checks.check import Check
from otelwarden.core import ConfigError, Fault

ENTRY_POINTS: Final = "otelwarden.compliance.checks"
"""The entry point group: each names a `Check`, or a function that answers an iterable of them."""


def _shipped() -> Iterator[Check]:
    for module in (
        redaction,
        tenancy,
        auditing,
        keys,
        transport,
        recipients,
        retention,
        service,
        trail,
        counters,
        sample,
        governance,
    ):
        yield from module.CHECKS


@cache
def _registered() -> tuple[Check, ...]:
    """Looked up once: it reads the metadata of everything that is installed, in some 20 ms."""
    checks: list[Check] = []
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found = entry.load()
            made: Iterable[Check] = [found] if isinstance(found, Check) else found()
            checks.extend(made)
        except Exception as error:
            message = f"the checks of this entry point cannot be loaded: {type(error).__name__}"
            raise ConfigError([Fault(message=message, given=entry.value)]) from error
    return tuple(checks)


def all_checks() -> Mapping[str, Check]:
    """Every check by its id.

    Raises:
        ConfigError: two have one id, or those of an entry point cannot be loaded.
    """
    checks: dict[str, Check] = {}
    faults: list[Fault] = []
    for check in (*_shipped(), *_registered()):
        if check.id in checks:
            faults.append(Fault(message="two checks have this id", given=check.id))
        checks[check.id] = check
    if faults:
        raise ConfigError(faults)
    return checks
