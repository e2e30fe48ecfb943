"""The body of an answer that says OK."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otelwarden.otlp.outcome import Outcome, Verdict, shortened

_GARBAGE = Outcome(verdict=Verdict.ENDPOINT_FAULT, code="garbage", message="the answer is no OTLP")


def judge_answer(body: bytes, code: str, *, is_json: bool = False) -> Outcome:
    """The outcome of a request that was answered with OK and `body`.

    Something between us and the endpoint that says OK to everything (a portal, a proxy) must not pass for delivery.

    Args:
        body: an `Export...ServiceResponse`; the three signals' messages are the same on the wire.
        code: what to report as seen when the answer is what it should be.
        is_json: whether the answer says that it is JSON, as some endpoints answer whatever they were asked in.
    """
    if not body:
        return Outcome(verdict=Verdict.DELIVERED, code=code)
    response = ExportTraceServiceResponse()
    try:
        if is_json:
            json_format.Parse(body, response, ignore_unknown_fields=True)
        else:
            response.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError):
        return _GARBAGE
    partial = response.partial_success
    return Outcome(
        verdict=Verdict.DELIVERED,
        code=code,
        rejected=max(0, partial.rejected_spans),
        message=shortened(partial.error_message),
    )
