"""The rejection threshold of OpenTelemetry's consistent probability sampling, in the `ot` entry of the trace state.

A trace is kept if its randomness (`rv` where the trace state gives it, else the last 56 bits of the trace id) is at
least the threshold `th`; so every participant that knows the probability decides alike, and a kept span stands for
`1 / probability` spans.
Source: OpenTelemetry specification, trace/tracestate-probability-sampling.md; W3C Trace Context level 2, section 5.2.
"""

from __future__ import annotations

import string
from typing import Final

from opentelemetry.trace import TraceState

MAX_THRESHOLD: Final = 1 << 56
_DIGITS: Final = 14
_HEX: Final = frozenset(string.hexdigits)


def threshold_of(probability: float) -> int:
    """The threshold in [0, 2^56] that keeps a share `probability` in [0, 1] of all traces."""
    return MAX_THRESHOLD - round(min(1.0, max(0.0, probability)) * MAX_THRESHOLD)


def randomness_of(trace_id: int, trace_state: TraceState | None = None) -> int:
    """The randomness value of a trace, in [0, 2^56): the explicit `rv` of its trace state, else that of its id.

    An `rv` that is not 14 hexadecimal digits is ignored, as the specification wants it.
    """
    if trace_state:
        for part in _sub_keys(trace_state):
            key, _, digits = part.partition(":")
            if key == "rv" and len(digits) == _DIGITS and _HEX.issuperset(digits):
                return int(digits, 16)
    return trace_id & (MAX_THRESHOLD - 1)


def _sub_keys(trace_state: TraceState) -> list[str]:
    entry = trace_state.get("ot")
    return [part for part in entry.split(";") if part] if entry else []


def probability_of(trace_state: TraceState | None) -> float | None:
    """The sampling probability in (0, 1] that the trace state tells; None when it tells none that makes sense."""
    if trace_state is None or len(trace_state) == 0:
        return None
    for part in _sub_keys(trace_state):
        key, _, digits = part.partition(":")
        if key == "th" and 0 < len(digits) <= _DIGITS and _HEX.issuperset(digits):
            # Subtracted before it is divided: the other way a probability below 2^-54 would come out as 0.
            return (MAX_THRESHOLD - int(digits.ljust(_DIGITS, "0"), 16)) / MAX_THRESHOLD
    return None


def with_threshold(trace_state: TraceState | None, threshold: int | None) -> TraceState:
    """The trace state with another `th`, everything else as it was.

    Args:
        threshold: in [0, 2^56); None erases it, as a stage must that drops at a probability nobody knows.
    """
    state = trace_state if trace_state is not None else TraceState()
    parts = [part for part in _sub_keys(state) if not part.startswith("th:")]
    if threshold is not None:
        parts.insert(0, "th:" + (f"{threshold:014x}".rstrip("0") or "0"))
    if not parts:
        return state.delete("ot") if "ot" in state else state
    value = ";".join(parts)
    return state.update("ot", value) if "ot" in state else state.add("ot", value)
