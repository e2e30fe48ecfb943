"""Whose the work at hand is, kept in the OpenTelemetry context: the tenant that is named, the token that may prove it.

They live in the `Context` and not in context variables of their own, so that `start_span(context=...)`, the context of
a log record and `counter.add(..., context=...)` all tell the truth, in whichever thread they run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import attach, create_key, detach, get_current, set_value
from opentelemetry.context.context import Context

TENANT_KEY: Final = create_key("otelwarden.tenant")
TOKEN_KEY: Final = create_key("otelwarden.token")

MAX_TOKEN: Final = 16_384
"""Characters; of a longer token nothing is kept, and it proves nothing."""


class Token:
    """A token as a request brought it: not verified yet, and never shown.

    Attributes:
        text: the token; empty for what cannot be one.
        digest: SHA-256 of it, by which verified tokens are remembered; empty as well.
    """

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        possible = isinstance(text, str) and 0 < len(text) <= MAX_TOKEN and text.isascii()
        self.text = text if possible else ""
        self.digest = hashlib.sha256(text.encode("ascii")).digest() if possible else b""

    def __repr__(self) -> str:
        return f"Token(<{len(self.text)} characters>)"

    def __reduce__(self) -> tuple[type[Token], tuple[str]]:
        """A copy in another process is one without the secret: contexts that are pickled must not carry it along."""
        return Token, ("",)


NO_TOKEN: Final = Token("")
"""Stands in a context from which the token was taken away, so that children of its span do not inherit it either."""


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


def set_token(token: str | None, context: Context | None = None) -> Context:
    """A context like `context` (None: the current one) in which work belongs to whom `token` proves to be the caller.

    Args:
        token: as the request brought it; it is verified when somebody asks, and goes into no telemetry. None takes one
            away: work for somebody else, which the token would claim for the caller.
    """
    return set_value(TOKEN_KEY, NO_TOKEN if token is None else Token(token), context)


@contextmanager
def use_token(token: str | None) -> Iterator[None]:
    """The work in this block belongs to whom `token` proves to be the caller; see `set_token`."""
    attached = attach(set_token(token))
    try:
        yield
    finally:
        detach(attached)
