"""The accounting identity: received = forwarded + dropped (by reason) + held, for each stage, signal and tenant.

It holds in items, and in bytes too where a stage measures what it gets. Each of the four is counted on its own, where
it happens, so the identity can fail and a test can find the item that nobody accounted for. Exact under threads; a
forked child starts from zero, since its parent reports what came before.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypedDict

from otelwarden.core.counts import ByteCount, Count
from otelwarden.core.events import Signal
from otelwarden.core.fork import run_in_child_after_fork

OTHER_TENANTS: Final = "<other>"
"""The account of every tenant beyond the bound of a ledger. `<` is in no tenant id, so nobody is mistaken for it."""

MAX_ACCOUNTS: Final = 16_384


class Account:
    """What one stage did with the items of one tenant."""

    __slots__ = ("_dropped", "_dropped_bytes", "forwarded", "forwarded_bytes", "received", "received_bytes")

    def __init__(self) -> None:
        self.received = Count()
        self.forwarded = Count()
        self._dropped: dict[str, Count] = {}
        self.received_bytes = ByteCount()
        self.forwarded_bytes = ByteCount()
        self._dropped_bytes: dict[str, ByteCount] = {}

    def dropped(self, reason: str) -> Count:
        """The counter of items dropped for `reason`."""
        count = self._dropped.get(reason)
        if count is None:
            count = self._dropped.setdefault(reason, Count())
        return count

    def dropped_by_reason(self) -> dict[str, int]:
        """Items dropped so far, by reason."""
        return {reason: count.value for reason, count in self._dropped.copy().items()}

    def dropped_bytes(self, reason: str) -> ByteCount:
        """The sum of the sizes of items dropped for `reason`."""
        count = self._dropped_bytes.get(reason)
        if count is None:
            count = self._dropped_bytes.setdefault(reason, ByteCount())
        return count

    def dropped_bytes_by_reason(self) -> dict[str, int]:
        """Bytes of the items dropped so far, by reason."""
        return {reason: count.value for reason, count in self._dropped_bytes.copy().items()}

    def receive_bytes(self, size: int) -> None:
        """Adds the size of an item that was received; keeps what is not summed up yet small."""
        self.received_bytes.add(size)
        self.received_bytes.tidy()
        self.forwarded_bytes.tidy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account at one moment, in items, and in bytes where the stage measures them (else 0)."""

    component: str
    """The stage's component, for instance `quota`."""
    signal: Signal | None
    """None in a sum over all signals."""
    tenant: str
    """Empty in a sum over all tenants."""
    received: int
    forwarded: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Items dropped, by reason."""
    held: int = 0
    """Items the stage says it holds: queued or in flight. Not computed from the other three."""
    received_bytes: int = 0
    """As `core.size_of` measures the items."""
    forwarded_bytes: int = 0
    dropped_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the items dropped, by reason."""
    held_bytes: int = 0

    @property
    def unaccounted(self) -> int:
        """Items that nobody accounts for; 0 whenever the stage is at rest."""
        return self.received - self.forwarded - sum(self.dropped.values()) - self.held

    @property
    def unaccounted_bytes(self) -> int:
        """Bytes that nobody accounts for; 0 whenever the stage is at rest."""
        return self.received_bytes - self.forwarded_bytes - sum(self.dropped_bytes.values()) - self.held_bytes


class Accounts(dict[str, Account]):
    """Tenant -> account, opened by whoever first asks. Indexing an account that is open takes no lock.

    Args:
        max_accounts: tenants with an account of their own; those beyond share the account `<other>`.
    """

    def __init__(self, max_accounts: int) -> None:
        super().__init__()
        self._max_accounts = max_accounts
        self.restart_after_fork()

    def restart_after_fork(self) -> None:
        """Closes all accounts: the parent reports what is on them."""
        self._lock = threading.RLock()
        self.clear()

    def __missing__(self, tenant: str) -> Account:
        with self._lock:
            if len(self) >= self._max_accounts:
                tenant = OTHER_TENANTS
            return self.setdefault(tenant, Account())


