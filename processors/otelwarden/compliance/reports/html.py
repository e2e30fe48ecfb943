"""The report as one HTML page: no script, no network, no font of its own; what is not ours is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from otelwarden.compliance.reports import charts
from otelwarden.compliance.reports.words import (
    RESULTS,
    WORDS,
    bars,
    categories,
    moment,
    percent,
    sentence,
    setting,
    to_do,
    unattended,
)
from otelwarden.core import ConfigError, Fault

_CODE: Final = re.compile(r"`([^`]*)`")


def html_report(report: Mapping[str, Any]) -> str:
    """The page.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup, escape
    except ImportError as error:
        raise ConfigError(
            [Fault(message="the HTML report needs Jinja2", allowed="pip install otelwarden[report]")]
        ) from error
    files = resources.files("otelwarden.compliance").joinpath("reports")
    style = files.joinpath("page.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        assessment=report["assessment"],
        checks=report["assessment"]["checks"],
        style=Markup(style),  # noqa: S704  # a file of ours
        # A policy that allows this style sheet alone: nothing that slips in can load, run or style anything.
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        to_do=to_do(report),
        totals=_totals(report["assessment"]),
        overall=_overall(report["assessment"]),
        results=RESULTS,
        words=WORDS,
        bars=bars,
        sentence=sentence,
        code=lambda text: Markup(_CODE.sub(r"<code>\1</code>", str(escape(text)))),  # noqa: S704  # escaped before
        categories=categories,
        moment=moment,
        percent=percent,
        setting=setting,
        unattended=unattended,
        ring=lambda score, label: Markup(charts.ring(score, escape(label))),  # noqa: S704  # numbers, and escaped text
        bar=lambda counts, label: Markup(charts.bar(counts, escape(label))),  # noqa: S704
        trend=lambda scores, label: Markup(charts.trend(scores, escape(label))),  # noqa: S704
        grade=charts.grade,
    )


def _totals(assessment: Mapping[str, Any]) -> dict[str, int]:
    """How many requirements have each result; those that wait for a word are counted apart."""
    totals: Counter[str] = Counter()
    for framework in assessment["frameworks"]:
        totals.update(framework["counts"])
        totals["insufficient_evidence"] -= framework["unattended"]
        totals["unattended"] += framework["unattended"]
    return {name: totals[name] for name in (*RESULTS, "unattended")}


def _overall(assessment: Mapping[str, Any]) -> float | None:
    """The mean of the scores, for one glance; None without any."""
    scores = [each["score"] for each in assessment["frameworks"] if each["score"] is not None]
    return int(10 * sum(scores) / len(scores)) / 10 if scores else None
