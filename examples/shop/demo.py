"""The whole of otelwarden in half a minute, on a real shop under load, and held to what it shows.

    make demo
    python examples/shop/demo.py --seconds 10 --plain

Two OTLP receivers, a shop and its payment service, each a process of its own. Customers of five tenants come, one
tenant is noisy, one is suspended, one nobody knows; every request carries personal data that occurs only once. Half
way the first receiver is killed. In the end the demo searches what the receivers got for all of that data, counts
what they hold, and verifies the audit trail. It ends with 0 when every claim holds and with 1 when one does not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import claims
import view
from accounts import Accounts, Snapshot
from claims import Claim, Failover
from compliance import Compliance
from evidence import Evidence, some_texts
from load import VISITORS, Load, Sent
from processes import HERE, Service
from rich.console import Console
from rich.text import Text

from otelwarden.audit import Verdict, verify
from otelwarden.core import OtelwardenError
from otelwarden.testing import FaultyReceiver

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the services."""


class Demo:
    """One run.

    Args:
        seconds: how long customers come.
        config: the otelwarden file of both services.
        data: directory for the audit trail and the logs of the services.
    """

    def __init__(self, *, seconds: float, config: Path, data: Path, seed: int, console: Console, plain: bool) -> None:
        self.seconds = seconds
        self.config = config
        self.data = data
        self.seed = seed
        self.console = console
        self.plain = plain
        self.failover = Failover()
        self.story: list[tuple[float, str]] = []
        self._told: set[str] = set()

    def run(self) -> int:
        """Runs and reports; the exit code."""
        with contextlib.ExitStack() as stack:
            self.receivers = {
                "primary": stack.enter_context(FaultyReceiver()),
                "secondary": stack.enter_context(FaultyReceiver()),
            }
            self._names = {
                self.receivers["primary"].grpc_endpoint: ("primary", "OTLP/gRPC"),
                self.receivers["secondary"].http_endpoint: ("secondary", "OTLP/HTTP"),
            }
            environment = dict(zip(("OTLP_PRIMARY", "OTLP_SECONDARY"), self._names, strict=True))
            self.environment = {**environment, "SHOP_DATA": str(self.data)}
            payments = stack.enter_context(self._start("payments", environment))
            shop = stack.enter_context(self._start("shop", {**environment, "PAYMENTS_URL": payments.url}))
            self.services = (shop, payments)
            self._introduce()
            load = Load(shop.url, seed=self.seed)
            self._watch(load)
            with self._waiting("ending the pipelines"):
                # The shop first: its last calls make telemetry of the payment service.
                snapshots = [service.end_pipelines() for service in self.services]
            return self._report(load.sent, snapshots)

    def _start(self, name: str, environment: dict[str, str]) -> Service:
        return Service(name, config=self.config, data=self.data, environment=environment)

    def _waiting(self, what: str) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self.plain else self.console.status(f"{what} ...")

    def _introduce(self) -> None:
        shop, payments = self.services
        self.console.print()
        self.console.print(Text.assemble(("  otelwarden", "bold cyan"), "  governance inside the OpenTelemetry SDK"))
        self.console.print(
            f"  a shop (pid {shop.pid}) and its payment service (pid {payments.pid})\n"
            f"  configured by {os.path.relpath(self.config)}",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
        self.console.print()

    # --- while the load runs

    def _watch(self, load: Load) -> None:
        begin = time.monotonic()
        load.start()
        # Not from the loop below: on a busy machine one of its looks may take as long as the whole load.
        killer = threading.Timer(self.seconds / 2, self._kill, [begin])
        killer.daemon = True
        killer.start()
        self._tell(0.0, f"customers of {len(VISITORS)} tenants arrive")
        with view.PlainView(self.console) if self.plain else view.LiveView(self.console) as shown:
            while (elapsed := time.monotonic() - begin) < self.seconds:
                snapshots = [service.stats() for service in self.services]
                self._follow(snapshots, begin)
                shown.show(
                    view.Moment(
                        elapsed=elapsed,
                        seconds=self.seconds,
                        sent=load.sent,
                        accounts=Accounts(snapshots),
                        endpoints=self._endpoints(snapshots),
                        story=self.story,
                    )
                )
                time.sleep(LOOK_EVERY)
            killer.join()
            load.stop()

    def _kill(self, begin: float) -> None:
        receiver = self.receivers["primary"]
        self.failover.killed = time.time_ns()
        receiver.kill()
        self._tell(time.monotonic() - begin, f"the primary receiver (pid {receiver.pid}) is killed with SIGKILL")

    def _follow(self, snapshots: Sequence[Snapshot], begin: float) -> None:
        """Tells what the services have decided about the endpoints."""
        started = time.time_ns() - int((time.monotonic() - begin) * 1e9)
        for service, snapshot in zip(self.services, snapshots, strict=True):
            for change in snapshot["changes"]:
                name, _ = self._names.get(change["target"], (change["target"], ""))
                said = {
                    "failover": f"{service.name} sends to the {name} receiver from now on ({change['reason']})",
                    "failback": f"{service.name} sends to the {name} receiver again",
                    "endpoint_unhealthy": f"{service.name} takes the {name} receiver for dead ({change['reason']})",
                }.get(change["action"])
                if said is not None:
                    self._tell((change["time_ns"] - started) / 1e9, said)

    def _tell(self, second: float, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self.story.append((second, sentence))

    def _endpoints(self, snapshots: Sequence[Snapshot]) -> list[dict[str, Any]]:
        """Both receivers as the shop sees them, with what both services delivered."""
        merged: list[dict[str, Any]] = []
        for position, seen in enumerate(snapshots[0]["endpoints"]):
            others = [snapshot["endpoints"][position] for snapshot in snapshots]
            name, protocol = self._names[seen["url"]]
            counts = {key: sum(each[key] for each in others) for key in ("requests", "failed_attempts", "delivered")}
            alive = not (name == "primary" and self.failover.killed)
            merged.append({**seen, **counts, "name": name, "protocol": protocol, "alive": alive})
        return merged

    # --- afterwards

    def _report(self, sent: Sent, snapshots: Sequence[Snapshot]) -> int:
        accounts = Accounts(snapshots)
        receivers = list(self.receivers.values())
        with self._waiting("searching what the receivers hold"):
            held = Evidence(receivers, sent)
            self.failover.measure(snapshots, self.receivers["secondary"])
            verdict = verify(self.data / "audit", against=self.data / "witness.txt")
            compliance = Compliance(self.config, environment=self.environment, page=self.data / "compliance.html")
            found = [
                claims.no_canary_left(sent, receivers, *self._evidence()),
                claims.right_tenants(held),
                claims.noisy_and_quiet(accounts),
                claims.nothing_unexplained(accounts),
                claims.delivered_is_held(accounts, held),
                claims.failed_over(self.failover, *receivers),
                claims.trail_is_sound(verdict),
            ]
        self._print_report(sent, accounts, held, verdict, snapshots, found)
        self._print_compliance(compliance)
        faults = [claim.fault for claim in found if claim.fault]
        self.console.print()
        if faults:
            self.console.print(Text(f"  FAILED: {faults[0]}.", "bold red"), soft_wrap=True)
            self.console.print()
            return 1
        self.console.print(Text("  Every claim holds.", "bold green"))
        self.console.print()
        return 0

    def _evidence(self) -> list[Path]:
        """Where the services and the assessment keep what they saw."""
        return [self.data / "audit", self.data / "compliance", self.data / "compliance.html"]

    def _print_compliance(self, compliance: Compliance) -> None:
        show = self.console.print
        show(view.heading("Compliance"))
        show(view.scores(compliance.assessment))
        show()
        for line in compliance.advice():
            show(f"  {line}")
        show()
        show("  The page, for a browser or a printer:")
        show(f"  {compliance.page}", style="bold", soft_wrap=True)

    def _print_report(
        self,
        sent: Sent,
        accounts: Accounts,
        held: Evidence,
        verdict: Verdict,
        snapshots: Sequence[Snapshot],
        found: Sequence[Claim],
    ) -> None:
        show = self.console.print
        show(view.heading("What became of the telemetry"))
        show(view.flows(sent, accounts))
        show()
        show(view.legend())
        show(view.heading("Why some of it did not leave"))
        show(view.reasons(accounts))
        show(view.heading("What was redacted, in places"))
        show(view.rules(accounts))
        show(view.heading("What arrived, for example"))
        show(view.samples(some_texts(self.receivers.values())))
        show(view.heading("Failover"))
        show(view.endpoints(self._endpoints(snapshots)))
        show()
        for line in self.failover.lines(held.duplicates):
            show(f"  {line}")
        show(view.heading("Audit trail"))
        show(view.trail(verdict))
        show()
        show(f"  The trail and its witness are in {self.data}; to judge them again, there:", soft_wrap=True)
        show("  otelwarden audit verify audit --against witness.txt", style="bold")
        show(view.heading("Checked against what was sent and what arrived"))
        show(view.checks(found))


def main() -> int:
    """Reads the command line and runs the demo."""
    parser = argparse.ArgumentParser(description="otelwarden on a shop under load; exit code 0 when every claim holds")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long customers come (default: 20)")
    parser.add_argument("--plain", action="store_true", help="lines instead of a live screen")
    parser.add_argument("--config", type=Path, default=HERE / "otelwarden.yaml", help="another otelwarden file")
    parser.add_argument("--data", type=Path, help="an empty directory for the audit trail (default: a temporary one)")
    parser.add_argument("--seed", type=int, default=1, help="of the load (default: 1)")
    options = parser.parse_args()

    terminal = sys.stdout.isatty() and not options.plain
    console = Console(width=view.WIDTH, highlight=False) if not terminal else Console(highlight=False)
    data = options.data or Path(tempfile.mkdtemp(prefix="otelwarden-demo-"))
    demo = Demo(
        seconds=options.seconds,
        config=options.config.resolve(),
        data=data.resolve(),
        seed=options.seed,
        console=console,
        plain=not terminal,
    )
    try:
        return demo.run()
    except KeyboardInterrupt:
        return 130
    except (RuntimeError, OtelwardenError) as error:
        console.print(f"  FAILED: {error}", style="bold red", soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