class Ledger:
    """The accounts of one stage for one signal.

    Args:
        component: the stage's component, for instance `quota`.
        signal: what the items are.
        held: says how many items the stage holds at the moment, by tenant; stages that hold none leave it out.
        held_bytes: says how many bytes these have; stages that do not measure leave it out.
        max_accounts: tenants with an account of their own; those beyond share the account `<other>`.
    """

    def __init__(
        self,
        component: str,
        signal: Signal,
        *,
        held: Callable[[], Mapping[str, int]] = dict,
        held_bytes: Callable[[], Mapping[str, int]] = dict,
        max_accounts: int = MAX_ACCOUNTS,
    ) -> None:
        self.component = component
        self.signal = signal
        self._held = held
        self._held_bytes = held_bytes
        self.accounts = Accounts(max_accounts)
        """Tenant -> account, for who looks one up for each item; do not keep what it gives, as after a fork it is
        another one."""
        run_in_child_after_fork(self.accounts.restart_after_fork)

    def account(self, tenant: str) -> Account:
        """The account of `tenant`; not to be kept either."""
        return self.accounts[tenant]

    def balances(self) -> list[Balance]:
        """Every account, with what the stage holds."""
        # Outgoing, then held, then incoming: an item that passes while we read makes `unaccounted` positive, never
        # negative, so a negative one is always a defect.
        outgoing = {tenant: _outgoing(account) for tenant, account in self.accounts.copy().items()}
        held, held_bytes = self._by_owner(self._held()), self._by_owner(self._held_bytes())
        for tenant in (*held, *held_bytes):
            outgoing.setdefault(tenant, _NOTHING_OUTGOING)
        return [
            Balance(
                component=self.component,
                signal=self.signal,
                tenant=tenant,
                held=held.get(tenant, 0),
                held_bytes=held_bytes.get(tenant, 0),
                received=self.account(tenant).received.value,
                received_bytes=self.account(tenant).received_bytes.value,
                **out,
            )
            for tenant, out in outgoing.items()
        ]

    def _by_owner(self, held: Mapping[str, int]) -> dict[str, int]:
        """What is held, by the account that it is on: tenants beyond the bound have none of their own."""
        found: dict[str, int] = {}
        for tenant, count in held.items():
            account = self.account(tenant)
            owner = tenant if self.accounts.get(tenant) is account else OTHER_TENANTS
            found[owner] = found.get(owner, 0) + count
        return found


class _Outgoing(TypedDict):
    forwarded: int
    dropped: dict[str, int]
    forwarded_bytes: int
    dropped_bytes: dict[str, int]


_NOTHING_OUTGOING: Final = _Outgoing(forwarded=0, dropped={}, forwarded_bytes=0, dropped_bytes={})


def _outgoing(account: Account) -> _Outgoing:
    return {
        "forwarded": account.forwarded.value,
        "dropped": account.dropped_by_reason(),
        "forwarded_bytes": account.forwarded_bytes.value,
        "dropped_bytes": account.dropped_bytes_by_reason(),
    }


def total(balances: Iterable[Balance], component: str, signal: Signal | None = None) -> Balance:
    """The sum over the tenants (and, with no `signal`, the signals) of one component."""
    chosen = [b for b in balances if b.component == component and signal in (None, b.signal)]
    return Balance(
        component=component,
        signal=signal,
        tenant="",
        received=sum(b.received for b in chosen),
        forwarded=sum(b.forwarded for b in chosen),
        dropped=_summed(b.dropped for b in chosen),
        held=sum(b.held for b in chosen),
        received_bytes=sum(b.received_bytes for b in chosen),
        forwarded_bytes=sum(b.forwarded_bytes for b in chosen),
        dropped_bytes=_summed(b.dropped_bytes for b in chosen),
        held_bytes=sum(b.held_bytes for b in chosen),
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    summed: Counter[str] = Counter()
    for each in counts:
        summed.update(each)
    return dict(summed)
