"""One process of several that share a limit: takes as fast as it is told to, and prints what passed.

    worker.py SETTINGS SECONDS RATE [JOURNAL [QUIET]]

SETTINGS is JSON for the quota block; RATE is items offered a second, 0 for as many as possible. Prints one JSON object
when it starts (`ready`), and one at the end: what passed, and when; and the longest call. It begins when it reads a
line and ends early when its input ends. The file JOURNAL has a byte for each item that passed, whatever happens;
none for an empty name. With QUIET it ends as well when nothing has passed for that many seconds, though a thousand
items were offered.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from otelwarden.core import TRACES, Runtime
from otelwarden.quota import QuotaConfig, QuotaLimiter, open_store


def main() -> None:
    settings, seconds, rate = json.loads(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    journal = os.open(sys.argv[4], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if sys.argv[4:5] > [""] else None
    quiet = float(sys.argv[5]) if len(sys.argv) > 5 else seconds
    runtime = Runtime()
    config = QuotaConfig.from_mapping(settings)
    limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set()), daemon=True).start()

    passed: dict[int, int] = {}
    refused: dict[str, int] = {}
    slowest, offered = 0.0, 0
    began = last = time.monotonic()
    in_vain = 0
    while not stopped.is_set() and (now := time.monotonic()) - began < seconds:
        if now - last > quiet and in_vain > 1000:
            break
        wanted = int((now - began) * rate) + 1 if rate else offered + 100
        for _ in range(min(wanted - offered, 1000)):
            offered += 1
            started = time.monotonic()
            refusal = limiter.refusal("acme", TRACES)
            ended = time.monotonic()
            slowest = max(slowest, ended - started)
            in_vain += 1
            if refusal is None:
                in_vain, last = 0, ended
                if journal is not None:
                    os.write(journal, b".")
                bucket = int(ended * 100)
                passed[bucket] = passed.get(bucket, 0) + 1
            else:
                refused[refusal] = refused.get(refusal, 0) + 1
        if rate:
            time.sleep(0.002)
    result = {
        "offered": offered,
        "passed": passed,
        "refused": refused,
        "slowest_ms": slowest * 1e3,
        "errors": runtime.error_counts().get("quota", {}),
    }
    print(json.dumps(result), flush=True)
    if not stopped.is_set():
        sys.stdin.readline()
    limiter.close()


if __name__ == "__main__":
    main()
