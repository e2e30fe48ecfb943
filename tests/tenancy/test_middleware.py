"""WSGI and ASGI middleware: real servers, real clients, the official instrumentations."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from wsgiref.util import FileWrapper, setup_testing_defaults

import flask
import jwt
import pytest
import uvicorn
from opentelemetry import trace
from opentelemetry.context import attach, get_current
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.propagate import get_global_textmap, set_global_textmap
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from websockets.sync.client import connect
from werkzeug.serving import make_server

from otelwarden.tenancy import (
    TenancyConfig,
    TenantASGIMiddleware,
    TenantMeterProvider,
    TenantPropagator,
    TenantWSGIMiddleware,
    TokenConfig,
    get_tenant,
    keep_tenant_in_propagation,
    set_tenant,
    trusted_header,
    use_tenant,
)

from .waiting import until

SECRET = "a secret that is long enough for HS256"


def token_of(tenant: str, secret: str = SECRET) -> str:
    claims = {"iss": "me", "aud": "shop", "exp": int(time.time()) + 600, "tenant": tenant}
    return jwt.encode(claims, secret, "HS256")


@pytest.fixture
def propagation():
    """The global propagators, which keep the tenant; those of before afterwards."""
    before = get_global_textmap()
    keep_tenant_in_propagation()
    keeping = get_global_textmap()
    keep_tenant_in_propagation()
    assert get_global_textmap() is keeping
    yield
    set_global_textmap(before)


@pytest.fixture
def pipeline(registry, runtime, spans, tmp_path, propagation):
    (tmp_path / "secret").write_text(SECRET)
    token = TokenConfig(algorithms=("HS256",), issuer="me", audience="shop", secret_file=str(tmp_path / "secret"))
    return spans(TenancyConfig(sources=("token", "context"), token=token, unknown="quarantine"))


@pytest.fixture
def meters(registry, runtime, pipeline):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    governed = TenantMeterProvider(provider, pipeline.processor.tenancy)
    governed.reader = reader
    yield governed
    provider.shutdown()


def flask_app(pipeline, meters) -> flask.Flask:
    app = flask.Flask("shop")
    tracer = pipeline.tracer

    @app.get("/plain/<tenant>")
    def plain(tenant: str) -> str:
        with tracer.start_as_current_span(f"inner {tenant}"):
            return "done"

    @app.get("/stream/<tenant>")
    def stream(tenant: str) -> flask.Response:
        def parts():
            for number in range(3):
                with tracer.start_as_current_span(f"part {tenant}"):
                    yield f"{number}"

        return flask.Response(flask.stream_with_context(parts()))

    @app.get("/fail/<tenant>")
    def fail(tenant: str) -> str:
        with tracer.start_as_current_span(f"inner {tenant}"):
            raise RuntimeError

    FlaskInstrumentor().instrument_app(app, tracer_provider=pipeline.provider, meter_provider=meters)
    return app


@contextlib.contextmanager
def served_by_werkzeug(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(url: str, token: str | None = None, **headers: str) -> str:
    if token is not None:
        headers["Authorization"] = f"bearer {token}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return str(error.code)


def test_all_work_on_a_flask_request_belongs_to_its_caller(pipeline, meters):
    app = flask_app(pipeline, meters)
    app.wsgi_app = TenantWSGIMiddleware(app.wsgi_app, runtime=pipeline.runtime)
    tokens = {"acme": token_of("acme"), "blue": token_of("blue"), "quarantine": token_of("acme", "x" * 64)}
    with served_by_werkzeug(app) as url, ThreadPoolExecutor(8) as pool:
        calls = [(kind, who) for kind in ("plain", "stream", "fail") for who in (*tokens, "unattributed")] * 5
        answers = list(pool.map(lambda call: get(f"{url}/{call[0]}/{call[1]}", tokens.get(call[1])), calls))
        assert Counter(answers) == {"done": 20, "012": 20, "500": 20}
        assert len(pipeline.left) == 20 * (2 + 4 + 2)
    for span in pipeline.left:
        who = span.name.split()[-1]
        if span.kind is trace.SpanKind.SERVER:
            who = span.attributes["http.target"].rpartition("/")[2]
        assert span.attributes["tenant.id"] == who, span.name
    points = [
        (metric.name, point)
        for resource in meters.reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    served = Counter()
    for name, point in points:
        if name == "http.server.duration":
            served[point.attributes["tenant.id"]] += point.count
        else:
            assert point.value == 0, "requests at work"
    assert served == {"acme": 15, "blue": 15, "quarantine": 15, "unattributed": 15}
    shown = repr([(span.attributes, span.events, span.resource) for span in pipeline.left]) + repr(points)
    assert not any(token in shown for token in tokens.values())


def test_without_the_propagator_the_server_span_belongs_to_nobody(pipeline, meters):
    """Why there is one."""
    set_global_textmap(get_global_textmap()._propagators[1])
    app = flask_app(pipeline, meters)
    app.wsgi_app = TenantWSGIMiddleware(app.wsgi_app)
    with served_by_werkzeug(app) as url:
        get(f"{url}/plain/acme", token_of("acme"))
    assert set(pipeline.tags) == {"unattributed"}


def wsgi_call(app, **environ):
    setup_testing_defaults(environ)
    return app(environ, lambda *_: None)


def test_a_body_that_is_never_closed_leaves_nothing_behind():
    seen = []

    def app(environ, start_response):
        attach(set_tenant("leaked"))  # as an instrumentation does, which detaches when the body is closed
        seen.append(get_tenant())
        yield b"one"
        seen.append(get_tenant())
        yield b"two"

    middleware = TenantWSGIMiddleware(app, identify=trusted_header("X-Tenant"))
    before = get_current()
    body = wsgi_call(middleware, HTTP_X_TENANT="acme")
    assert next(body) == b"one"
    assert get_current() is before, "between two parts, too"
    assert next(body) == b"two"
    assert seen == ["leaked", "leaked"]
    assert get_current() is before


def test_what_the_thread_was_doing_before_is_no_callers():
    seen = []
    middleware = TenantWSGIMiddleware(lambda environ, _: seen.append(get_tenant()) or [])
    with use_tenant("another"):
        wsgi_call(middleware)
        assert get_tenant() == "another"
    assert seen == [None]


def test_bodies_are_closed_and_files_are_left_to_the_server(tmp_path):
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"x"])

        def close(self):
            closed.append(get_tenant())

    identify = trusted_header("X-Tenant")
    body = wsgi_call(TenantWSGIMiddleware(lambda *_: Body(), identify=identify), HTTP_X_TENANT="acme")
    assert list(body) == [b"x"]
    body.close()
    assert closed == ["acme"]
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as file:
        wrapped = FileWrapper(file)
        environ = {"wsgi.file_wrapper": FileWrapper}
        assert wsgi_call(TenantWSGIMiddleware(lambda *_: wrapped), **environ) is wrapped
    parts = [b"a"]
    assert wsgi_call(TenantWSGIMiddleware(lambda *_: parts)) is parts


def test_whatever_identify_does_the_request_is_answered(runtime):
    def broken(request, context):
        raise KeyError

    for identify in (broken, lambda request, context: None):
        assert wsgi_call(TenantWSGIMiddleware(lambda *_: [b"ok"], identify=identify, runtime=runtime)) == [b"ok"]
    assert runtime.error_counts()["tenancy"] == {"middleware:KeyError": 1, "middleware:TypeError": 1}


def test_a_caller_may_be_found_by_path_and_host():
    seen = []

    def by_path(request, context):
        assert (request.scheme, request.method, request.host) == ("http", "GET", "eu.shop.example:80")
        return set_tenant(request.path.split("/")[1], context)

    app = TenantWSGIMiddleware(lambda *_: seen.append(get_tenant()) or [], identify=by_path)
    wsgi_call(app, HTTP_HOST="eu.shop.example:80", SCRIPT_NAME="", PATH_INFO="/acme/orders")
    assert seen == ["acme"]


def test_the_propagator_carries_only_who():
    propagator = TenantPropagator()
    with use_tenant("acme"):
        extracted = propagator.extract({})
        assert (len(extracted), get_tenant(extracted)) == (1, "acme")
        given = get_current()
        assert propagator.extract({}, given) is given
        carrier: dict[str, str] = {}
        propagator.inject(carrier)
        assert (carrier, propagator.fields) == ({}, set())


def asgi_app(tracer):
    background = set()

    async def later(tenant: str) -> None:
        await asyncio.sleep(0)
        with tracer.start_as_current_span(f"later {tenant}"):
            pass

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                with tracer.start_as_current_span(f"{message['type']} unattributed"):
                    await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        tenant = scope["path"].rpartition("/")[2]
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                with tracer.start_as_current_span(f"message {tenant}"):
                    await send({"type": "websocket.send", "text": message["text"]})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await asyncio.sleep(0.001)
            with tracer.start_as_current_span(f"part {tenant}"):
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        task = asyncio.create_task(later(tenant))
        background.add(task)
        task.add_done_callback(background.discard)
        await send({"type": "http.response.body"})

    return app


@contextlib.contextmanager
def served_by_uvicorn(app):
    listener = sockets.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=lambda: server.run([listener]))
    thread.start()
    try:
        until(lambda: server.started)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_all_work_on_an_asgi_request_or_websocket_belongs_to_its_caller(pipeline, meters):
    app = OpenTelemetryMiddleware(asgi_app(pipeline.tracer), tracer_provider=pipeline.provider, meter_provider=meters)
    app = TenantASGIMiddleware(app, runtime=pipeline.runtime)
    tokens = {"acme": token_of("acme"), "blue": token_of("blue"), "quarantine": "forged"}
    with served_by_uvicorn(app) as address, ThreadPoolExecutor(8) as pool:
        callers = [*tokens, "unattributed"] * 5
        answers = list(pool.map(lambda who: get(f"http://{address}/http/{who}", tokens.get(who)), callers))
        assert set(answers) == {"xxx"}
        for who in tokens:
            with connect(
                f"ws://{address}/ws/{who}", additional_headers={"Authorization": f"Bearer {tokens[who]}"}
            ) as ws:
                for _ in range(2):
                    ws.send("hello")
                    assert ws.recv() == "hello"
    names = Counter(span.name.split()[0] for span in pipeline.left)
    assert (names["part"], names["later"], names["message"]) == (60, 20, 6)
    assert names["lifespan.startup"] == names["lifespan.shutdown"] == 1
    for span in pipeline.left:
        who = span.name.split()[-1] if "http.target" not in span.attributes else span.attributes["http.target"]
        if who in ("send", "receive"):  # of the instrumentation: for each message, without attributes that tell whose
            continue
        assert span.attributes["tenant.id"] == who.rpartition("/")[2], span.name
    traces: dict[int, set[object]] = {}
    for span in pipeline.left:
        traces.setdefault(span.context.trace_id, set()).add(span.attributes["tenant.id"])
    assert all(len(tenants) == 1 for tenants in traces.values())


def test_a_header_that_comes_twice_names_nobody():
    seen = []

    async def app(scope, receive, send):
        seen.append(get_tenant())

    headers = [(b"X-Tenant", b"acme"), (b"x-tenant", b"blue")]
    middleware = TenantASGIMiddleware(app, identify=trusted_header("X-Tenant"))
    asyncio.run(middleware({"type": "http", "headers": headers}, None, None))
    assert seen == ["acme, blue"], "which is no id"
