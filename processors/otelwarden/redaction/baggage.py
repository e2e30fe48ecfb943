"""Baggage as it leaves the process: a propagator around the one in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import baggage
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from otelwarden.core import TRACES, Runtime, default_runtime
from otelwarden.redaction.evidence import COMPONENT, Evidence
from otelwarden.redaction.live import AnyPolicy, follow
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.redactor import Redactor
from otelwarden.redaction.rules import KeyGlobs
from otelwarden.redaction.stage import DEFAULT_OPTIONS, RedactionOptions


class _Work:
    """A policy at work on baggage."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, options: RedactionOptions) -> None:
        self._redactor = Redactor(
            policy, max_value_length=options.max_value_length, oversize=options.oversize, keys=options.keys
        )
        self._evidence = Evidence(runtime)

    def __call__(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        """The entries as they may leave; themselves when nothing is found in them."""
        document = self._redactor.document()
        fields = document.fields(entries)
        redaction = self._redactor.redact(document, TRACES, "")
        if redaction is None:
            return entries
        self._evidence.of_item(redaction.counts, TRACES, "")
        if redaction.blocked:
            return {}
        left: Mapping[str, Any] = fields.rebuild(redaction.edits)
        # A key is a token of its own grammar (W3C Baggage), which no replacement text is sure to keep to.
        return {key: value for key, value in left.items() if key in entries}


class RedactionBaggagePropagator(TextMapPropagator):
    """Redacts baggage, or leaves entries out, before the next propagator puts it into a request.

    Only what is sent is changed: the baggage of the process stays as it is. Fails closed: baggage that redaction fails
    on is not sent at all.

    Args:
        next_propagator: what injects and extracts; usually the global one.
        policy: a policy, one that follows its files, or names and paths of policies; None to redact nothing.
        drop: globs of keys that are not sent.
        runtime: None for the one shared by all stages that are used by hand.

    Raises:
        ConfigError: a policy is refused.
    """

    def __init__(
        self,
        next_propagator: TextMapPropagator,
        *,
        policy: AnyPolicy | None,
        drop: Sequence[str] = (),
        runtime: Runtime | None = None,
        options: RedactionOptions = DEFAULT_OPTIONS,
    ) -> None:
        runtime = runtime or default_runtime()
        self._next = next_propagator
        self._drop = KeyGlobs(drop) if drop else None
        self._runtime = runtime
        self._errors = runtime.errors(COMPONENT)
        self._work = None if policy is None else follow(policy, lambda of: _Work(of, runtime, options))

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Injects what may leave."""
        current = get_current() if context is None else context
        entries = baggage.get_all(current)
        if entries:
            try:
                left = self._left_of(entries)
            except Exception as error:
                self._errors.record("baggage", error)
                left = {}
            if left is not entries:
                current = baggage.clear(current)
                for key, value in left.items():
                    current = baggage.set_baggage(key, value, current)
        self._next.inject(carrier, current, setter)

    def _left_of(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        left = entries
        if self._drop is not None:
            kept = {key: value for key, value in entries.items() if not self._drop.match(key)}
            if len(kept) < len(entries):
                self._runtime.emit(COMPONENT, "delete", "baggage", signal=TRACES, count=len(entries) - len(kept))
                left = kept
        return left if self._work is None else self._work(left)

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """What the next propagator extracts."""
        return self._next.extract(carrier, context, getter)

    @property
    def fields(self) -> set[str]:
        """The fields that the next propagator sets."""
        return self._next.fields
