"""The tenant of the work at hand, kept in the OpenTelemetry context.

It lives in the `Context` and not in a context variable of its own, so that `start_span(context=...)`, the context of a
log record and `counter.add(..., context=...)` all tell the truth, in whichever thread they run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import attach, create_key, detach, get_current, set_value
from opentelemetry.context.context import Context

TENANT_KEY: Final = create_key("otelwarden.tenant")


def set_tenant(tenant: str, context: Context | None = None) -> Context:
    """A context like `context` (None: the current one) in which work belongs to `tenant`; nothing is attached."""
    return set_value(TENANT_KEY, tenant, context)


def get_tenant(context: Context | None = None) -> str | None:
    """The tenant that `context` (None: the current one) names, as it was set: not checked against any registry."""
    tenant = (get_current() if context is None else context).get(TENANT_KEY)
    return tenant if isinstance(tenant, str) else None


@contextmanager
def use_tenant(tenant: str) -> Iterator[None]:
    """The work in this block belongs to `tenant`."""
    token = attach(set_tenant(tenant))
    try:
        yield
    finally:
        detach(token)
