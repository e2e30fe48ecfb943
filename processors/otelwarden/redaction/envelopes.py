"""Resources and instrumentation scopes, redacted once: thousands of items share each of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelwarden.core import Classification, ItemState, Signal
from otelwarden.redaction.actions import DELETED, ItemFacts
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.classification import higher
from otelwarden.redaction.document import Edits, Unscannable
from otelwarden.redaction.redactor import Redactor
from otelwarden.redaction.rules import Rule

MAX_ENVELOPES: Final = 1024
"""Resources or scopes remembered; beyond, all are forgotten and the memory starts anew."""

_T = TypeVar("_T")
_NO_EDITS: Final = Edits({}, {})


class _Memory(Generic[_T]):
    """Redacts an object once and answers from memory when it comes again."""

    def __init__(self, redact: Callable[[_T, Signal, str], tuple[_T, Redaction | None]], seen: Seen) -> None:
        self._redact = redact
        self._seen = seen
        # What became of an envelope, beside the original, whose `id` is ours as long as it lives.
        self._known: dict[Hashable, tuple[_T, _T, Classification | None]] = {}

    def get(self, original: _T, signal: Signal, tenant: str) -> _T:
        known = self._known.get((id(original), signal, tenant))
        if known is not None:
            return known[1]
        redacted, redaction = self._redact(original, signal, tenant)
        if redaction is not None and redaction.blocked:
            raise Unscannable("blocked")
        if len(self._known) >= MAX_ENVELOPES:
            self._known = {}
        left = None if redaction is None else redaction.classification
        self._known[id(original), signal, tenant] = (original, redacted, left)
        if redaction is not None and redaction.counts:
            self._seen(redaction.counts, signal, tenant)
        return redacted

    def class_of(self, original: _T, signal: Signal, tenant: str) -> Classification | None:
        """The classification of what is left in an envelope that was asked for before."""
        known = self._known.get((id(original), signal, tenant))
        return None if known is None else known[2]


Seen = Callable[[dict[Rule, int], Signal, str], None]
"""Told once of an envelope on which rules acted: `(places by rule, signal, tenant)`."""


class Envelopes:
    """The resources and scopes of one stage.

    Args:
        seen: told when rules acted on an envelope that was not known yet.
    """

    def __init__(self, redactor: Redactor, seen: Seen) -> None:
        self._redactor = redactor
        self._tenants = redactor.named_tenants
        # One tuple, so that a thread never sees half of another's.
        self._last: Any = (None, None, None, None)
        self._resources: _Memory[Resource] = _Memory(self._redact_resource, seen)
        self._scopes: _Memory[InstrumentationScope] = _Memory(self._redact_scope, seen)

    def of(
        self, resource: Resource, scope: InstrumentationScope | None, signal: Signal, tenant: str
    ) -> tuple[Resource, InstrumentationScope | None]:
        """Both as they may leave. Most items have those of the item before."""
        last = self._last
        if last[0] is resource and last[1] is scope and last[2] is signal and not self._tenants:
            known: tuple[Resource, InstrumentationScope | None] = last[3]
            return known
        both = self.resource(resource, signal, tenant), self.scope(scope, signal, tenant)
        self._last = (resource, scope, signal, both)
        return both

    def changed(
        self,
        envelopes: Sequence[tuple[Resource, InstrumentationScope | None]],
        states: Sequence[ItemState],
        signal: Signal,
    ) -> Iterator[int]:
        """The numbers of those of which the resource or the scope does not leave as it is."""
        last: tuple[Any, ...] = (None, None, None)
        same = True
        tenants = self._tenants
        for number, (resource, scope) in enumerate(envelopes):
            if tenants or resource is not last[0] or scope is not last[1]:
                last = (resource, scope)
                try:
                    new = self.of(resource, scope, signal, states[number].tenant)
                    same = new[0] is resource and new[1] is scope
                except Unscannable:
                    same = False
            if not same:
                yield number

    def resource(self, resource: Resource, signal: Signal, tenant: str) -> Resource:
        """The resource as it may leave: itself when nothing is found in it."""
        return self._resources.get(resource, signal, tenant if tenant in self._tenants else "")

    def scope(self, scope: InstrumentationScope | None, signal: Signal, tenant: str) -> InstrumentationScope | None:
        """The scope as it may leave: itself when nothing is found in it."""
        return None if scope is None else self._scopes.get(scope, signal, tenant if tenant in self._tenants else "")

    def class_of(
        self, resource: Resource, scope: InstrumentationScope | None, signal: Signal, tenant: str
    ) -> Classification | None:
        """The classification of what is left in both, which must have been asked for before; None for none."""
        tenant = tenant if tenant in self._tenants else ""
        of_scope = None if scope is None else self._scopes.class_of(scope, signal, tenant)
        return higher(self._resources.class_of(resource, signal, tenant), of_scope)

    def _redact_resource(self, resource: Resource, signal: Signal, tenant: str) -> tuple[Resource, Redaction | None]:
        document = self._redactor.document()
        schema = document.place("resource.schema_url", resource.schema_url)
        attributes = document.fields(resource.attributes)
        redaction = self._redactor.redact(document, signal, tenant, ItemFacts(0, resource.attributes))
        if redaction is None or not redaction.changes:
            return resource, redaction
        edits = redaction.edits
        return Resource(attributes.rebuild(edits), text_or_empty(edits, schema, resource.schema_url)), redaction

    def _redact_scope(
        self, scope: InstrumentationScope, signal: Signal, tenant: str
    ) -> tuple[InstrumentationScope, Redaction | None]:
        document = self._redactor.document()
        name = document.place("scope.name", scope.name)
        version = document.place("scope.version", scope.version)
        schema = document.place("scope.schema_url", scope.schema_url)
        attributes = document.fields(scope.attributes or {})
        facts = ItemFacts(0, scope.attributes or {}, scope.name)
        redaction = self._redactor.redact(document, signal, tenant, facts)
        if redaction is None or not redaction.changes:
            return scope, redaction
        edits = redaction.edits
        changed = InstrumentationScope(
            text_or_empty(edits, name, scope.name),
            text_or_empty(edits, version, scope.version),
            text_or_empty(edits, schema, scope.schema_url),
            attributes.rebuild(edits),
        )
        return changed, redaction


def text_or_empty(edits: Edits, number: int, text: str | None) -> str:
    """A text that cannot be left out: empty when a rule deletes it."""
    new = edits.texts.get(number, text)
    return "" if new is DELETED or new is None else new
