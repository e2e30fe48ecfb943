"""Each fault as a bare client sees it on the wire. `client` speaks gRPC in one run and HTTP in the other."""

from __future__ import annotations

import math
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otelwarden.testing import Fault, FaultMode, FaultyReceiver

OK = ("OK", 200)
RETRY_AFTER = 2.5

ERRORS = {
    FaultMode.UNAVAILABLE: ("UNAVAILABLE", 503),
    FaultMode.EXHAUSTED: ("RESOURCE_EXHAUSTED", 429),
    FaultMode.UNAUTHENTICATED: ("UNAUTHENTICATED", 401),
    FaultMode.FORBIDDEN: ("PERMISSION_DENIED", 403),
    FaultMode.REDIRECT: ("INTERNAL", 302),
    FaultMode.BAD_REQUEST: ("INVALID_ARGUMENT", 400),
    FaultMode.TOO_LARGE: ("RESOURCE_EXHAUSTED", 413),
    FaultMode.INTERNAL: ("INTERNAL", 500),
}


def outcomes(receiver: FaultyReceiver) -> list[tuple[FaultMode | None, bool]]:
    return [(request.fault, request.accepted) for request in receiver.requests()]


@pytest.mark.parametrize("mode", ERRORS)
def test_an_error_is_answered_and_the_request_recorded_but_not_accepted(
    receiver: FaultyReceiver, client: Any, mode: FaultMode
) -> None:
    receiver.set_fault(Fault(mode=mode))
    assert client.send_spans("refused").outcome in ERRORS[mode]
    receiver.clear_fault()
    assert client.send_spans("kept").outcome in OK
    assert outcomes(receiver) == [(mode, False), (None, True)]
    assert [span.name for span in receiver.spans()] == ["kept"]
    assert b"kept" in receiver.raw_bytes()
    assert b"refused" not in receiver.raw_bytes()
    assert b"refused" in receiver.requests()[0].body


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
def test_an_http_error_has_a_status_message_as_the_specification_wants(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.BAD_REQUEST))
    status = status_pb2.Status.FromString(client.send().body)
    assert (status.code, status.message) == (3, "fault: bad_request")


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
def test_a_redirect_names_a_place_that_does_not_take_telemetry(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.REDIRECT))
    assert client.send().headers["Location"] == "/elsewhere"
    assert client.send(signal="../elsewhere").outcome == 404


@pytest.mark.parametrize("protocol", ["grpc"], indirect=True)
@pytest.mark.parametrize("mode", [FaultMode.EXHAUSTED, FaultMode.UNAVAILABLE])
def test_retry_info_is_where_it_was_asked_for(receiver: FaultyReceiver, client: Any, mode: FaultMode) -> None:
    receiver.set_fault(Fault(mode=mode))
    assert not any(name.endswith("-bin") for name in client.send().headers)

    receiver.set_fault(Fault(mode=mode, retry_after=RETRY_AFTER, retry_info="metadata"))
    retry_info = error_details_pb2.RetryInfo.FromString(client.send().headers["google.rpc.retryinfo-bin"])
    assert retry_info.retry_delay.ToNanoseconds() == RETRY_AFTER * 1e9

    receiver.set_fault(Fault(mode=mode, retry_after=RETRY_AFTER, retry_info="status-details"))
    status = status_pb2.Status.FromString(client.send().headers["grpc-status-details-bin"])
    retry_info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry_info)
    assert retry_info.retry_delay.ToNanoseconds() == RETRY_AFTER * 1e9


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
@pytest.mark.parametrize("mode", [FaultMode.EXHAUSTED, FaultMode.UNAVAILABLE])
def test_retry_after_is_seconds_or_a_date(receiver: FaultyReceiver, client: Any, mode: FaultMode) -> None:
    receiver.set_fault(Fault(mode=mode))
    assert "Retry-After" not in client.send().headers

    receiver.set_fault(Fault(mode=mode, retry_after=RETRY_AFTER))
    assert client.send().headers["Retry-After"] == str(math.ceil(RETRY_AFTER))

    receiver.set_fault(Fault(mode=mode, retry_after=RETRY_AFTER, retry_date=True))
    before = time.time()
    date = parsedate_to_datetime(client.send().headers["Retry-After"]).timestamp()
    assert before + RETRY_AFTER <= date <= time.time() + RETRY_AFTER + 1


def test_a_partial_success_names_what_it_rejected_and_is_recorded_whole(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.PARTIAL, rejected=2))
    answer = client.send_spans("a", "b", "c")
    assert answer.outcome in OK
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "2 items rejected")
    assert outcomes(receiver) == [(FaultMode.PARTIAL, True)]
    assert len(receiver.spans()) == 3


def test_too_large_lets_smaller_requests_pass(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.TOO_LARGE, max_bytes=100))
    assert client.send_spans("small").outcome in OK
    assert client.send_spans("large" * 100).outcome in ERRORS[FaultMode.TOO_LARGE]
    assert outcomes(receiver) == [(None, True), (FaultMode.TOO_LARGE, False)]


