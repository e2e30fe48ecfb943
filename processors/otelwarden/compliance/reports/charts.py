"""Charts as inline SVG, made of numbers alone. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from otelwarden.compliance.reports.words import RESULTS

_RADIUS: Final = 42.0
_GOOD: Final = 90.0
_FAIR: Final = 60.0


def grade(score: float | None) -> str:
    """The class of a score: `good`, `fair`, `poor`, or `none`."""
    if score is None:
        return "none"
    return "good" if score >= _GOOD else "fair" if score >= _FAIR else "poor"


def ring(score: float | None, label: str) -> str:
    """A score as a ring that fills clockwise.

    Args:
        label: what a screen reader says; must be escaped.
    """
    length = 2 * math.pi * _RADIUS
    filled = length * (score or 0.0) / 100
    text = "–" if score is None else f"{score:.0f}" if score == int(score) else f"{score:.1f}"
    arc = (
        f'<circle class="arc {grade(score)}" cx="50" cy="50" r="{_RADIUS:g}" transform="rotate(-90 50 50)" '
        f'stroke-dasharray="{filled:.2f} {length:.2f}"/>'
        if filled
        else ""
    )
    return (
        f'<svg class="ring" viewBox="0 0 100 100" role="img" aria-label="{label}">'
        f'<circle class="track" cx="50" cy="50" r="{_RADIUS:g}"/>{arc}'
        f'<text x="50" y="51" class="number">{text}</text></svg>'
    )


def bar(counts: Mapping[str, int], label: str) -> str:
    """How many of each result, as one bar."""
    total = sum(counts.values())
    if not total:
        return f'<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{label}"></svg>'
    parts, at = [], 0.0
    for result in ("unattended", *RESULTS)[::-1]:
        if count := counts.get(result, 0):
            width = 100 * count / total
            parts.append(f'<rect class="{result}" x="{at:.3f}" y="0" width="{width:.3f}" height="4"/>')
            at += width
    return (
        f'<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def trend(scores: Sequence[float | None], label: str) -> str:
    """Scores over time, oldest first, on a scale from 0 to 100; where there was none the line is broken."""
    width, height, edge = 300.0, 80.0, 6.0
    step = (width - 2 * edge) / max(1, len(scores) - 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for number, score in enumerate(scores):
        if score is None:
            runs.append([])
        else:
            runs[-1].append((edge + number * step, height - edge - (height - 2 * edge) * score / 100))
    lines = "".join(_line(points, height - edge) for points in runs if points)
    grid = "".join(
        f'<line class="grid" x1="0" x2="{width:g}" y1="{y:g}" y2="{y:g}"/>' for y in (edge, height / 2, height - edge)
    )
    last = [points[-1] for points in runs if points]
    dot = f'<circle class="dot" cx="{last[-1][0]:.1f}" cy="{last[-1][1]:.1f}" r="3.5"/>' if last else ""
    return (
        f'<svg class="trend" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">'
        f"{grid}{lines}{dot}</svg>"
    )


def _line(points: Sequence[tuple[float, float]], bottom: float) -> str:
    if len(points) == 1:
        return ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{bottom:g} {path} {points[-1][0]:.1f},{bottom:g}"
    return f'<polygon class="area" points="{area}"/><polyline class="line" points="{path}"/>'
