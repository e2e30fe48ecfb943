"""Resources and instrumentation scopes, redacted once: thousands of items share each of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelwarden.core import Signal
from otelwarden.redaction.actions import DELETED
from otelwarden.redaction.document import Edits
from otelwarden.redaction.policy import Rule
from otelwarden.redaction.redactor import Redactor

MAX_ENVELOPES: Final = 1024
"""Resources or scopes remembered; beyond, all are forgotten and the memory starts anew."""

_T = TypeVar("_T")
_NO_EDITS: Final = Edits({}, {})


class _Memory(Generic[_T]):
    """Redacts an object once and answers from memory when it comes again."""

    def __init__(self, redact: Callable[[_T, Signal, str], tuple[_T, dict[Rule, int]]], seen: Seen) -> None:
        self._redact = redact
        self._seen = seen
        # What became of an envelope, beside the original, whose `id` is ours as long as it lives.
        self._known: dict[Hashable, tuple[_T, _T]] = {}

    def get(self, original: _T, signal: Signal, tenant: str) -> _T:
        known = self._known.get((id(original), signal, tenant))
        if known is not None:
            return known[1]
        redacted, counts = self._redact(original, signal, tenant)
        if len(self._known) >= MAX_ENVELOPES:
            self._known = {}
        self._known[id(original), signal, tenant] = (original, redacted)
        if counts:
            self._seen(counts, signal, tenant)
        return redacted


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

    def resource(self, resource: Resource, signal: Signal, tenant: str) -> Resource:
        """The resource as it may leave: itself when nothing is found in it."""
        return self._resources.get(resource, signal, tenant if tenant in self._tenants else "")

    def scope(self, scope: InstrumentationScope | None, signal: Signal, tenant: str) -> InstrumentationScope | None:
        """The scope as it may leave: itself when nothing is found in it."""
        return None if scope is None else self._scopes.get(scope, signal, tenant if tenant in self._tenants else "")

    def _redact_resource(self, resource: Resource, signal: Signal, tenant: str) -> tuple[Resource, dict[Rule, int]]:
        document = self._redactor.document()
        schema = document.optional("resource.schema_url", resource.schema_url)
        attributes = document.fields(resource.attributes)
        redaction = self._redactor.redact(document, signal, tenant)
        if redaction is None:
            return resource, {}
        edits = redaction.edits
        return Resource(attributes.rebuild(edits), text_or_empty(edits, schema, resource.schema_url)), redaction.counts

    def _redact_scope(
        self, scope: InstrumentationScope, signal: Signal, tenant: str
    ) -> tuple[InstrumentationScope, dict[Rule, int]]:
        document = self._redactor.document()
        name = document.optional("scope.name", scope.name)
        version = document.optional("scope.version", scope.version)
        schema = document.optional("scope.schema_url", scope.schema_url)
        attributes = document.fields(scope.attributes or {})
        redaction = self._redactor.redact(document, signal, tenant)
        if redaction is None:
            return scope, {}
        edits = redaction.edits
        changed = InstrumentationScope(
            text_or_empty(edits, name, scope.name),
            text_or_empty(edits, version, scope.version),
            text_or_empty(edits, schema, scope.schema_url),
            attributes.rebuild(edits),
        )
        return changed, redaction.counts


def text_or_empty(edits: Edits, number: int, text: str | None) -> str:
    """A text that cannot be left out: empty when a rule deletes it."""
    new = edits.texts.get(number, text)
    return "" if new is DELETED or new is None else new
