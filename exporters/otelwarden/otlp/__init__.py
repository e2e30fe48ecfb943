"""OTLP on the wire: batches as bytes, and bytes to endpoints over gRPC and HTTP."""

from otelwarden.otlp.cancellation import Cancellation
from otelwarden.otlp.codes import TOO_LARGE
from otelwarden.otlp.encoding import Encoded, encode_logs, encode_metrics, encode_spans
from otelwarden.otlp.grpc_transport import GrpcTransport
from otelwarden.otlp.http_transport import HttpTransport
from otelwarden.otlp.outcome import Outcome, Verdict
from otelwarden.otlp.splitting import halve
from otelwarden.otlp.tls import Tls
from otelwarden.otlp.transport import Compression, Transport

__all__ = [
    "TOO_LARGE",
    "Cancellation",
    "Compression",
    "Encoded",
    "GrpcTransport",
    "HttpTransport",
    "Outcome",
    "Tls",
    "Transport",
    "Verdict",
    "encode_logs",
    "encode_metrics",
    "encode_spans",
    "halve",
]
