"""What the stages have in common, whatever they decorate: a transform, accounts, a way to fail.

A transform is `(item, state) -> item | Drop`. One that leaves most items as they are may look at a whole batch first
and name those it has to work on: see `LooksFirst`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from opentelemetry.sdk.trace import ReadableSpan, Span

from otelwarden.core._sdk import SPAN_ID, TRACE_ID, span_context_of
from otelwarden.core.accounting import Account
from otelwarden.core.drop import DROP_ON_ERROR, Drop
from otelwarden.core.events import Signal
from otelwarden.core.failure import OnError
from otelwarden.core.runtime import Runtime, default_runtime
from otelwarden.core.size import measure
from otelwarden.core.state import Item, ItemState, SpanState, state_of

SpanTransform: TypeAlias = Callable[[ReadableSpan, ItemState], "ReadableSpan | Drop"]
LogTransform: TypeAlias = Callable[[Any, ItemState], "Any | Drop"]
"""Given a `ReadWriteLogRecord` or `ReadableLogRecord`, answers one of the same class."""
SpanStart: TypeAlias = Callable[[Span, SpanState], None]

_ItemT = TypeVar("_ItemT", bound=Item)


def item_ids(item: Item) -> tuple[int, int]:
    """Trace and span id of an item; 0 where it has none."""
    if isinstance(item, ReadableSpan):
        context = span_context_of(item)
        return (0, 0) if context is None else (context[TRACE_ID], context[SPAN_ID])
    return item.log_record.trace_id or 0, item.log_record.span_id or 0


@runtime_checkable
class LooksFirst(Protocol):
    """A transform that tells in one go which items of a batch it has to work on."""

    def look(self, batch: Sequence[Any], states: Sequence[ItemState]) -> Mapping[int, Any]:
        """What it sees in which items, by their number in the batch; all others pass as they are.

        It has no effect: when it raises, the items are worked on one by one.
        """
        ...

    def act(self, item: Any, state: ItemState, seen: Any) -> Any | Drop:
        """What becomes of an item in which it saw something."""
        ...


class Stage(Generic[_ItemT]):
    """What the stages have in common: a transform, an account of what became of each item, a way to fail.

    Args:
        component: name of the component, as in the configuration.
        transform: what the stage does to an item; raising counts as an error.
        on_error: what becomes of an item that the transform raised on.
        runtime: None for the one shared by all stages that are used by hand.
        held: as that of `Ledger`, as is `held_bytes`.
    """

    def __init__(
        self,
        component: str,
        signal: Signal,
        transform: Callable[[_ItemT, ItemState], _ItemT | Drop],
        *,
        on_error: OnError,
        runtime: Runtime | None,
        held: Callable[[], Mapping[str, int]] = dict,
        held_bytes: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.runtime = runtime or default_runtime()
        self.errors = self.runtime.errors(component)
        self.ledger = self.runtime.ledger(component, signal, held=held, held_bytes=held_bytes)
        self.accounts = self.ledger.accounts
        self._component = component
        self.transform = transform
        self._looks_first: LooksFirst | None = transform if isinstance(transform, LooksFirst) else None
        self._on_error = on_error

    def failed(self, item: _ItemT, error: Exception) -> _ItemT | Drop:
        """What becomes of an item that the transform raised on."""
        self.errors.record("transform", error)
        return DROP_ON_ERROR if self._on_error == "drop" else item

    def receive_bytes(self, item: Item, account: Account) -> int:
        """Measures an item that was received and accounts for its bytes; what cannot be measured has none."""
        try:
            size = measure(item)
        except Exception as error:  # a value of the application's own class
            self.errors.record("size_of", error)
            return 0
        account.receive_bytes(size)
        return size

    def dropped(self, item: Item, tenant: str, drop: Drop, size: int = 0) -> None:
        """Accounts for a dropped item and tells the observers.

        Args:
            size: its bytes, where the stage measures them.
        """
        account = self.ledger.account(tenant)
        account.dropped(drop.reason).tick()
        if size:
            dropped = account.dropped_bytes(drop.reason)
            dropped.add(size)
            dropped.tidy()
        trace_id, span_id = item_ids(item)
        self.runtime.emit(
            self._component,
            drop.action,
            drop.cause or drop.reason,
            tenant=tenant,
            signal=self.ledger.signal,
            trace_id=trace_id,
            span_id=span_id,
        )

    def export(self, batch: Sequence[_ItemT], forward: Callable[[list[_ItemT]], bool]) -> bool:
        """Works on a whole batch.

        Args:
            forward: exports what is left; False, or raising, means that all of it was lost.

        Returns:
            Whether `forward` succeeded; True when nothing was left to forward.
        """
        states = [state_of(item) for item in batch]
        tenants = Counter([state.tenant for state in states])
        for tenant, count in tenants.items():
            self.ledger.account(tenant).received.add(count)
        left = self._work_on(batch, states, tenants)
        lost = ""
        if left:
            try:
                lost = "" if forward(left) else "export_failed"
            except BaseException as error:
                self.errors.record("export", error)
                lost = "export_error"
                if not isinstance(error, Exception):
                    self._settle(tenants, lost)
                    raise
        self._settle(tenants, lost)
        return not lost

    def _work_on(self, batch: Sequence[_ItemT], states: Sequence[ItemState], tenants: Counter[str]) -> list[_ItemT]:
        """What the transform leaves of a batch; what it drops is accounted for and taken off `tenants`."""
        left: list[Any] = list(batch)
        work, numbers = self._work(batch, states)
        dropped = 0
        for number in numbers:
            item, state = batch[number], states[number]
            try:
                result = work(item, state, number)
            except Exception as error:
                result = self.failed(item, error)
            if isinstance(result, Drop):
                dropped += 1
                tenants[state.tenant] -= 1
                self.dropped(item, state.tenant, result)
            left[number] = result
        return [each for each in left if not isinstance(each, Drop)] if dropped else left

    def _work(
        self, batch: Sequence[_ItemT], states: Sequence[ItemState]
    ) -> tuple[Callable[[_ItemT, ItemState, int], _ItemT | Drop], Iterable[int]]:
        """What is to be done, and to which items of a batch."""
        transform, looks_first = self.transform, self._looks_first
        if looks_first is not None:
            act = looks_first.act
            try:
                seen = looks_first.look(batch, states)
            except Exception as error:
                self.errors.record("look", error)
            else:
                return lambda item, state, number: act(item, state, seen[number]), seen
        return lambda item, state, _: transform(item, state), range(len(batch))

    def _settle(self, tenants: Mapping[str, int], lost: str) -> None:
        for tenant, count in tenants.items():
            if not count:
                continue
            account = self.ledger.account(tenant)
            (account.dropped(lost) if lost else account.forwarded).add(count)
