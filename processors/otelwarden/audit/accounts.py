"""What a trail says about its own completeness: the accounts sealed in it, and the gaps it declares."""

from __future__ import annotations

import json
from typing import Any, Final

from otelwarden.audit.checkpoints import Checkpoint, account_digest
from otelwarden.audit.reading import Block

_ACCOUNT: Final = b'"component":"audit","action":"account",'
_GAP: Final = b'"component":"audit","action":"gap",'


class AccountReader:
    """Collects accounts and gaps while a stream is read. Memory: one balance for each account."""

    def __init__(self) -> None:
        self._table: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._waiting: list[tuple[int, bytes]] = []  # accounting records that no checkpoint has followed yet
        self._gaps: dict[str, int] = {}
        self._first_gap: int | None = None
        self._fault: tuple[str, int] | None = None

    def read(self, block: Block) -> None:
        """Looks for accounts and gaps. A text within a record cannot look like one: its quotes are escaped."""
        if _ACCOUNT in block.data:
            self._waiting += [(block.first + i, line) for i, line in enumerate(block.lines) if _ACCOUNT in line]
        if _GAP in block.data:
            for i, line in enumerate(block.lines):
                if _GAP in line:
                    self._read_gap(block.first + i, line)

    def _read_gap(self, sequence: int, line: bytes) -> None:
        try:
            event = json.loads(line)
            self._gaps[event["reason"]] = self._gaps.get(event["reason"], 0) + event["count"]
        except (ValueError, KeyError, TypeError):
            return  # damaged: the tree says so
        if self._first_gap is None:
            self._first_gap = sequence

    def check(self, checkpoint: Checkpoint) -> None:
        """Takes over the accounts that a checkpoint seals, whose records have been found to be genuine."""
        first = checkpoint.size - checkpoint.account_records
        sealed = [(sequence, line) for sequence, line in self._waiting if first <= sequence < checkpoint.size]
        self._waiting = [(sequence, line) for sequence, line in self._waiting if sequence >= checkpoint.size]
        if account_digest(line for _, line in sealed) != checkpoint.account_digest:
            self._note(f"checkpoint {checkpoint.number} seals other accounts than its records hold", first)
        for sequence, line in sealed:
            for each in json.loads(line)["balances"]:
                self._table[each["component"], each["signal"], each["tenant"]] = each
                if each["forwarded"] + sum(each["dropped"].values()) > each["received"]:
                    self._note(f"{_name(each)}: more went out than came in", sequence)

    def skip(self, size: int) -> None:
        """Passes over a checkpoint of that size whose accounts were dropped: what was known before is out of date."""
        self._waiting = [(sequence, line) for sequence, line in self._waiting if sequence >= size]
        self._table.clear()

    def _note(self, message: str, sequence: int) -> None:
        if self._fault is None:
            self._fault = message, sequence

    def verdict(self, *, closed: bool) -> tuple[str, int | None] | None:
        """What is incomplete, and the first record that shows it; None when nothing is.

        While items are in flight an account is open; when the stream was closed, every one must balance.
        """
        if self._first_gap is not None:
            total = sum(self._gaps.values())
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self._gaps.items()))
            return f"{total} decisions were not recorded, as the trail declares: {reasons}", self._first_gap
        if self._fault is None and closed:
            for each in self._table.values():
                if unaccounted := _unaccounted(each):
                    return f"{_name(each)}: {unaccounted} items of {each['received']} are not accounted for", None
        return self._fault


def _unaccounted(each: dict[str, Any]) -> int:
    return int(each["received"] - each["forwarded"] - sum(each["dropped"].values()) - each["held"])


def _name(each: dict[str, Any]) -> str:
    return " ".join(filter(None, (each["component"], each["signal"], each["tenant"])))
