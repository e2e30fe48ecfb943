"""Resources and scopes, and the items that belong to them.

`ResourceSpans` and `ScopeSpans` (and those of logs and metrics) have the same three fields: what the items belong to,
the items, and its schema URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelwarden.core import plain_attributes
from otelwarden.otlp.attributes import Attributes
from otelwarden.otlp.repair import Repairs
from otelwarden.otlp.wire import delimited, optional, varint

MAX_ENVELOPES: Final = 256
"""Resources kept at most, and scopes."""

_OWNER: Final = b"\x0a"
_ITEM: Final = b"\x12"
_SCHEMA_URL: Final = b"\x1a"

_RESOURCE_ATTRIBUTES: Final = Attributes(1, level=2)
_SCOPE_ATTRIBUTES: Final = Attributes(3, level=3)


class Envelope:
    """A resource or scope on the wire; stands for it as the key of a dictionary."""

    __slots__ = ("_closing", "_hash", "_opening", "repaired", "source")

    def __init__(self, source: Any, body: bytes, schema_url: bytes, repaired: int) -> None:
        self.source = source
        self.repaired = repaired
        """Values of it that had to be changed."""
        self._opening = delimited(_OWNER, body)
        self._closing = optional(_SCHEMA_URL, schema_url)
        self._hash: int | None = None

    def __hash__(self) -> int:
        # The SDK hashes a resource by way of JSON, which takes 20 us, and raises for some that can be encoded.
        if self._hash is None:
            try:
                self._hash = hash(self.source)
            except Exception:
                self._hash = id(self.source)
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Envelope) and (self.source is other.source or bool(self.source == other.source))

    def around(self, bodies: Iterable[bytes]) -> bytes:
        """The message with the items of it."""
        parts = [self._opening]
        for body in bodies:
            parts += _ITEM, varint(len(body)), body
        parts.append(self._closing)
        return b"".join(parts)


class _Envelopes:
    """The envelopes of one kind.

    Those of the SDK's own objects, which never change, are kept, with the object: its id cannot become another's.

    Args:
        kind: the class of the SDK.
        envelop: makes one.
    """

    def __init__(self, kind: type, envelop: Callable[[Any], Envelope]) -> None:
        self._kind = kind
        self._envelop = envelop
        self._known: dict[int, Envelope] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, source: Any) -> Envelope:
        """The envelope of a resource or scope; None is one without fields."""
        known = self._known.get(id(source))
        if known is not None and known.source is source:
            return known
        envelope = self._envelop(source)
        if type(source) is self._kind:
            if len(self._known) >= MAX_ENVELOPES:
                self._known.clear()
            self._known[id(source)] = envelope
        return envelope


def _envelop_resource(resource: Any) -> Envelope:
    if resource is None:
        return Envelope(None, b"", b"", 0)
    repairs = Repairs()
    parts: list[bytes] = []
    _RESOURCE_ATTRIBUTES.write(plain_attributes(resource.attributes), parts, repairs)
    schema_url = repairs.utf8_of(resource.schema_url)
    return Envelope(resource, b"".join(parts), schema_url, repairs.count)


def _envelop_scope(scope: Any) -> Envelope:
    if not scope:
        return Envelope(None, b"", b"", 0)
    repairs = Repairs()
    parts = [optional(b"\x0a", repairs.utf8_of(scope.name)), optional(b"\x12", repairs.utf8_of(scope.version))]
    _SCOPE_ATTRIBUTES.write(plain_attributes(scope.attributes), parts, repairs)
    schema_url = repairs.utf8_of(scope.schema_url)
    return Envelope(scope, b"".join(parts), schema_url, repairs.count)


RESOURCES: Final = _Envelopes(Resource, _envelop_resource)
SCOPES: Final = _Envelopes(InstrumentationScope, _envelop_scope)


class Groups:
    """The items of one batch by resource and scope, in the order in which these first appear.

    Resources that are equal are one. Consecutive items mostly share theirs, so identity is asked first.
    """

    def __init__(self) -> None:
        self._resources: dict[Envelope, dict[Envelope, list[bytes]]] = {}
        self._resource: Any = self
        self._scope: Any = self
        self._bodies: list[bytes] = []

    def add(self, resource: Any, scope: Any, body: bytes) -> None:
        """Adds an item; raises whatever its resource or scope does."""
        if resource is not self._resource or scope is not self._scope:
            of_resource, of_scope = RESOURCES.of(resource), SCOPES.of(scope)
            self._bodies = self._resources.setdefault(of_resource, {}).setdefault(of_scope, [])
            self._resource, self._scope = resource, scope
        self._bodies.append(body)

    def request(self, repairs: Repairs) -> bytes:
        """The request with all items; what was repaired of resources and scopes is added to `repairs`."""
        parts: list[bytes] = []
        for resource, scopes in self._resources.items():
            repairs.count += resource.repaired + sum(scope.repaired for scope in scopes)
            parts.append(delimited(_OWNER, resource.around(scope.around(bodies) for scope, bodies in scopes.items())))
        return b"".join(parts)
