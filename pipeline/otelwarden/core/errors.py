"""The errors that otelwarden raises: all of them at configuration time, none of them into a running application.

OtelwardenError
└── ConfigError        a file, an argument or a variable was refused
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a configuration."""

    message: str
    """What is wrong, as a sentence without a full stop."""
    file: str = ""
    """The file it was read from; empty for settings made in code."""
    pointer: str = ""
    """Where, as a JSON pointer (RFC 6901); empty for the whole document."""
    given: object = None
    """The value that was refused; None when a value is missing."""
    allowed: str = ""
    """What would have been accepted."""

    def within(self, pointer: str, *, file: str = "") -> Fault:
        """This fault of a part, as one of the whole where the part stands at `pointer`; other files stay their own."""
        if self.file:
            return self
        return replace(self, pointer=pointer + self.pointer, file=file)

    def __str__(self) -> str:
        where = ":".join(part for part in (self.file, self.pointer or ("/" if self.file else "")) if part)
        text = f"{where}: {self.message}" if where else self.message
        if self.given is not None:
            text += f"; given {_SHORT.repr(self.given)}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        return text


class OtelwardenError(Exception):
    """Raised when otelwarden cannot do what it was asked to; the root of its errors."""


class ConfigError(OtelwardenError):
    """Raised when a configuration is refused; `faults` lists everything that is wrong with it at once."""

    def __init__(self, faults: Iterable[Fault] | str) -> None:
        self.faults: tuple[Fault, ...] = (Fault(message=faults),) if isinstance(faults, str) else tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return str(self.faults[0])
        return f"{len(self.faults)} faults:\n" + "\n".join(f"  - {fault}" for fault in self.faults)
