"""The seam between what is sent and how: one method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Protocol, TypeAlias

from otelwarden.core import Signal
from otelwarden.otlp.cancellation import Cancellation
from otelwarden.otlp.outcome import Outcome

Compression: TypeAlias = Literal["none", "gzip"]

NO_HEADERS: Final[Mapping[str, str]] = {}


class Transport(Protocol):
    """A way to one endpoint. Opens its connections when they are needed, and anew after a fork."""

    def send(
        self,
        signal: Signal,
        body: bytes,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        timeout: float,
        cancellation: Cancellation,
    ) -> Outcome:
        """Sends one export request and waits for its end; never raises for what a network or an endpoint does.

        Args:
            body: the serialized `Export...ServiceRequest`; zero bytes are an empty request, which asks for nothing.
            headers: sent beside the endpoint's own, which they override.
            timeout: seconds for all of it, from the name to the last byte of the answer.
            cancellation: ends the wait early, with the verdict CANCELLED.
        """
        ...

    def close(self) -> None:
        """Closes idle connections; what is under way ends by its timeout or cancellation."""
        ...
