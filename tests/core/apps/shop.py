"""A WSGI application whose telemetry is set up before the server forks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core import (
    BatchConfig,
    FairBatchSpanProcessor,
    Runtime,
    SpanStageExporter,
    SpanStageProcessor,
    state_of,
    use_tenant,
)

DIRECTORY = Path(os.environ["SHOP_DIRECTORY"])


class FileExporter(SpanExporter):
    """Writes one line for each span, to a file of each process's own."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with (DIRECTORY / f"{os.getpid()}.spans").open("a") as file:
            for span in spans:
                file.write(json.dumps([span.name, state_of(span).tenant]) + "\n")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        (DIRECTORY / f"{os.getpid()}.shutdown").touch()


runtime = Runtime()
provider = TracerProvider()
provider.add_span_processor(
    SpanStageProcessor(
        FairBatchSpanProcessor(
            SpanStageExporter(FileExporter(), lambda s, _: s, component="last", on_error="drop", runtime=runtime),
            config=BatchConfig(max_export_batch_size=16, schedule_delay=0.05),
            runtime=runtime,
        ),
        lambda s, _: s,
        component="first",
        on_error="pass",
        runtime=runtime,
    )
)
tracer = provider.get_tracer("shop")
tracer.start_span("of the master").end()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`/buy/<tenant>/<id>` makes two spans, `/account` flushes and tells the accounts of this worker."""
    path = environ["PATH_INFO"]
    if path == "/account":
        flushed = provider.force_flush()
        accounts = [(b.component, b.tenant, b.received, b.forwarded, b.unaccounted) for b in runtime.balances()]
        body = {"pid": os.getpid(), "flushed": flushed, "accounts": accounts}
    else:
        _, _, tenant, number = path.split("/")
        with use_tenant(tenant), tracer.start_as_current_span(f"buy {number}"):
            tracer.start_span(f"pay {number}").end()
        body = {"pid": os.getpid()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
