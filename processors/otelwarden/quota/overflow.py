"""What becomes of an item over a limit: it is dropped, passes as a sample, is only told of, or goes another way.

And what is never throttled, whatever its tenant has left.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from otelwarden.core import ConfigError, Drop, Fault, Item, Runtime, Signal, item_ids, threshold_of
from otelwarden.quota.config import Exempt, QuotaConfig
from otelwarden.quota.meters import BUDGET, RATE, SIZE, STORE_DOWN

_ItemT = TypeVar("_ItemT", bound=Item)

Passing: TypeAlias = Literal["", "exempt", "would_drop", "sample"]
"""Why an item over a limit passes; empty when it does not."""

DROPS: Final = {reason: Drop(reason) for reason in (RATE, BUDGET, SIZE, STORE_DOWN)}
REROUTED: Final = "rerouted"
_RANDOM_BITS: Final = 56


class Scopes:
    """Names of instrumentation scopes, of which the last character may be a `*` that stands for anything."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(name for name in names if not name.endswith("*"))
        self._prefixes = tuple(name[:-1] for name in names if name.endswith("*"))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._names or name.startswith(self._prefixes))


class Exemptions(Generic[_ItemT]):
    """Items that are never throttled.

    Args:
        is_error: whether an item tells of an error.
    """

    def __init__(self, config: Exempt, is_error: Callable[[_ItemT], bool]) -> None:
        self._is_error = is_error if config.errors else None
        self._scopes = Scopes(config.scopes) if config.scopes else None

    def cover(self, item: _ItemT) -> bool:
        """Whether the item is one of them."""
        if self._is_error is not None and self._is_error(item):
            return True
        scope = item.instrumentation_scope if self._scopes is not None else None
        return scope is not None and self._scopes is not None and scope.name in self._scopes


class Overflow(Generic[_ItemT]):
    """Decides about items of one signal that are over a limit.

    Args:
        is_error: whether an item tells of an error.
        reroute: takes items into another pipeline; needed for, and only for, `overflow: reroute`.

    Raises:
        ConfigError: it is missing, or of no use.
    """

    def __init__(
        self,
        config: QuotaConfig,
        signal: Signal,
        *,
        is_error: Callable[[_ItemT], bool],
        reroute: Callable[[_ItemT], None] | None,
        runtime: Runtime,
    ) -> None:
        if (config.overflow == "reroute") is (reroute is None):
            message = (
                "needs a processor as `reroute`" if reroute is None else "does not go with a processor as `reroute`"
            )
            raise ConfigError([Fault(pointer="/overflow", message=message, given=config.overflow)])
        self._signal = signal
        self._exemptions = Exemptions(config.exempt, is_error)
        self._observe = config.overflow == "observe"
        self.threshold = threshold_of(config.sample_ratio) if config.overflow == "sample" else None
        """What the randomness of a trace must be at least to pass as a sample; None where there are no samples."""
        self._reroute = reroute
        self._runtime = runtime
        self._errors = runtime.errors("quota")

    def exempts(self, item: _ItemT, tenant: str, refusal: str) -> bool:
        """Whether the item is never throttled; told as an event if so. One that is too large is not throttled."""
        return refusal != SIZE and self._exemptions.cover(item) and self._tell("exempt", item, tenant, refusal)

    def passes(self, item: _ItemT, tenant: str, refusal: str, randomness: int | None = None) -> Passing:
        """Why the item passes although it is over a limit; told as an event if it does.

        Args:
            randomness: of its trace; None for none, which leaves a sample to chance.
        """
        if self.exempts(item, tenant, refusal):
            return "exempt"
        if self._observe:
            self._tell("would_drop", item, tenant, refusal)
            return "would_drop"
        if self.threshold is None or refusal == SIZE:
            return ""
        drawn = random.getrandbits(_RANDOM_BITS) if randomness is None else randomness
        return "sample" if drawn >= self.threshold and self._tell("sample", item, tenant, refusal) else ""

    def _tell(self, action: str, item: _ItemT, tenant: str, refusal: str) -> bool:
        trace_id, span_id = item_ids(item)
        self._runtime.emit(
            "quota", action, refusal, tenant=tenant, signal=self._signal, trace_id=trace_id, span_id=span_id
        )
        return True

    def drop(self, item: _ItemT, refusal: str, drop: Drop | None = None) -> Drop:
        """What becomes of an item that does not pass.

        Args:
            drop: how it is dropped; None for as `refusal`.
        """
        drop = drop or DROPS.get(refusal) or Drop(refusal)
        if self._reroute is None:
            return drop
        try:
            self._reroute(item)
        except Exception as error:
            self._errors.record("reroute", error)
            return drop
        return Drop(REROUTED, action="reroute", cause=drop.reason)
