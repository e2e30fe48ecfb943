"""Texts that are longer than one scan may take, scanned in windows that overlap.

Whatever begins in the middle of an overlap is in both windows, so each window answers for what begins in its own
middle, and sees 32 kB before and behind it. A match that reaches out of its window nevertheless is longer than that:
such a text cannot be judged in parts, and must not pass.
"""

from __future__ import annotations

import re
from typing import Final

from otelwarden.redaction.document import Unscannable
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import Joined
from otelwarden.redaction.patterns import characters_from
from otelwarden.redaction.scanner import Scanner

REACH: Final = 1 << 15
"""Bytes of the longest match that is surely found. Of the shipped patterns without a limit of their own, for keys and
tokens, the longest in use are private keys of 16,384 bits, 13 kB."""

MIN_WINDOW: Final = 8 * REACH
"""Bytes of the smallest window; of a smaller one most would be overlap."""


_BREAK: Final = re.compile(rb"[^A-Za-z0-9+/_=\-]")


def scan_windows(scanner: Scanner, data: bytes, text: int, window: int) -> list[Hit]:
    """What the detectors find in a long text.

    Args:
        data: its UTF-8.
        text: its number.
        window: bytes that are scanned at once.

    Raises:
        Unscannable: it cannot be judged in parts: a pattern may depend on where the text begins or ends, or something
            in it that is found, or that may be base64 of more, is longer than `REACH`.
    """
    if not scanner.reads_joined:
        raise Unscannable("value_too_long")
    window = max(window, MIN_WINDOW)
    hits: list[Hit] = []
    low, size = 0, len(data)
    while True:
        high = characters_from(data, min(low + window, size))
        first = low + REACH if low else 0
        last = high - REACH if high < size else size
        if high < size and _BREAK.search(data, high - REACH, high) is None:
            raise Unscannable("value_too_long")
        for hit in scanner.scan(Joined.of_one(data[low:high])):
            start, end = low + hit.start, low + hit.end
            if not first <= start < last:
                continue
            if end == high < size:
                raise Unscannable("value_too_long")
            hits.append(hit._replace(text=text, start=start, end=end))
        if high == size:
            return hits
        low = characters_from(data, high - 2 * REACH)
