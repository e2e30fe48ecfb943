"""How long an endpoint wants to be left alone, in each of the ways there are to say so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


def of_header(value: str | None, *, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3); None where it is missing or malformed.

    Args:
        now: seconds since the epoch, to which a date is compared; None for the present.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def of_metadata(metadata: Iterable[tuple[str, Any]] | None) -> float | None:
    """Seconds that the trailing metadata of a gRPC call asks for; None where it does not.

    The specification puts a `google.rpc.RetryInfo` into the status details; the Python exporters look for a bare one.
    """
    for key, value in metadata or ():
        try:
            if key == "grpc-status-details-bin":
                for detail in status_pb2.Status.FromString(value).details:
                    info = error_details_pb2.RetryInfo()
                    if detail.Unpack(info):
                        return _seconds(info)
            elif key == "google.rpc.retryinfo-bin":
                return _seconds(error_details_pb2.RetryInfo.FromString(value))
        except (DecodeError, TypeError):
            continue
    return None


def _seconds(info: error_details_pb2.RetryInfo) -> float:
    return max(0.0, float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9)
