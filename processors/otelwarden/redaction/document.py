"""The texts of one item: taken out of it in order, and put back where they changed.

A document lives as long as one item is worked on. It keeps what it saw, so an application that changes a nested value
meanwhile cannot make it put a text back in another place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from otelwarden.redaction.actions import DELETED
from otelwarden.redaction.keys import KeyFacts, KeyTable
from otelwarden.redaction.rules import ValueType

MAX_DEPTH: Final = 64
"""Levels of lists and mappings. OTLP receivers refuse deeper ones: protobuf stops at 100 nested messages."""

MAX_TEXTS: Final = 65_536
"""Texts in one item. A list of ten references to a list of ten, ten deep, has more than any memory holds."""

Oversize: TypeAlias = Literal["drop", "scan"]
"""What becomes of an item with a text that is too long for one scan: it is dropped, or the text is scanned in parts."""

_KEPT: Final = -1
_MAX_EXACT: Final = float(1 << 63)


class Unscannable(Exception):
    """Raised when an item cannot be scanned and must not pass, whatever the failure policy says.

    Args:
        reason: a lower_snake_case word for the accounts.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Edits(NamedTuple):
    """What becomes of the texts and keys of a document: their number -> the new text, or `DELETED`."""

    texts: dict[int, Any]
    names: dict[int, Any]


class Leaf:
    """A value that is one text, but not of type `str`."""

    __slots__ = ("_encoding", "_index", "_value")

    def __init__(self, value: Any, index: int, encoding: str = "") -> None:
        self._value = value
        self._index = index
        self._encoding = encoding

    def rebuild(self, edits: Edits) -> Any:
        """The value, or what is left of it: bytes stay bytes, all else becomes text."""
        text = edits.texts.get(self._index)
        if text is None:
            return self._value
        if not self._encoding or text is DELETED:
            return text
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError:
            return text.encode()


Node: TypeAlias = "int | Leaf | Elements | Fields"
"""A value: the number of its text when it is of type `str`, -1 when it has none."""


def rebuild(node: Node, value: Any, edits: Edits) -> Any:
    """What becomes of a value; `DELETED` when all that was in it is deleted."""
    if type(node) is int:
        return edits.texts.get(node, value)
    new = node.rebuild(edits)  # type: ignore[union-attr]  # not an int
    return DELETED if new is not value and _is_hollow(new) else new


def _is_hollow(value: Any) -> bool:
    """Whether a list or mapping from which something was deleted has nothing left that could tell anything."""
    if not isinstance(value, (list, tuple, dict)):
        return False
    left = value.values() if isinstance(value, dict) else value
    return all(item is None or item == "" for item in left)


class Elements:
    """A list or tuple."""

    __slots__ = ("_nodes", "_original", "_values")

    def __init__(self, original: Any, values: Sequence[Any], nodes: list[Node]) -> None:
        self._original = original
        self._values = values
        self._nodes = nodes

    def rebuild(self, edits: Edits) -> Any:
        """The sequence itself, or another one when something in it changed."""
        new = [rebuild(node, value, edits) for node, value in zip(self._nodes, self._values, strict=True)]
        if all(a is b for a, b in zip(new, self._values, strict=True)):
            return self._original
        left = [value for value in new if value is not DELETED]
        return tuple(left) if isinstance(self._original, tuple) else left


class Fields:
    """A mapping."""

    __slots__ = ("_items", "_names", "_nodes", "_original", "_texts")

    def __init__(
        self,
        original: Any,
        items: Sequence[tuple[Any, Any]],
        nodes: list[Node],
        names: dict[int, int],
        texts: range,
    ) -> None:
        self._original = original
        self._items = items
        self._nodes = nodes
        self._names = names
        self._texts = texts

    def rebuild(self, edits: Edits) -> Any:
        """The mapping itself, or a dictionary when something in it changed."""
        texts = self._texts
        renamed = edits.names and not edits.names.keys().isdisjoint(self._names.values())
        if not renamed and not any(number in texts for number in edits.texts):
            return self._original
        new: dict[Any, Any] = {}
        for index, ((key, value), node) in enumerate(zip(self._items, self._nodes, strict=True)):
            if renamed and index in self._names:
                key = edits.names.get(self._names[index], key)
            result = rebuild(node, value, edits)
            if key is DELETED or result is DELETED:
                continue
            while key in new:  # two keys that became equal
                key = f"{key}_"
            new[key] = result
        return new


class FlatFields:
    """A mapping of plain keys to nothing but texts, as most are: texts and keys stand in the same order."""

    __slots__ = ("_first", "_keys", "_original")

    def __init__(self, original: Any, keys: Sequence[str], first: int) -> None:
        self._original = original
        self._keys = keys
        self._first = first

    def rebuild(self, edits: Edits) -> Any:
        """The mapping itself, or a dictionary when something in it changed."""
        first, keys = self._first, self._keys
        changed = [number for number in edits.texts if 0 <= number - first < len(keys)]
        if not changed:
            return self._original
        new = dict(self._original)
        for number in changed:
            text = edits.texts[number]
            if text is DELETED:
                del new[keys[number - first]]
            else:
                new[keys[number - first]] = text
        return new


