"""What one component may ask another: small Protocols, wired up by `otelwarden.pipeline`.

Components never import each other. What one tells another travels as a `GovernanceEvent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from opentelemetry.context.context import Context

from otelwarden.core.context import get_tenant

UNATTRIBUTED: Final = "unattributed"
"""The tenant of telemetry that names none: start-up, self-telemetry, background work."""

NO_ATTRIBUTES: Final[Mapping[str, Any]] = {}


class Identity(NamedTuple):
    """Whose an item is, and how that is known."""

    tenant: str
    source: str
    """`token`, `context`, `baggage`, `resource`, `attribute` or `default`."""


class TenantResolver(Protocol):
    """Says whose telemetry an item is."""

    def resolve(
        self,
        context: Context,
        resource: Mapping[str, Any] = NO_ATTRIBUTES,
        attributes: Mapping[str, Any] = NO_ATTRIBUTES,
    ) -> Identity:
        """The identity of work that runs in `context`; must answer for any input and never raise.

        Args:
            context: the OpenTelemetry context that the span, log record or measurement was made in.
            resource: attributes of the resource, where they are known.
            attributes: attributes of the item, where they are known.
        """
        ...


class ContextResolver:
    """The resolver of a pipeline without tenancy: what `use_tenant` said, or the default."""

    def __init__(self, default: str = UNATTRIBUTED) -> None:
        self._default = Identity(default, "default")

    def resolve(
        self,
        context: Context,
        resource: Mapping[str, Any] = NO_ATTRIBUTES,
        attributes: Mapping[str, Any] = NO_ATTRIBUTES,
    ) -> Identity:
        """The tenant that the context names, or the default."""
        tenant = get_tenant(context)
        return self._default if tenant is None else Identity(tenant, "context")


class TenantDirectory(Protocol):
    """Answers for what is recorded about a tenant."""

    @property
    def generation(self) -> int:
        """A number that grows with every change, so that a caller may keep what it made of an answer."""
        ...

    def limits(self, tenant: str) -> Mapping[str, Any] | None:
        """The limits that the tenant's own settings give, as written; None for a tenant without any."""
        ...

    def plan(self, tenant: str) -> str | None:
        """The plan whose limits the tenant has where it has none of its own; None for none."""
        ...

    def time_zone(self, tenant: str) -> str | None:
        """IANA name of the zone in which the tenant's days begin; None for UTC."""
        ...


class SeriesGate(Protocol):
    """Says whether a measurement may have a series of its own, or goes into its tenant's overflow series."""

    def admits(
        self, tenant: str, instrument: tuple[str, str], attributes: Mapping[str, Any], observed: bool = False
    ) -> bool:
        """Whether the measurement's series has a place, or is given one now; asked for each measurement.

        Args:
            instrument: name of its scope and its own.
            observed: whether a callback made it, so that its value is a total.
        """
        ...


class TenantRouting(Protocol):
    """Answers for where a tenant's telemetry may go, and what goes with it. None everywhere: nothing is said."""

    @property
    def generation(self) -> int:
        """As that of `TenantDirectory`."""
        ...

    def knows(self, tenant: str) -> bool:
        """Whether the tenant is registered (still): of one that is not, nobody can say where it may go."""
        ...

    def region(self, tenant: str) -> str | None:
        """Where the tenant's telemetry must stay."""
        ...

    def destinations(self, tenant: str) -> Sequence[str] | None:
        """Names of the endpoints that its telemetry may be sent to."""
        ...

    def headers(self, tenant: str) -> Mapping[str, str] | None:
        """Headers, or gRPC metadata, that requests with its telemetry carry."""
        ...


class KeyRing(Protocol):
    """Secret keys by id. Which one is current may change at any moment; what older ones made can still be read."""

    @property
    def current_id(self) -> str:
        """Id of the key that new things are made with."""
        ...

    def key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key; None when it is not (or no longer) there."""
        ...


class SubjectKey(NamedTuple):
    """The key of one person's data."""

    id: str
    """Names the key and tells nothing about the person."""
    key: bytes
    """32 bytes."""


class SubjectKeys(Protocol):
    """A key for each person, so that destroying it erases what was encrypted with it, wherever that is by now."""

    def key_for(self, tenant: str, subject: str) -> SubjectKey:
        """The key of a person's data, made when there is none; durable before it is answered.

        Raises:
            OSError: it could not be kept.
        """
        ...

    def key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key; None when it was destroyed or never was."""
        ...

    def key_id(self, tenant: str, subject: str) -> str | None:
        """Id of the key of a person's data; None when there is none. Makes none."""
        ...

    def destroy(self, tenant: str, subject: str) -> str | None:
        """Destroys the key of a person's data for good.

        Returns:
            The id of the key; None when there was none.
        """
        ...
