"""What a `FaultyReceiver` can be told to do wrong."""

from __future__ import annotations

import dataclasses
import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from otelwarden.core.events import Signal

RetryInfoPlace: TypeAlias = Literal["status-details", "metadata"]

_SIGNALS: Final = ("traces", "logs", "metrics")


class FaultMode(enum.Enum):
    """A way to fail. Each says what a client sees on gRPC / HTTP, and whether the request counts as accepted."""

    REFUSE = "refuse"
    """The port is closed: connects are refused, open connections are cut. Nothing is received."""
    HANG = "hang"
    """The request is read and never answered, even after the fault is cleared. Not accepted."""
    CLOSE = "close"
    """The request is read and the connection cut without an answer. Not accepted."""
    UNAVAILABLE = "unavailable"
    """UNAVAILABLE / 503. Not accepted."""
    EXHAUSTED = "exhausted"
    """RESOURCE_EXHAUSTED / 429. Not accepted."""
    UNAUTHENTICATED = "unauthenticated"
    """UNAUTHENTICATED / 401. Not accepted."""
    FORBIDDEN = "forbidden"
    """PERMISSION_DENIED / 403. Not accepted."""
    REDIRECT = "redirect"
    """INTERNAL / 302 to a place that answers 404. Not accepted."""
    BAD_REQUEST = "bad_request"
    """INVALID_ARGUMENT / 400. Not accepted."""
    TOO_LARGE = "too_large"
    """RESOURCE_EXHAUSTED / 413 for a body over `max_bytes`. Not accepted."""
    INTERNAL = "internal"
    """INTERNAL / 500. Not accepted."""
    GARBAGE = "garbage"
    """OK / 200 with bytes that are no protobuf, as from a proxy that swallowed the request. Not accepted."""
    PARTIAL = "partial"
    """OK / 200 with a partial success that rejects `rejected` items. Accepted, and recorded whole."""
    SLOW = "slow"
    """OK / 200 after `delay`. Accepted before the wait."""
    SLOW_BODY = "slow_body"
    """OK / 200 whose body comes one byte each `delay`; on gRPC the answer comes that late as a whole. Accepted."""


ACCEPTING: Final = frozenset({FaultMode.PARTIAL, FaultMode.SLOW, FaultMode.SLOW_BODY})
"""The modes in which the receiver keeps what it was sent."""

STATUS: Final[dict[FaultMode, tuple[str, int]]] = {
    FaultMode.UNAVAILABLE: ("UNAVAILABLE", 503),
    FaultMode.EXHAUSTED: ("RESOURCE_EXHAUSTED", 429),
    FaultMode.UNAUTHENTICATED: ("UNAUTHENTICATED", 401),
    FaultMode.FORBIDDEN: ("PERMISSION_DENIED", 403),
    FaultMode.REDIRECT: ("INTERNAL", 302),
    FaultMode.BAD_REQUEST: ("INVALID_ARGUMENT", 400),
    FaultMode.TOO_LARGE: ("RESOURCE_EXHAUSTED", 413),
    FaultMode.INTERNAL: ("INTERNAL", 500),
}
"""The modes that answer with an error: gRPC status name, HTTP status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a `FaultyReceiver`; raises ValueError for settings that no receiver could carry out."""

    mode: FaultMode
    """What goes wrong."""
    retry_after: float | None = None
    """Seconds until a client may try again, for modes that answer with an error; default None: nothing is said."""
    retry_info: RetryInfoPlace | None = None
    """Where gRPC says `retry_after`: a RetryInfo in the standard's `grpc-status-details-bin`, or bare in the
    `google.rpc.retryinfo-bin` that the Python exporter reads; default None: `retry_after` is for HTTP alone."""
    retry_date: bool = False
    """Whether HTTP's Retry-After is a date and not a number of seconds; default False."""
    rejected: int = 1
    """Items that PARTIAL rejects, default 1."""
    delay: float = 1.0
    """Seconds that SLOW waits, or SLOW_BODY for each byte; default 1."""
    max_bytes: int = 0
    """Uncompressed bytes up to which TOO_LARGE lets a request pass; default 0: only the empty one."""
    count: int | None = None
    """Requests to treat so, after which the receiver is well again; default None: until cleared."""
    signals: tuple[Signal, ...] | None = None
    """Signals to treat so; default None: all three."""

    def __post_init__(self) -> None:
        if not isinstance(self.mode, FaultMode):
            raise ValueError(f"mode {self.mode!r} is not a FaultMode; allowed: {', '.join(map(str, FaultMode))}")
        for name in ("retry_after", "rejected", "delay", "max_bytes"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value!r}; allowed: 0 or more")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count is {self.count!r}; allowed: 1 or more, or None")
        if self.retry_info is not None and (
            self.retry_after is None or self.retry_info not in get_args(RetryInfoPlace)
        ):
            raise ValueError(
                f"retry_info is {self.retry_info!r} and retry_after {self.retry_after!r}; "
                "allowed: 'status-details' or 'metadata', with a retry_after"
            )
        if unknown := set(self.signals or ()) - set(_SIGNALS):
            raise ValueError(f"signals name {sorted(unknown)}; allowed: {', '.join(_SIGNALS)}")
        if self.mode is FaultMode.REFUSE and (self.count, self.signals) != (None, None):
            raise ValueError("a closed port sees no requests; allowed with REFUSE: neither count nor signals")

    def as_dict(self) -> dict[str, Any]:
        """The fault as JSON values, for the way into the receiver's process."""
        return dataclasses.asdict(self) | {"mode": self.mode.value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Fault:
        """The inverse of `as_dict`."""
        signals = values["signals"]
        return cls(
            **values | {"mode": FaultMode(values["mode"]), "signals": None if signals is None else tuple(signals)}
        )
