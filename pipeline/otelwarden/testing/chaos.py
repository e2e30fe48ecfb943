"""Ordinary faults of two receivers while telemetry flows, and what became of each item."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from otelwarden.core.events import Signal
from otelwarden.testing.faults import Fault, FaultMode
from otelwarden.testing.receiver import FaultyReceiver
from otelwarden.testing.workloads import Workload, arrived

_STEP: Final = 0.01  # seconds between two bursts
_MAKE_UP: Final = 0.1  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that happens to the receivers at a time."""

    at: float
    """Seconds from the start."""
    name: str
    """`kill`, `freeze`, `refuse`, `dead`, or `end` for what ends one of these."""
    act: Callable[[], object]
    """Makes it happen."""


def ordinary_faults(a: FaultyReceiver, b: FaultyReceiver, seconds: float) -> list[Incident]:
    """Of 60 seconds: A killed from 5 to 15, frozen from 20 to 26, refusing from 30 to 38, A and B dead from 42 to 50.

    Args:
        seconds: how long the whole is to take; the times are scaled to it.
    """

    def both(act: Callable[[FaultyReceiver], None]) -> Callable[[], None]:
        def act_on_both() -> None:
            for receiver in (a, b):
                act(receiver)

        return act_on_both

    refuse = Fault(mode=FaultMode.UNAVAILABLE)
    plan: list[tuple[float, str, Callable[[], object]]] = [
        (5, "kill", a.kill),
        (15, "end", a.restart),
        (20, "freeze", a.freeze),
        (26, "end", a.thaw),
        (30, "refuse", lambda: a.set_fault(refuse)),
        (38, "end", a.clear_fault),
        (42, "dead", both(FaultyReceiver.kill)),
        (50, "end", both(FaultyReceiver.restart)),
    ]
    return [Incident(at=at * seconds / 60, name=name, act=act) for at, name, act in plan]


def carry_out(
    incidents: Iterable[Incident], workloads: Sequence[Workload], *, rate: float, seconds: float
) -> list[tuple[str, int]]:
    """Lets every workload make `rate` items a second while the incidents happen, and returns when both are over.

    When the machine stands still, up to a tenth of a second is made up for, not more: that would be a burst.

    Returns:
        The incidents, each with its time in nanoseconds since the epoch.
    """
    happened: list[tuple[str, int]] = []
    start = last = time.monotonic()
    script = threading.Thread(target=_happen, args=(sorted(incidents, key=lambda each: each.at), start, happened))
    script.start()
    owed = 0.0
    while (now := time.monotonic()) < start + seconds:
        owed = min(owed + (now - last) * rate, rate * _MAKE_UP)
        last = now
        for workload in workloads:
            workload.work(int(owed))
        owed -= int(owed)
        time.sleep(_STEP)
    script.join()
    return happened


def _happen(incidents: Sequence[Incident], start: float, happened: list[tuple[str, int]]) -> None:
    for incident in incidents:
        time.sleep(max(0.0, start + incident.at - time.monotonic()))
        happened.append((incident.name, time.time_ns()))
        incident.act()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of the items of one workload."""

    signal: Signal
    sent: int
    """Items made."""
    lost: int
    """Those that no receiver accepted."""
    doubled: int
    """Times that an item was accepted again."""


def fate_of(workload: Workload, receivers: Iterable[FaultyReceiver]) -> Fate:
    """Compares, by id, what was made with what was accepted."""
    found = arrived(receivers, workload.signal)
    return Fate(
        signal=workload.signal,
        sent=len(workload.sent),
        lost=len(workload.sent - set(found)),
        doubled=sum(found.values()) - len(found),
    )
