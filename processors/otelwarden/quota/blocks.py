"""How a block of a file becomes its dataclass, with everything that is wrong in it told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from otelwarden.core import ConfigError, Fault

_Config = TypeVar("_Config")


def unknown_keys(settings: Mapping[str, Any], known: Iterable[str]) -> list[Fault]:
    """A fault for each key that is not among the known ones."""
    known = sorted(known)
    allowed = ", ".join(known)
    return [
        Fault(pointer=f"/{key}", message="unknown key", given=key, allowed=allowed)
        for key in settings
        if key not in known
    ]


def from_block(cls: type[_Config], settings: Mapping[str, Any], parsers: Mapping[str, Callable[[Any], Any]]) -> _Config:
    """The dataclass that a block describes, whose fields are its keys.

    Args:
        cls: raises a ConfigError with all that is out of range.
        parsers: of the fields that are written with a unit.

    Raises:
        ConfigError: with everything that is wrong, and a pointer relative to the block to each.
    """
    names = [each.name for each in fields(cls)]  # type: ignore[arg-type]  # a dataclass
    faults = unknown_keys(settings, names)
    values = {key: value for key, value in settings.items() if key in names}
    for name, parse in parsers.items():
        if name in values:
            try:
                values[name] = parse(values[name])
            except ConfigError as error:
                faults += [fault.within(f"/{name}") for fault in error.faults]
                del values[name]
    try:
        made = cls(**values)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return made