def test_garbage_is_a_success_that_cannot_be_parsed(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.GARBAGE))
    answer = client.send_spans("swallowed")
    assert answer.outcome in OK
    with pytest.raises(DecodeError):
        ExportTraceServiceResponse.FromString(answer.body)
    assert outcomes(receiver) == [(FaultMode.GARBAGE, False)]


def test_slow_answers_late_and_keeps_what_it_got(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.SLOW, delay=0.3))
    begin = time.monotonic()
    assert client.send_spans("patient").outcome in OK
    assert time.monotonic() - begin >= 0.3
    receiver.set_fault(Fault(mode=FaultMode.SLOW, delay=60.0))
    assert client.send_spans("impatient", timeout=0.1).outcome in ("DEADLINE_EXCEEDED", "ReadTimeoutError")
    assert [span.name for span in receiver.wait_for_spans(2)] == ["patient", "impatient"]


def test_a_slow_body_comes_byte_by_byte(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.SLOW_BODY, delay=0.08))
    begin = time.monotonic()
    # The read timeout of an HTTP client is for each read: it never fires on a body that trickles.
    answer = client.send_spans("kept", timeout=1.5 if client.protocol == "http" else 60)
    assert answer.outcome in OK
    assert time.monotonic() - begin >= 0.08 * len(answer.body) >= 1.5
    assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 0
    assert outcomes(receiver) == [(FaultMode.SLOW_BODY, True)]


def test_hang_never_answers(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.HANG))
    assert client.send_spans("lost", timeout=0.2).outcome in ("DEADLINE_EXCEEDED", "ReadTimeoutError")
    receiver.clear_fault()
    assert client.send_spans("kept").outcome in OK
    assert outcomes(receiver) == [(FaultMode.HANG, False), (None, True)]


def test_requests_that_hang_do_not_keep_the_port_open(receiver: FaultyReceiver, client: Any, connect: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.HANG))
    answers: list[Any] = []
    hanging = threading.Thread(target=lambda: answers.append(client.send_spans("lost")))
    hanging.start()
    receiver.wait_for(1)
    receiver.set_fault(Fault(mode=FaultMode.REFUSE))
    hanging.join()
    # gRPC says CANCELLED to a request that its server gives up.
    assert answers[0].outcome in ("UNAVAILABLE", "CANCELLED", "ProtocolError")
    receiver.clear_fault()
    assert connect(receiver).send_spans("kept").outcome in OK


def test_close_cuts_this_connection_and_no_other(receiver: FaultyReceiver, client: Any, connect: Any) -> None:
    other = connect(receiver)
    assert other.send_spans("first").outcome in OK
    receiver.set_fault(Fault(mode=FaultMode.CLOSE, count=1))
    assert client.send_spans("lost").outcome in ("UNAVAILABLE", "ProtocolError")
    assert other.send_spans("second").outcome in OK
    assert outcomes(receiver) == [(None, True), (FaultMode.CLOSE, False), (None, True)]


def test_refuse_closes_the_port_and_cuts_what_is_open(receiver: FaultyReceiver, client: Any, connect: Any) -> None:
    assert client.send_spans("before").outcome in OK
    receiver.set_fault(Fault(mode=FaultMode.REFUSE))
    refused = ("UNAVAILABLE", "NewConnectionError", "ProtocolError")
    assert client.send_spans("lost").outcome in refused
    assert connect(receiver).send_spans("lost").outcome in refused
    receiver.clear_fault()
    assert connect(receiver).send_spans("after").outcome in OK
    assert [span.name for span in receiver.spans()] == ["before", "after"]


def test_a_counted_fault_ends_by_itself(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE, count=2))
    assert [client.send().outcome in OK for _ in range(4)] == [False, False, True, True]


def test_a_fault_may_be_for_some_signals(receiver: FaultyReceiver, client: Any) -> None:
    receiver.set_fault(Fault(mode=FaultMode.INTERNAL, signals=("logs", "metrics")))
    served = [client.send(signal=signal).outcome in OK for signal in ("traces", "logs", "metrics")]
    assert served == [True, False, False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "hang"}, "mode 'hang' is not a FaultMode"),
        ({"mode": FaultMode.SLOW, "delay": -1}, "delay is -1; allowed: 0 or more"),
        ({"mode": FaultMode.SLOW, "delay": math.inf}, "delay is inf"),
        ({"mode": FaultMode.HANG, "count": 0}, "count is 0; allowed: 1 or more, or None"),
        ({"mode": FaultMode.EXHAUSTED, "retry_info": "metadata"}, "with a retry_after"),
        ({"mode": FaultMode.EXHAUSTED, "retry_info": "header", "retry_after": 1}, "retry_info is 'header'"),
        ({"mode": FaultMode.HANG, "signals": ("profiles",)}, "signals name ['profiles']"),
        ({"mode": FaultMode.REFUSE, "count": 3}, "neither count nor signals"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_that_no_receiver_could_carry_out_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Fault(**settings)
    assert message in str(refused.value)
