"""How random a text looks: Shannon's entropy of its bytes."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

_TABULATED: Final = 512
_LOGARITHMS: Final = (0.0, *map(math.log2, range(1, _TABULATED + 1)))
_PRODUCTS: Final = tuple(n * logarithm for n, logarithm in enumerate(_LOGARITHMS))


def entropy(value: bytes) -> float:
    """Shannon's entropy of the bytes, in bits a byte; 0 of nothing."""
    size = len(value)
    counts = map(value.count, set(value))
    if size > _TABULATED:
        return math.log2(size) - sum(n * math.log2(n) for n in counts) / size
    return _LOGARITHMS[size] - sum(map(_PRODUCTS.__getitem__, counts)) / size if size else 0.0


def has_entropy(value: bytes, bits: float) -> bool:
    """Whether the entropy is this many bits a byte or more, without computing it where the different bytes suffice."""
    return len(set(value)) >= _enough(len(value), bits) or entropy(value) >= bits


@lru_cache(maxsize=4096)
def _enough(size: int, bits: float) -> int:
    """How many different bytes make the entropy sure, however they are spread: all but one may stand there once."""
    for different in range(1, min(size, 256) + 1):
        others = different - 1
        most = size - others
        least = math.log2(size) - most * math.log2(most) / size if size else 0.0
        if least >= bits + 1e-9:
            return different
    return 257
