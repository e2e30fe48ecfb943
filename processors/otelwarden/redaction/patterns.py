"""RE2 patterns: compiled one by one to find, as one to say where any of many is, and in a Set to say which of them.

RE2 runs in linear time for any pattern. Patterns match UTF-8 bytes; those of the catalogue are written for bytes
(Latin-1 to RE2, a smaller automaton), a user's that could tell a character from its bytes are matched as characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import re2

SEPARATOR: Final = "\0"
"""Stands between two values in a joined text. No word character, so a `\\b` sees the end of the value."""

_SET_MEMORY: Final = (16 << 20, 32 << 20, 64 << 20)
"""Bytes that the automaton of a Set may take, which it does as it meets new text; the next is tried when patterns do
not fit. With 8 MiB the shipped patterns outgrow it now and then, and it forgets all that it had built."""

_TOKEN: Final = re.compile(r"\\.|\[\^|[\^$.]", re.DOTALL)
_CHARACTERWISE: Final = frozenset(["[^", ".", r"\p", r"\P", r"\D", r"\S", r"\W", r"\x", r"\C"])

PatternError: Final = re2.error
"""Raised when RE2 refuses a pattern."""

_T = TypeVar("_T")

Spans: TypeAlias = Sequence[tuple[int, int]]
Find: TypeAlias = Callable[[bytes, int, int], Spans]
"""`(text, start, end)` -> the ranges of the leftmost match and of its groups; (-1, -1) for what there is not."""

_compile: Final[Any] = re2.compile
_search_set: Final[Any] = re2.Set.SearchSet


def _options(*, characters: bool, capture: bool) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.UTF8 if characters else re2.Options.Encoding.LATIN1
    options.never_capture = not capture
    options.log_errors = False
    return options


def is_anchored(pattern: str) -> bool:
    """Whether a pattern may depend on where a text begins or ends. Errs on the side of yes."""
    return any(token in ("^", "$", r"\A", r"\z", r"\Q") for token in _TOKEN.findall(pattern))


def is_characterwise(pattern: str) -> bool:
    """Whether a pattern may tell a character from its UTF-8 bytes. Errs on the side of yes."""
    return not pattern.isascii() or not _CHARACTERWISE.isdisjoint(_TOKEN.findall(pattern))


def group_count(pattern: str) -> int:
    """How many groups a pattern has: what one of them captures is the hit, the rest is what tells it."""
    return int(_compile(pattern.encode(), _options(characters=True, capture=True)).groups)


def compile_pattern(pattern: str, *, characters: bool = False) -> Any:
    """The compiled pattern; its methods take bytes and answer with offsets in bytes.

    Raises:
        PatternError: it is no RE2 pattern.
    """
    return _compile(pattern.encode(), _options(characters=characters, capture=group_count(pattern) > 0))


def find_by(pattern: Any) -> Find:
    """The search of a compiled pattern.

    It is that of the C++ object in the Python one, if there is one of the kind that is known here: the generator and
    the match around it cost more than the search.
    """
    try:
        inner: Find = partial(pattern._regexp.Match, re2._Anchor.UNANCHORED)
        if inner(b"", 0, 0)[0] in ((-1, -1), (0, 0)):
            return inner
    except (AttributeError, TypeError, LookupError):
        pass
    return public_find_by(pattern)


def public_find_by(pattern: Any) -> Find:
    """As `find_by`, by nothing but what the package documents."""
    groups = range(1 + pattern.groups)

    def find(text: bytes, start: int, end: int) -> Spans:
        match = pattern.search(text, start, end)
        return [(-1, -1) if match is None else match.span(group) for group in groups]

    return find


def first_of(patterns: Sequence[str], *, characters: bool) -> Find:
    """The search for the first place at which any of many patterns occurs.

    Unlike a Set it knows no more than that, and so has a fraction of the states: a Set that has seen one of its
    patterns remembers it to the end of the text. Of matches with the same start it finds the longest, as an automaton
    that need not remember which alternative came first has fewer states as well.

    Raises:
        PatternError: a pattern is refused, or all together need more memory.
    """
    together = "|".join(f"(?:{pattern})" for pattern in patterns).encode()

    def compiled(memory: int) -> Find:
        options = _options(characters=characters, capture=False)
        options.longest_match = True
        options.max_mem = 3 * memory  # a third of it is for this kind of search
        return find_by(_compile(together, options))

    return _in_memory(compiled, _SET_MEMORY)


def _in_memory(compiled: Callable[[int], _T], sizes: Sequence[int]) -> _T:
    """What is compiled in the first of some sizes of memory that suffices."""
    for size in sizes[:-1]:
        try:
            return compiled(size)
        except PatternError:
            continue
    return compiled(sizes[-1])


class Gate:
    """Says in one pass over a text which of many patterns occur in it.

    RE2 answers "nothing" when the automaton has no memory left for one more state. That cannot happen to one that
    compiled: the compiler refuses what leaves no room for 20 states of the largest size, and the search needs three
    after it has thrown all others away. A test runs a gate that has to throw them away all the time.

    Args:
        members: number and pattern of each; the numbers are what `match` answers.
        characters: whether the patterns are matched as characters.
        memory: bytes that the automaton may take; the next is tried when the patterns do not fit.

    Raises:
        PatternError: a pattern is refused, or all together need more memory.
    """

    def __init__(
        self, members: Sequence[tuple[int, str]], *, characters: bool, memory: Sequence[int] = _SET_MEMORY
    ) -> None:
        def compiled(size: int) -> Any:
            options = _options(characters=characters, capture=False)
            options.max_mem = size
            patterns = _search_set(options)
            for _, pattern in members:
                patterns.Add(pattern.encode())
            patterns.Compile()
            return patterns

        self._match = _match_by(_in_memory(compiled, memory))
        self._numbers = [number for number, _ in members]

    def match(self, text: bytes) -> list[int] | None:
        """The numbers of the patterns that occur; None when none does."""
        found = self._match(text)
        if not found:
            return None
        numbers = self._numbers
        return [numbers[index] for index in found]


def _match_by(patterns: Any) -> Callable[[bytes], Sequence[int] | None]:
    """The search of a compiled Set, inside the Python object if it is known what is there; see `find_by`."""
    try:
        match: Callable[[bytes], Sequence[int] | None] = patterns._set.Match
        if type(match(b"")) is list:
            return match
    except (AttributeError, TypeError):
        pass
    public: Callable[[bytes], Sequence[int] | None] = patterns.Match
    return public


def characters_from(text: bytes, start: int) -> int:
    """The offset of the first character that begins at `start` or later."""
    end = len(text)
    while start < end and text[start] & 0xC0 == 0x80:
        start += 1
    return start


def whole_characters(text: bytes, start: int, end: int) -> tuple[int, int]:
    """The range, widened to whole characters: a pattern on bytes may end within one."""
    while start > 0 and text[start] & 0xC0 == 0x80:
        start -= 1
    return start, characters_from(text, end)
