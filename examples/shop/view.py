"""What the demo shows: one screen that lives while the load runs, or a line a second where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol

from accounts import Accounts, Flow
from claims import Claim
from load import VISITORS, Sent
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from otelwarden.audit import Status, Verdict
from otelwarden.compliance import Assessment, Result

WIDTH: Final = 100
COLOURS: Final = {"healthy": "green", "unknown": "dim", "degraded": "yellow", "unhealthy": "red"}


@dataclass(slots=True)
class Moment:
    """What is known at one moment."""

    elapsed: float
    """Seconds since the load began."""
    seconds: float
    """How long it will run."""
    sent: Sent
    accounts: Accounts
    endpoints: Sequence[dict[str, Any]]
    """Both receivers, as the shop sees them, with `name` and `alive`."""
    story: list[tuple[float, str]] = field(default_factory=list)
    """What happened so far: seconds, and a sentence."""


class View(Protocol):
    """Shows moments."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, moment: Moment) -> None:
        """Shows a moment in place of the one before."""
        ...


class LiveView:
    """A screen that is drawn again and again."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, moment: Moment) -> None:
        """Draws the moment."""
        done = min(1.0, moment.elapsed / moment.seconds)
        bar = Text("━" * round(40 * done), "cyan") + Text("━" * (40 - round(40 * done)), "bright_black")
        head = Text.assemble("  ", bar, f"  {moment.elapsed:4.0f} s of {moment.seconds:.0f}", style="dim")
        self._live.update(
            Group(
                head,
                Text(),
                flows(moment.sent, moment.accounts, live=True),
                Text(),
                endpoints(moment.endpoints),
                Text(),
                *(_happened(*each) for each in sorted(moment.story)[-5:]),
            ),
            refresh=True,
        )


class PlainView:
    """A line a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._second = 0
        self._told = 0

    def __enter__(self) -> PlainView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, moment: Moment) -> None:
        """Prints what is new."""
        for each in moment.story[self._told :]:
            self._console.print(_happened(*each))
        self._told = len(moment.story)
        if int(moment.elapsed) <= self._second:
            return
        self._second = int(moment.elapsed)
        total = moment.accounts.total()
        active = next((each["name"] for each in moment.endpoints if each["active"]), "?")
        self._console.print(
            f"  {self._second:4d} s  received {total.received:,}  "
            f"rejected {total.rejected.total():,}  throttled {total.throttled.total():,}  "
            f"redacted {total.redacted:,}  delivered {total.delivered:,}  to {active}",
            highlight=False,
            soft_wrap=True,
        )


def _happened(second: float, sentence: str) -> Text:
    return Text.assemble((f"  {second:5.1f} s  ", "dim"), sentence)


