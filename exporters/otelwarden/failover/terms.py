"""On what terms the telemetry of a tenant leaves: with which headers, and for where."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from otelwarden.core import TenantRouting
from otelwarden.failover.endpoint import Endpoint
from otelwarden.failover.headers import TENANT_ID, is_sendable

Residency: TypeAlias = Literal["strict", "prefer"]
"""Whether the region of a tenant forbids endpoints elsewhere, or only prefers those in it."""

RESIDENCIES: Final[tuple[Residency, ...]] = ("strict", "prefer")

_MAX_TENANTS: Final = 10_000  # whose terms are remembered


class Bound(enum.IntFlag):
    """What the terms of a batch were made of when it was accepted; kept on disk with it.

    The terms themselves are not, as headers are credentials. They are looked up again when the batch is sent; a batch
    for which that is not possible any more must not leave as if it had never had any.
    """

    NOTHING = 0
    TEMPLATE = 1
    """Headers of failover with the id of the tenant in them."""
    DIRECTORY = 2
    """What is recorded about the tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What applies to a batch. Items on equal terms may leave in one request."""

    headers: tuple[tuple[str, str], ...] = ()
    """Sent beside those of the endpoint, which they override; names in lower case, sorted."""
    regions: frozenset[str] = frozenset()
    """An endpoint must be in all of these."""
    preferred: str | None = None
    """Of endpoints in equal health those in this region are chosen first."""
    destinations: frozenset[str] | None = None
    """Names or URLs of the endpoints it may go to; None for all."""
    fault: str = ""
    """Why it may not leave at all, a word for the accounts; empty when it may."""
    bound: Bound = Bound.NOTHING
    """What these terms were made of."""

    @property
    def restricts(self) -> bool:
        """Whether there may be endpoints that it must not go to."""
        return bool(self.regions) or self.destinations is not None

    def allows(self, endpoint: Endpoint) -> bool:
        """Whether it may go there."""
        if self.destinations is not None and not self.destinations & {endpoint.label, endpoint.url}:
            return False
        return not self.regions or self.regions == {endpoint.region}

    def __repr__(self) -> str:  # headers hold credentials
        return f"Terms(regions={set(self.regions)}, destinations={self.destinations}, fault={self.fault!r})"


OPEN: Final = Terms()
"""Of telemetry that may go anywhere, with the endpoint's own headers."""

_NOWHERE: Final = frozenset[str]()


class TenantTerms:
    """Makes the terms of tenants, from the headers of failover and from what is recorded about them.

    Args:
        headers: sent with every request; `{tenant.id}` in a value stands for the id of the tenant.
        residency: what the region of a tenant means.
        directory: knows the tenants; None when nobody does.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        residency: Residency = "strict",
        directory: TenantRouting | None = None,
    ) -> None:
        self._template = {name.lower(): value for name, value in (headers or {}).items()}
        self._strict = residency == "strict"
        self._directory = directory
        self._by_id = any(TENANT_ID in value for value in self._template.values())
        self._same_for_all = directory is None and not self._by_id
        self._generation = -1
        self._known: dict[str, Terms] = {}

    def groups(self, tenants: Mapping[str, int]) -> list[tuple[Terms, Mapping[str, int]]]:
        """The tenants of a batch by their terms; those of one group may leave together.

        Args:
            tenants: how many items each has.
        """
        if self._same_for_all:
            return [(self._of(""), tenants)]
        groups: dict[Terms, dict[str, int]] = {}
        for tenant, count in tenants.items():
            groups.setdefault(self._of(tenant), {})[tenant] = count
        return list(groups.items())

    def of(self, tenants: Iterable[str], bound: Bound) -> Terms:
        """The terms of a batch now.

        Args:
            tenants: whose items are in it.
            bound: what its terms were made of when it was accepted.
        """
        if (bound & Bound.DIRECTORY and self._directory is None) or (bound & Bound.TEMPLATE and not self._by_id):
            return Terms(destinations=_NOWHERE)  # nobody here can say what applies to it
        if bound is Bound.NOTHING and self._same_for_all:
            return self._of("")
        all_of_them = [self._of(tenant) for tenant in tenants]
        if bound & Bound.DIRECTORY and any(
            self._directory is not None and not self._directory.knows(tenant) for tenant in tenants
        ):
            return Terms(fault="tenant_gone")
        return _together(all_of_them)

    def _of(self, tenant: str) -> Terms:
        if self._directory is not None and self._directory.generation != self._generation:
            self._generation = self._directory.generation
            self._known = {}
        known = self._known  # another thread may begin a new one: what is made of the old directory stays in the old
        terms = known.get(tenant)
        if terms is None:
            if len(known) >= _MAX_TENANTS:
                known.clear()
            terms = known[tenant] = self._made(tenant)
        return terms

    def _made(self, tenant: str) -> Terms:
        headers = {name: value.replace(TENANT_ID, tenant) for name, value in self._template.items()}
        bound = Bound.TEMPLATE if self._by_id else Bound.NOTHING
        if (directory := self._directory) is None:
            return self._terms(headers, bound, None, None)
        own, region, destinations = directory.headers(tenant), directory.region(tenant), directory.destinations(tenant)
        if own or region is not None or destinations is not None:
            bound |= Bound.DIRECTORY
        headers |= {name.lower(): value for name, value in (own or {}).items()}
        return self._terms(headers, bound, region, destinations)

    def _terms(
        self, headers: Mapping[str, str], bound: Bound, region: str | None, destinations: Sequence[str] | None
    ) -> Terms:
        return Terms(
            headers=tuple(sorted(headers.items())),
            regions=frozenset([region]) if region is not None and self._strict else frozenset(),
            preferred=region,
            destinations=None if destinations is None else frozenset(destinations),
            fault="" if is_sendable(headers) else "bad_header",
            bound=bound,
        )


def _together(terms: list[Terms]) -> Terms:
    """The terms of a batch whose tenants were on equal ones when it was accepted, and may not be any more."""
    first, *others = terms or [OPEN]
    if not any(each != first for each in others):
        return first
    if any(each.headers != first.headers for each in others):
        return Terms(fault="mixed_tenants")
    limited = [each.destinations for each in terms if each.destinations is not None]
    return Terms(
        headers=first.headers,
        regions=frozenset().union(*(each.regions for each in terms)),
        destinations=frozenset.intersection(*limited) if limited else None,
        fault=next((each.fault for each in terms if each.fault), ""),
    )
