"""Runs every benchmark and writes what each found to benchmarks/results/NAME.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# redaction_accuracy.py needs a file of labelled texts, which we do not ship.
NOT_BENCHMARKS = {"harness.py", "redaction_accuracy.py", "run_all.py", "telemetry_corpus.py"}


def main() -> int:
    """Runs them one after another, as two at once would measure each other."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    failed = []
    for script in sorted(HERE.glob("*.py")):
        if script.name in NOT_BENCHMARKS or script.name.startswith("_"):
            continue
        print(f"{script.stem} ...", flush=True)
        run = subprocess.run([sys.executable, str(script), "--json", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
        if run.returncode:
            failed.append(script.stem)
            continue
        outcome = json.loads(run.stdout)
        (results / f"{script.stem}.json").write_text(run.stdout, encoding="utf-8")
        for figure in outcome["headline"]:
            sign = "<=" if figure["better"] == "lower" else ">="
            print(
                f"  {figure['name']}: {figure['value']} {figure['unit']} (target {sign} {figure['target']})", flush=True
            )
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