def _table(*columns: tuple[str, Any], gap: int = 2) -> Table:
    """A table; numbers to the right, words to the left, `gap` more blanks than one between columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold", show_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True, min_width=14 if name == "  tenant" else None)
    return table


def _number(count: int, style: str = "") -> Text:
    return Text(f"{count:,}", style) if count else Text("-", "bright_black")


def flows(sent: Sent, accounts: Accounts, *, live: bool = False) -> Table:
    """What became of the items, tenant by tenant."""
    last = "in flight" if live else "lost"
    table = _table(
        ("  tenant", "left"),
        ("", "left"),
        *((name, "right") for name in ("requests", "received", "rejected", "throttled", "merged")),
        *((name, "right") for name in ("redacted", "delivered", last)),
        gap=0,
    )
    for visitor in VISITORS:
        flow = accounts.flows.get(visitor.account or visitor.tenant, Flow())
        _add_flow(table, visitor.tenant, visitor.note, sent.requests.get(visitor.tenant, 0), flow, live)
    for account in sorted(accounts.flows.keys() - {visitor.account or visitor.tenant for visitor in VISITORS}):
        _add_flow(table, account, "services", 0, accounts.flows[account], live)
    table.add_section()
    _add_flow(table, "all", "", sent.total, accounts.total(), live)
    return table


def legend() -> Text:
    """What the columns of `flows` mean."""
    return Text(
        "  In items: spans, log records, metric points. Tenancy rejects, quota throttles. Merged: points that\n"
        "  were equal once redacted, and were added up. Redacted: places, of which an item may have several.",
        "dim",
    )


def _add_flow(table: Table, tenant: str, note: str, requests: int, flow: Flow, live: bool) -> None:
    table.add_row(
        Text(f"  {tenant}", "bold"),
        Text(note, "dim"),
        _number(requests),
        _number(flow.received),
        _number(flow.rejected.total(), "yellow"),
        _number(flow.throttled.total(), "yellow"),
        _number(flow.merged),
        _number(flow.redacted, "magenta"),
        _number(flow.delivered, "green"),
        _number(flow.held) if live else _number(flow.lost.total() + abs(flow.unexplained), "bold red"),
    )


def endpoints(known: Sequence[dict[str, Any]]) -> Table:
    """Both receivers, as the shop sees them."""
    table = _table(
        ("  endpoint", "left"),
        ("protocol", "left"),
        ("process", "left"),
        ("as the shop sees it", "left"),
        ("batches taken", "right"),
        ("not taken", "right"),
        ("items", "right"),
    )
    for each in known:
        status = each["status"]
        table.add_row(
            Text(f"  {each['name']}", "bold"),
            Text(each["protocol"], "dim"),
            Text("running", "green") if each["alive"] else Text("killed", "bold red"),
            Text(status, COLOURS.get(status, "")) + Text(", in use" if each["active"] else "", "bold"),
            _number(each["requests"]),
            _number(each["failed_attempts"], "red"),
            _number(each["delivered"], "green"),
        )
    return table


def reasons(accounts: Accounts) -> Table:
    """Why items did not leave."""
    table = _table(("  tenant", "left"), ("stage", "left"), ("reason", "left"), ("items", "right"))
    for account, flow in accounts.flows.items():
        tenant = next((visitor.tenant for visitor in VISITORS if visitor.account == account), account)
        for stage, counts in (("tenancy", flow.rejected), ("quota", flow.throttled), ("lost", flow.lost)):
            for reason, count in counts.most_common():
                table.add_row(Text(f"  {tenant}", "bold"), stage, Text(EXPLAINED.get(reason, reason)), _number(count))
    return table


EXPLAINED: Final = {
    "rate": "over its rate",
    "trace_cut": "over its rate, in the middle of a trace",
    "not_sampled": "its trace was dropped by the service that called",
    "tenant_suspended": "the tenant is suspended",
    "unknown_tenant": "nobody knows the tenant",
}


def rules(accounts: Accounts) -> Table:
    """What redaction did, rule by rule, in places: one item has several."""
    table = _table(("  rule", "left"), ("action", "left"), *((each, "right") for each in ("traces", "logs", "metrics")))
    for (action, rule), places in sorted(accounts.rules.items(), key=lambda each: -each[1].total()):
        counts = (_number(places[signal], "magenta") for signal in ("traces", "logs", "metrics"))
        table.add_row(Text(f"  {rule}", "bold"), action, *counts)
    return table


def samples(found: Sequence[tuple[str, str]]) -> Table:
    """Some of what arrived: where it was, and what it says."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    room = WIDTH - 4 - max((len(place) for place, _ in found), default=0)
    for place, text in found:
        shown = Text(" ".join(text.split()))
        shown.truncate(room, overflow="ellipsis")
        table.add_row(Text(f"  {place}", "dim"), shown)
    return table


def checks(found: Sequence[Claim]) -> Table:
    """What was claimed, and whether it holds."""
    table = Table(box=None, width=WIDTH, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for text, fault in found:
        verdict = Text("  FAILED", "bold red") if fault else Text("  holds ", "bold green")
        table.add_row(verdict, Text(text) + Text(f"\n{fault}" if fault else "", "red"))
    return table


def scores(assessment: Assessment) -> Table:
    """What is met of each framework."""
    table = _table(
        ("  framework", "left"),
        ("score", "right"),
        ("", "left"),
        *((name, "right") for name in ("met", "not met", "no evidence", "needs a word")),
    )
    for each in assessment.frameworks:
        score = each.score or 0.0
        style = "green" if score >= 90 else "yellow" if score >= 60 else "red"
        full = int(score / 5)
        lacking = each.count(Result.INSUFFICIENT) - each.unattended
        table.add_row(
            Text(f"  {each.framework.title}", "bold"),
            Text(f"{score:.1f} %", style),
            Text("█" * full, style) + Text("░" * (20 - full), "dim"),
            _number(each.count(Result.PASS) + each.count(Result.WARN)),
            _number(each.count(Result.FAIL) + each.count(Result.ERROR), "red"),
            _number(lacking, "blue"),
            _number(each.unattended),
        )
    return table


def heading(title: str) -> RenderableType:
    """A line between two parts of the report."""
    return Group(Text(), Rule(Text(title, "bold cyan"), align="left", style="bright_black"))


def trail(verdict: Verdict) -> Table:
    """The verdict on the audit trail."""
    table = _table(
        ("  stream", "left"),
        ("verdict", "left"),
        *((name, "right") for name in ("records", "sealed", "checkpoints")),
        ("ended in order", "left"),
    )
    for each in verdict.streams:
        style = "bold green" if each.status is Status.OK else "bold red"
        table.add_row(
            Text(f"  {each.stream}"),
            Text(each.status.value, style),
            _number(each.records),
            _number(each.sealed),
            _number(each.checkpoints),
            "yes" if each.closed else "no",
        )
    return table
