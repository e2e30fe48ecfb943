"""What a request says about who the caller is: facts of it, and functions that put them into a context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from opentelemetry.context.context import Context

from otelwarden.core import set_tenant, set_token


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRequest:
    """A request as it arrived, from whichever server."""

    scheme: str
    """`http`, `https`, `ws` or `wss`."""
    method: str
    """`GET`; of a WebSocket too."""
    host: str
    """As the client named it, with the port if it named one; empty if it named none. A client can name any."""
    path: str
    """Decoded, without the query."""
    headers: Mapping[str, str]
    """By name in lower case. One that came several times is joined by `, `, and so becomes neither a token nor an
    id."""


IdentifyCaller: TypeAlias = Callable[[IncomingRequest, Context], Context]
"""Puts into a context what a request says about the caller, by `set_token` or `set_tenant`; a function does."""


def bearer_token(header: str = "Authorization", *, scheme: str = "Bearer") -> IdentifyCaller:
    """Takes a token from a header; it proves who the caller is once it is verified.

    Args:
        header: where it stands.
        scheme: the word before it, of any case (RFC 6750, section 2.1); empty for none.
    """
    name, word = header.lower(), scheme.lower()

    def identify(request: IncomingRequest, context: Context) -> Context:
        value = request.headers.get(name)
        if value is None:
            return context
        if word:
            found, _, value = value.partition(" ")
            if found.lower() != word:
                return context  # another way to log in, which tells us nothing
        return set_token(value.strip(), context)

    return identify


def trusted_header(header: str) -> IdentifyCaller:
    """Takes the id of the tenant from a header, such as `X-Scope-OrgID`, unverified.

    Whoever can reach the service can name any tenant: use it only behind an edge that removes the header from what
    clients send, **in both spellings**, `X-Scope-OrgID` and `X_Scope_OrgID`: WSGI knows no difference between them.
    """
    name = header.lower()

    def identify(request: IncomingRequest, context: Context) -> Context:
        value = request.headers.get(name)
        return context if value is None else set_tenant(value.strip(), context)

    return identify
