"""A process whose usage is exported: sends spans, says when all of them are written down, and then waits or ends.

Arguments: configuration file, `source` of its events, number of spans of each of three tenants, `wait` or `end`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from otelwarden.core import use_tenant
from otelwarden.pipeline import configure


def written_down(directory: Path, source: str) -> int:
    """Items in events that wait, and in those that were delivered meanwhile."""
    found = {}
    for pattern in ("*.events", "usage-*.jsonl"):
        for path in directory.glob(pattern):
            try:
                events = [json.loads(line) for line in path.read_bytes().splitlines()]
            except (FileNotFoundError, ValueError):  # replaced or half written just now
                continue
            found.update({event["id"]: event["data"]["items"] for event in events if event["source"] == source})
    return sum(found.values())


def main() -> None:
    file, source, count, then = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    warden = configure(file, set_global=False, environment={"SOURCE": source})
    tracer = warden.tracer_provider.get_tracer("billed")
    for tenant in ("acme", "globex", "initech"):
        with use_tenant(tenant):
            for _ in range(count):
                tracer.start_span("work").end()
    if then == "wait":
        while written_down(Path(file).parent / "usage", source) != 3 * count:
            time.sleep(0.01)
        print("written down", flush=True)
        time.sleep(600)
    warden.shutdown(60)


main()
