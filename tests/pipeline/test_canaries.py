"""10,000 secrets in every place of every signal, through the whole pipeline: none of them may be found anywhere.

Not in the bytes that a real receiver got, nor in the audit trail, the spool, the log of this process or an error.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otelwarden.core import use_tenant
from otelwarden.pipeline import Warden, configure
from otelwarden.testing import FaultyReceiver

PLANTED = 10_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORD = re.compile(rb"canary[a-z]{12}")


def luhn(body: str) -> str:
    """The check digit of a card number (ISO/IEC 7812-1), by its definition."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        number = int(digit) * (2 if place % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return str(-total % 10)


class Canaries:
    """Hands out secrets of several kinds, no two alike, each with a needle that must be nowhere."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._makers: list[Callable[[], tuple[str, str]]] = [self._mail, self._card, self._password, self._token]
        self.needles: set[str] = set()
        self.count = 0

    def _word(self) -> str:
        return "canary" + "".join(self._random.choices(_LETTERS, k=12))

    def _mail(self) -> tuple[str, str]:
        word = self._word()
        return f"{word}@leak.example", word

    def _card(self) -> tuple[str, str]:
        body = "4" + "".join(self._random.choices("0123456789", k=14))
        return body + luhn(body), body

    def _password(self) -> tuple[str, str]:
        word = self._word()
        return f"password={word}9X", word

    def _token(self) -> tuple[str, str]:
        body = "".join(self._random.choices(_LETTERS + _LETTERS.upper() + "0123456789", k=40))
        return f"Authorization: Bearer {body}", body

    def __call__(self) -> str:
        text, needle = self._makers[self.count % len(self._makers)]()
        self.count += 1
        self.needles.add(needle)
        return text

    def mail(self) -> str:
        """One that may stand where a text with blanks may not."""
        text, needle = self._mail()
        self.count += 1
        self.needles.add(needle)
        return text

    def survivors(self, data: bytes) -> list[str]:
        """The canaries in some bytes."""
        found = {word.decode() for word in _WORD.findall(data)}
        found |= {body.decode() for body in re.findall(rb"(?=(4[0-9]{14}))", data)}
        found |= {body.decode() for body in re.findall(rb"(?=([A-Za-z0-9]{40}))", data)}
        return sorted(found & self.needles)


def spans(warden: Warden, canary: Canaries) -> None:
    assert warden.tracer_provider is not None
    tracer = warden.tracer_provider.get_tracer(canary.mail(), canary.mail(), f"https://s/{canary.mail()}")
    while canary.count < PLANTED * 0.4:
        remote = SpanContext(canary.count + 1, 2, True, TraceFlags(1), TraceState([("vendor", canary.mail())]))
        span = tracer.start_span(
            f"GET {canary()}",
            context=set_span_in_context(NonRecordingSpan(remote)),
            attributes={
                "text": f"for {canary()} and {canary()}",
                canary.mail(): "key",
                "list": [canary(), canary()],
                "bytes": canary().encode(),
                "db.query.text": f"SELECT 1 -- {canary()}",
                "url.full": f"https://x.example/?q={canary.mail()}".replace("@", "%40"),
                "http.request.header.authorization": [canary()],
                "json": f'{{"a": {{"b": "{canary()}"}}}}',
                "exception.stacktrace": f"Traceback\n  File x\nValueError: {canary()}\n",
            },
            links=[Link(remote, {"who": canary(), canary.mail(): 1})],
        )
        span.add_event(f"login {canary()}", {"who": canary(), canary.mail(): 1})
        span.record_exception(ValueError(f"no {canary()}"))
        span.set_status(Status(StatusCode.ERROR, canary()))
        span.end()


def logs(warden: Warden, canary: Canaries) -> None:
    assert warden.logger_provider is not None
    logger = warden.logger_provider.get_logger(canary.mail(), canary.mail(), f"https://s/{canary.mail()}")
    while canary.count < PLANTED * 0.7:
        for body in (canary(), {"a": [canary(), {canary.mail(): canary()}]}, [canary()], canary().encode()):
            logger.emit(
                LogRecord(
                    timestamp=1,
                    body=body,
                    severity_text=canary.mail(),
                    event_name=f"login {canary()}",
                    attributes={"who": canary(), canary.mail(): "x", "nested": {"a": {"b": [canary()]}}},
                    exception=ValueError(canary()),
                )
            )
    logging.getLogger("shop").warning("failed for %s", canary())


def metrics(warden: Warden, canary: Canaries) -> None:
    assert warden.meter_provider is not None
    meter = warden.meter_provider.get_meter(canary.mail(), canary.mail(), f"https://s/{canary.mail()}")
    described = meter.create_counter("described", canary.mail()[:63], f"by {canary()}")
    histogram = meter.create_histogram("latency", "s", f"of {canary()}")
    gauge = meter.create_gauge("heat")
    while canary.count < PLANTED:
        described.add(1, {"who": canary(), canary.mail(): "x"})
        histogram.record(0.5, {"who": canary(), "list": (canary(), canary())})
        gauge.set(1, {"who": canary()})


def document(receiver: FaultyReceiver, canary: Canaries) -> dict[str, Any]:
    pipeline = {"processors": ["tenancy", "redaction", "audit"], "exporters": ["failover"]}
    return {
        "processors": {
            "tenancy": {"unknown": "pass"},
            "redaction": {"evidence_attribute": "otelwarden.redaction"},
            "audit": {"path": "audit"},
        },
        "exporters": {"failover": {"endpoints": [{"url": receiver.grpc_endpoint}], "spool": {"path": "spool"}}},
        "service": {
            "resource": {"host.owner": canary.mail(), "owners": canary(), canary.mail(): "x"},
            "pipelines": {"traces": dict(pipeline), "logs": dict(pipeline), "metrics": {**pipeline, "interval": "1h"}},
        },
    }


def everything_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    for file in directory.rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()


def test_no_canary_is_found_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG, logger="otelwarden")
    canary = Canaries(20261124)
    with FaultyReceiver() as receiver:
        warden = configure(document(receiver, canary), set_global=False)
        with use_tenant("acme"):
            for plant in (spans, logs, metrics):
                plant(warden, canary)
                assert warden.force_flush(60)
        stats = warden.stats()
        warden.shutdown(60)
        raw = receiver.raw_bytes()
        received = len(receiver.spans()), len(receiver.log_records()), len(receiver.metrics())
    assert canary.count >= PLANTED
    assert len(canary.needles) > PLANTED * 0.999
    assert all(count > 0 for count in received), received
    assert raw.count(b"[REDACTED]") > PLANTED / 3
    assert canary.survivors(raw) == []
    files = dict(everything_below(tmp_path))
    assert any("/audit/" in name for name in files)
    assert {name: found for name, data in files.items() if (found := canary.survivors(data))} == {}
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("otelwarden"))
    assert canary.survivors(ours.encode()) == []
    assert canary.survivors(repr(stats).encode()) == []
    assert stats.unaccounted == 0
    assert sum(n for d, n in stats.decisions.items() if d.component == "redaction") >= PLANTED * 0.9


def test_the_search_would_find_them() -> None:
    canary = Canaries(1)
    texts = [canary() for _ in range(40)]
    assert len(canary.survivors("\n".join(texts).encode())) == 40
    assert canary.survivors(b"nothing") == []
