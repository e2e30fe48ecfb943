"""How much redaction finds in labelled texts, and how much it takes for something else: recall and false positives.

Each line of the file is a JSON object: `text`, `entity` (what it is said to hold) and `positive` (whether it does). A
hit is any change of the text. At high confidence, which is what policies act on, the texts are judged as they stand by
the policies pii and secrets; at low confidence by all policies, with the entity as the key that the text stands under.

    python benchmarks/redaction_accuracy.py CASES.jsonl [--confidence low] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import machine

from otelwarden.redaction import BUILT_IN, RedactionPolicy, Redactor

GOALS = {"personal": (0.95, 0.05), "secrets": (0.90, 0.10), "national": (0.80, 0.10)}
"""The least recall and the most false positives."""

PERSONAL = ("email", "credit_card", "luhn", "us_ssn", "iban", "ip_address", "mac_address", "phone", "uk_nino")
"""How the labels of the common kinds begin or end."""

SECRETS = (
    "token",
    "key",
    "secret",
    "password",
    "jwt",
    "webhook",
    "curl",
    "credential",
    "client_id",
    "access_id",
    "url",
)


def family_of(entity: str) -> str:
    """Which goal a label falls under."""
    name = entity.lower().replace("-", "_")
    if any(name.startswith(each) or name.endswith(each) for each in PERSONAL):
        return "personal"
    if any(word in name for word in SECRETS) and not name.endswith("_checksum") and name != "url":
        return "secrets"
    return "national"


@dataclass(slots=True)
class Score:
    """What came of the cases of one kind."""

    positives: int = 0
    found: int = 0
    negatives: int = 0
    mistaken: int = 0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, text: str, *, positive: bool, hit: bool) -> None:
        if positive:
            self.positives += 1
            self.found += hit
            if not hit:
                self.missed.append(text)
        else:
            self.negatives += 1
            self.mistaken += hit
            if hit:
                self.wrong.append(text)

    def row(self, name: str) -> dict[str, Any]:
        return {
            "entity": name,
            "positives": self.positives,
            "recall": self.found / self.positives if self.positives else None,
            "negatives": self.negatives,
            "false_positives": self.mistaken / self.negatives if self.negatives else None,
        }


def cases_of(lines: Iterable[str]) -> Iterable[tuple[str, str, bool]]:
    """Entity, text and whether the text holds one."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
                yield str(row["entity"]), str(row["text"]), bool(row["positive"])
            except (ValueError, KeyError, TypeError) as error:
                sys.exit(f"line {number}: not a case with `entity`, `text` and `positive`: {error!r}")


def judge(cases: Iterable[tuple[str, str, bool]], confidence: str) -> dict[str, Score]:
    """The score of each entity."""
    if confidence == "low":
        redactor = Redactor(RedactionPolicy.load(*BUILT_IN, confidence="low"))
    else:
        redactor = Redactor(RedactionPolicy.load("pii", "secrets"))
    scores: dict[str, Score] = {}
    for entity, text, positive in cases:
        key = entity if confidence == "low" else "text"
        hit = redactor.redact_text(text, "logs", "", key=key) != text
        scores.setdefault(entity, Score()).add(text, positive=positive, hit=hit)
    return scores


def families(scores: dict[str, Score]) -> dict[str, Score]:
    """The scores that the goals are about."""
    totals = {name: Score() for name in GOALS}
    for entity, score in scores.items():
        total = totals[family_of(entity)]
        total.positives += score.positives
        total.found += score.found
        total.negatives += score.negatives
        total.mistaken += score.mistaken
    return totals


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cases", type=Path, help="JSON lines with entity, text and positive")
    options.add_argument("--confidence", choices=["high", "low"], default="high", help="(default = high)")
    options.add_argument("--misses", action="store_true", help="print the texts that were missed or mistaken as well")
    options.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = options.parse_args()
    try:
        with arguments.cases.open(encoding="utf-8") as file:
            scores = judge(cases_of(file), arguments.confidence)
    except OSError as error:
        sys.exit(f"{arguments.cases} cannot be read: {error.strerror}")
    totals = families(scores)
    rows = [score.row(name) for name, score in sorted(scores.items())]
    if arguments.json:
        outcome = {
            "benchmark": "redaction_accuracy",
            "machine": machine(),
            "confidence": arguments.confidence,
            "families": [
                {**score.row(name), "wanted_recall": GOALS[name][0], "wanted_false_positives": GOALS[name][1]}
                for name, score in totals.items()
            ],
            "rows": rows,
        }
        print(json.dumps(outcome, indent=1))
        return
    print(f"# redaction_accuracy, {arguments.confidence} confidence\n")
    for row in [*rows, *(score.row(f"= {name}") for name, score in totals.items())]:
        print(
            f"{row['entity']:45} {row['positives']:5} recall {share(row['recall']):>6}"
            f"   {row['negatives']:5} false positives {share(row['false_positives']):>6}"
        )
    if arguments.misses:
        for name, score in sorted(scores.items()):
            for label, texts in (("missed", score.missed), ("mistaken", score.wrong)):
                for text in texts:
                    print(f"{label}: {name}: {text!r}")


if __name__ == "__main__":
    main()
