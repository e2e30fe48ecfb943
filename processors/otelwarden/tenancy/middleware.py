"""WSGI and ASGI middleware: all work on a request belongs to its caller.

It stands outermost, around the middleware of the instrumentation: that one starts the server span and counts the
request, and both would else belong to nobody.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from opentelemetry.context import attach, detach, get_current
from opentelemetry.context.context import Context

from otelwarden.core import TENANT_KEY, TOKEN_KEY, Runtime, default_runtime
from otelwarden.tenancy.requests import IdentifyCaller, IncomingRequest, bearer_token
from otelwarden.tenancy.resolution import COMPONENT

Environ: TypeAlias = dict[str, Any]
WSGIApp: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_BEARER_TOKEN: Final = bearer_token()


class _Caller:
    """The context of a request; shared by both kinds of middleware."""

    def __init__(self, identify: IdentifyCaller, runtime: Runtime | None) -> None:
        self._identify = identify
        self._errors = (runtime or default_runtime()).errors(COMPONENT)

    def context(self, request: Callable[[], IncomingRequest]) -> Context:
        """The current context with the caller's identity instead of any that is in it. Never raises."""
        bare = Context({key: value for key, value in get_current().items() if key not in (TENANT_KEY, TOKEN_KEY)})
        try:
            context = self._identify(request(), bare)
            if not isinstance(context, Context):
                raise TypeError(f"`identify` answered {type(context).__name__}, not a Context")
        except Exception as error:
            self._errors.record("middleware", error)
            return bare
        return context


class TenantWSGIMiddleware:
    """Makes all work on a request of a WSGI application (PEP 3333) belong to its caller, streamed bodies included.

    The application runs in a copy of the thread's context variables. Whatever is attached in there, and perhaps never
    detached, since a server dropped the body without closing it, is gone with the request: the next one in this thread
    cannot belong to the caller of this one.

    Args:
        app: the next in line, best with its instrumentation around it already.
        identify: what a request says about the caller; the token in `Authorization: Bearer ...` unless given.
        runtime: counts what `identify` raises; None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self, app: WSGIApp, *, identify: IdentifyCaller = _BEARER_TOKEN, runtime: Runtime | None = None
    ) -> None:
        self._app = app
        self._caller = _Caller(identify, runtime)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answers the request; see PEP 3333."""
        variables = contextvars.copy_context()
        variables.run(attach, self._caller.context(lambda: _request_of_environ(environ)))
        body = variables.run(self._app, environ, start_response)
        if isinstance(body, (list, tuple)) or _is_file(body, environ):
            return body  # nothing of the application runs in there, and the server has its own ways with them
        return _Body(body, variables)


class _Body:
    """A streamed body: each part is made in the context variables of its request."""

    def __init__(self, body: Iterable[bytes], variables: contextvars.Context) -> None:
        self._body = body
        self._run = variables.run
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            self._parts = self._run(iter, self._body)
        return self._run(next, self._parts)

    def close(self) -> None:
        """Ends the request; PEP 3333 has the server call it, come what may."""
        close = getattr(self._body, "close", None)
        if close is not None:
            self._run(close)


def _is_file(body: object, environ: Environ) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _request_of_environ(environ: Environ) -> IncomingRequest:
    headers = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_") and isinstance(value, str)
    }
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return IncomingRequest(
        scheme=environ.get("wsgi.url_scheme", "http"),
        method=environ.get("REQUEST_METHOD", ""),
        host=headers.get("host", ""),
        path=path.encode("latin-1").decode("utf-8", "replace"),  # PEP 3333: bytes, each as a character
        headers=headers,
    )


class TenantASGIMiddleware:
    """Makes all work on a request or WebSocket of an ASGI application belong to its caller, from start to end.

    What the application starts in the background inherits it. Start-up and shutdown (`lifespan`) belong to nobody.

    Args:
        app: the next in line, best with its instrumentation around it already.
        identify: what a request says about the caller; the token in `Authorization: Bearer ...` unless given.
        runtime: counts what `identify` raises; None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self, app: ASGIApp, *, identify: IdentifyCaller = _BEARER_TOKEN, runtime: Runtime | None = None
    ) -> None:
        self._app = app
        self._caller = _Caller(identify, runtime)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request; see the ASGI specification."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        attached = attach(self._caller.context(lambda: _request_of_scope(scope)))
        try:
            await self._app(scope, receive, send)
        finally:
            detach(attached)


def _request_of_scope(scope: Mapping[str, Any]) -> IncomingRequest:
    headers: dict[str, str] = {}
    for name, value in scope.get("headers", ()):
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return IncomingRequest(
        scheme=scope.get("scheme", "http"),
        method=scope.get("method", "GET"),
        host=headers.get("host", ""),
        path=scope.get("path", ""),
        headers=headers,
    )
