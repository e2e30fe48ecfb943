"""Keeps the caller where an instrumentation begins a new context."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import get_current
from opentelemetry.context.context import Context
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.propagators import textmap
from opentelemetry.propagators.composite import CompositePropagator

from otelwarden.core import TENANT_KEY, TOKEN_KEY

_KEYS: Final = (TENANT_KEY, TOKEN_KEY)


class TenantPropagator(textmap.TextMapPropagator):
    """Carries tenant and token from the current context into the one that is read from a request. Sends nothing.

    An instrumentation of a server reads a request into an empty context, and works in that from then on: what the
    middleware around it put into the current one would be lost. Stands first among the propagators, since the others
    go on with what it answers: `CompositePropagator([TenantPropagator(), ...])`, or `OTEL_PROPAGATORS=
    otelwarden_tenant,tracecontext,baggage`; `configure()` sees to it.
    """

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """The tenant and the token of the current context, and nothing else of it; a context that is given as it is."""
        if context is not None:
            return context
        current = get_current()
        return Context({key: current[key] for key in _KEYS if key in current})

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Does nothing: neither leaves the process."""

    @property
    def fields(self) -> set[str]:
        """None."""
        return set()


class _TenantFirst(CompositePropagator):
    """The global propagators behind a `TenantPropagator`."""


def keep_tenant_in_propagation() -> None:
    """Puts a `TenantPropagator` before the global propagators; does nothing the second time."""
    present = get_global_textmap()
    if not isinstance(present, _TenantFirst):
        set_global_textmap(_TenantFirst([TenantPropagator(), present]))
