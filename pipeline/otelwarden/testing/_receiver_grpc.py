"""The gRPC side of a receiver: bytes in, bytes out, no protobuf parsed on the way."""

# grpc has no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from otelwarden.testing._intake import SLOW_BODY, Intake, answer_body, cut_connections
from otelwarden.testing.faults import STATUS, Fault, FaultMode

if TYPE_CHECKING:
    from otelwarden.core.events import Signal

_METHODS: Final[dict[str, Signal]] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}

# Without so_reuseport=0 two receivers may listen on one port, and half of the requests go to the wrong one.
_OPTIONS: Final = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1))

# A hanging request holds a thread until its client gives up.
_THREADS: Final = 64


class GrpcServer:
    """An OTLP/gRPC server on a fixed loopback port that can be opened again after it was closed."""

    def __init__(self, intake: Intake, port: int) -> None:
        self._intake = intake
        self._port = port
        self._server: grpc.Server | None = None

    def open(self) -> None:
        """Listens; raises RuntimeError when the port is taken."""
        server = grpc.server(ThreadPoolExecutor(_THREADS), options=_OPTIONS)
        server.add_generic_rpc_handlers((_Handlers(self._intake, self._port),))
        server.add_insecure_port(f"127.0.0.1:{self._port}")
        server.start()
        self._server = server

    def close(self) -> None:
        """Stops listening and cuts the open connections."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, intake: Intake, port: int) -> None:
        self._intake = intake
        self._port = port

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        signal = _METHODS.get(handler_call_details.method)
        return signal and grpc.unary_unary_rpc_method_handler(self._export(signal))

    def _export(self, signal: Signal) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            headers = {key: _text(value) for key, value in context.invocation_metadata()}
            fault = self._intake.receive(signal, "grpc", headers, body)
            if fault is not None:
                self._fail(fault, context)
            return answer_body(fault)

        return export

    def _fail(self, fault: Fault, context: grpc.ServicerContext) -> None:
        """Does what the fault asks for before the answer, if one is to come."""
        if fault.mode in STATUS:
            _abort(fault, context)
        elif fault.mode is FaultMode.CLOSE:
            cut_connections(self._port, int(context.peer().rsplit(":", 1)[1]))
        elif fault.mode is FaultMode.HANG:
            _wait(context, None)
        elif fault.mode is FaultMode.SLOW:
            _wait(context, fault.delay)
        elif fault.mode is FaultMode.SLOW_BODY:
            _wait(context, fault.delay * len(SLOW_BODY))


def _wait(context: grpc.ServicerContext, seconds: float | None) -> None:
    """Waits, but not longer than the client."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(seconds)


def _abort(fault: Fault, context: grpc.ServicerContext) -> None:
    code = grpc.StatusCode[STATUS[fault.mode][0]]
    message = f"fault: {fault.mode.value}"
    if fault.retry_info is not None:
        context.set_trailing_metadata((_retry_metadata(fault, code.value[0], message),))
    context.abort(code, message)


def _retry_metadata(fault: Fault, code: int, message: str) -> tuple[str, bytes]:
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(int((fault.retry_after or 0) * 1e9))
    retry_info = error_details_pb2.RetryInfo(retry_delay=delay)
    if fault.retry_info == "metadata":
        return "google.rpc.retryinfo-bin", retry_info.SerializeToString()
    detail = any_pb2.Any()
    detail.Pack(retry_info)
    status = status_pb2.Status(code=code, message=message, details=[detail])
    return "grpc-status-details-bin", status.SerializeToString()


def _text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