class Document:
    """The texts of one item, with the keys they stand under.

    Args:
        keys: what is known about keys.
        max_value_length: characters of the longest text that is scanned at once.
        oversize: what becomes of longer ones.
        ruled_places: places without a key, `span.name` and the like, of which something is known as of a key.
    """

    __slots__ = (
        "_keys",
        "_max_length",
        "_oversize",
        "_ruled_places",
        "keyed",
        "kinds",
        "long",
        "names",
        "paths",
        "texts",
    )

    def __init__(
        self,
        keys: KeyTable,
        max_value_length: int,
        ruled_places: frozenset[str] = frozenset(),
        oversize: Oversize = "drop",
    ) -> None:
        self._keys = keys
        self._oversize = oversize
        self._max_length = max_value_length
        self._ruled_places = ruled_places
        self.texts: list[str] = []
        self.paths: list[str] = []
        """The key each text stands under; keys within structured values are joined by dots."""
        self.long: list[int] = []
        """Texts that are too long for one scan."""
        self.keyed: list[tuple[int, KeyFacts]] = []
        """Texts whose key tells something."""
        self.kinds: dict[int, ValueType] = {}
        """What the values of texts are that are none themselves."""
        self.names: list[tuple[str, KeyFacts]] = []
        """Keys in which something was found."""

    def text(self, path: str, text: str) -> int:
        """Takes a text; its number.

        Raises:
            Unscannable: it is too long, or there are too many.
        """
        number = len(self.texts)
        if len(text) > self._max_length:
            if self._oversize == "drop":
                raise Unscannable("value_too_long")
            self.long.append(number)
        if number >= MAX_TEXTS:
            raise Unscannable("too_many_values")
        self.texts.append(text)
        self.paths.append(path)
        return number

    def place(self, path: str, text: str | None) -> int:
        """Takes a text that has a place and no key, and may be missing; its number, or -1."""
        if not text:
            return _KEPT
        number = self.text(path, text)
        if path in self._ruled_places:
            self.keyed.append((number, self._keys.facts(path)))
        return number

    def fields(self, mapping: Mapping[str, Any]) -> Fields | FlatFields:
        """Takes the attributes of an item or of a part of it."""
        if self._keys.plain.issuperset(mapping):
            values = list(mapping.values())
            if all(type(value) is str and len(value) <= self._max_length for value in values):
                return self._flat_fields(mapping, values)
        return self._fields(mapping, "", (), 0)

    def _flat_fields(self, mapping: Mapping[str, str], values: Sequence[str]) -> FlatFields:
        first, keys = len(self.texts), list(mapping)
        if first + len(values) > MAX_TEXTS:
            raise Unscannable("too_many_values")
        self.texts += values
        self.paths += keys
        return FlatFields(mapping, keys, first)

    def value(self, path: str, value: Any, inherited: tuple[KeyFacts, ...] = (), depth: int = 0) -> Node:
        """Takes a value of any type."""
        if not depth and path in self._ruled_places and not inherited:
            inherited = (self._keys.facts(path),)
        kind = type(value)
        if kind is str:
            return self._keyed_text(path, value, inherited)
        if value is None or (kind is bool and not any(facts.tells_of_value for facts in inherited)):
            return _KEPT
        if isinstance(value, Mapping):
            return self._fields(value, path, inherited, depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(path, bytes(value), value, inherited)
        if isinstance(value, Sequence) and not isinstance(value, str):
            if depth >= MAX_DEPTH:
                raise Unscannable("too_deep")
            values = list(value)
            return Elements(value, values, [self.value(path, item, inherited, depth + 1) for item in values])
        number = self._keyed_text(path, text_of(value), inherited)
        self.kinds[number] = "bool" if kind is bool else "number" if isinstance(value, (int, float)) else "other"
        return Leaf(value, number)

    def _bytes(self, path: str, data: bytes, value: Any, inherited: tuple[KeyFacts, ...]) -> Leaf:
        try:
            text, encoding = data.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = data.decode("latin-1"), "latin-1"
        number = self._keyed_text(path, text, inherited)
        self.kinds[number] = "bytes"
        return Leaf(value, number, encoding)

    def _keyed_text(self, path: str, text: str, inherited: tuple[KeyFacts, ...]) -> int:
        number = self.text(path, text)
        for facts in inherited:
            self.keyed.append((number, facts))
        return number

    def _fields(self, mapping: Mapping[Any, Any], path: str, inherited: tuple[KeyFacts, ...], depth: int) -> Fields:
        if depth >= MAX_DEPTH:
            raise Unscannable("too_deep")
        first = len(self.texts)
        items = list(mapping.items())
        nodes: list[Node] = []
        names: dict[int, int] = {}
        plain = self._keys.plain
        for index, (key, value) in enumerate(items):
            name = key if type(key) is str else text_of(key)
            below = inherited
            whole = f"{path}.{name}" if path else name
            if whole not in plain or name not in plain:
                below = self._look_at_key(index, name, whole, names, inherited, top=depth == 0)
            nodes.append(self.value(whole, value, below, depth + 1))
        return Fields(mapping, items, nodes, names, range(first, len(self.texts)))

    def _look_at_key(
        self,
        index: int,
        name: str,
        path: str,
        names: dict[int, int],
        inherited: tuple[KeyFacts, ...],
        *,
        top: bool,
    ) -> tuple[KeyFacts, ...]:
        if len(name) > self._max_length:
            raise Unscannable("key_too_long")
        own = self._keys.facts(name)
        if own.hits:
            names[index] = len(self.names)
            self.names.append((name, own))
        facts = own if path == name else self._keys.facts(path)
        if not top:
            facts = facts.nested
        return (*inherited, facts) if facts.tells else inherited


def text_of(value: Any) -> str:
    """The text of a scalar or an object, without calling what a subclass of `str` or `int` may have overridden."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        # A card number that went through a float must be found, and 4111111111111111.0 has a fraction.
        whole = value == value and abs(value) < _MAX_EXACT and value.is_integer()
        return str(int(value)) if whole else float.__repr__(value)
    return str(value)
