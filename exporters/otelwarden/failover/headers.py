"""What may stand in a header of a request, over gRPC and over HTTP alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.core import Fault

TENANT_ID: Final = "{tenant.id}"
"""What stands for the id of the tenant in a header of failover."""

MAX_VALUE: Final = 4096
"""Characters of a tenant's header; gRPC takes 8 KiB of all of them together, and proxies often no more."""

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_GRPC_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
_GRPC_VALUE: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)
_RESERVED: Final = frozenset({"content-type", "content-length", "content-encoding", "host", "transfer-encoding", "te"})


def header_faults(headers: Any, *, grpc: bool) -> Iterator[Fault]:
    """What is wrong with headers; values are credentials, so that an error does not quote them.

    Args:
        grpc: whether they must do as gRPC metadata too, which knows fewer names (gRPC over HTTP/2, "Custom-Metadata").
    """
    if not isinstance(headers, Mapping):
        yield Fault(pointer="/headers", message="wrong type", allowed="a mapping of names to text")
        return
    seen: set[str] = set()
    for name, value in headers.items():
        pointer = f"/headers/{str(name).replace('~', '~0').replace('/', '~1')}"
        if not isinstance(name, str) or not (_GRPC_NAME if grpc else _NAME).fullmatch(name):
            yield Fault(pointer=pointer, message="not a header name", given=name)
        elif name.lower() in _RESERVED or name.lower().startswith("grpc-"):
            yield Fault(pointer=pointer, message="set by the protocol itself", given=name)
        elif grpc and name.lower().endswith("-bin"):
            yield Fault(pointer=pointer, message="binary gRPC headers are not supported", given=name)
        elif name.lower() in seen:
            yield Fault(pointer=pointer, message="header given twice", given=name)
        if not isinstance(value, str) or not (_GRPC_VALUE if grpc else _VALUE).fullmatch(value):
            yield Fault(pointer=pointer, message="not a header value", allowed="printable ASCII, no line break")
        seen.add(str(name).lower())


def is_sendable(headers: Mapping[str, str]) -> bool:
    """Whether headers made at run time may be sent, whatever the protocol of the endpoint."""
    fits = all(isinstance(value, str) and len(value) <= MAX_VALUE for value in headers.values())
    return fits and not any(header_faults(headers, grpc=True))
