"""Values of any type: as by the public encoder where it succeeds, repaired where it does not."""

from __future__ import annotations

import array
import enum
from collections import ChainMap, OrderedDict, UserDict, UserList, UserString, deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as public_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from otelwarden.otlp import encode_logs
from otelwarden.otlp.repair import TOO_DEEP, TOO_LARGE


def log_of(body: Any) -> list[ReadableLogRecord]:
    return [ReadableLogRecord(LogRecord(observed_timestamp=1, body=body, attributes={"k": body}), Resource({}))]


def body_of(encoded: bytes) -> Any:
    return record_of(encoded).body


def record_of(encoded: bytes) -> Any:
    return ExportLogsServiceRequest.FromString(encoded).resource_logs[0].scope_logs[0].log_records[0]


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: plain(each.value) for each in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def assert_as_public(body: Any) -> None:
    records = log_of(body)
    encoded = encode_logs(records)
    assert encoded.body == public_logs(records).SerializeToString()
    assert (encoded.repaired, encoded.dropped) == (0, ())


TEXTS = st.text(st.characters(codec="utf-8"), max_size=140)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-200, 20_000)
    | st.floats()
    | TEXTS
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=5)
        | st.lists(children, max_size=5).map(tuple)
        | st.dictionaries(TEXTS | st.integers() | st.binary(max_size=3) | st.none(), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_value(body: Any) -> None:
    assert_as_public(body)


DIRTY_TEXTS = st.text(st.characters(categories=["Cs", "Ll"]), max_size=4)
DIRTY = st.recursive(
    SCALARS
    | DIRTY_TEXTS
    | st.integers()
    | st.integers(2**62, 2**65)
    | st.sets(st.integers(0, 3))
    | st.complex_numbers(),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(DIRTY_TEXTS | st.sampled_from(["\ufffd", "\ufffd\ufffd"]), children, max_size=4)
    ),
    max_leaves=10,
)


def repair(value: Any) -> tuple[Any, int]:
    """What a value becomes by the words of the README, and how much of it changed."""
    if isinstance(value, str):
        text = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
        return text, text != value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value), 1
    if isinstance(value, list):
        pairs = [repair(each) for each in value]
        return [each for each, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        repaired: dict[str, Any] = {}
        changes = 0
        for key, each in value.items():
            name, renamed = repair(key)
            while renamed and (name in value or name in repaired):
                name += "\ufffd"
            repaired[name], changed = repair(each)
            changes += renamed + changed
        return repaired, changes
    return (str(value), 1) if isinstance(value, (set, complex)) else (value, 0)


@settings(max_examples=200, deadline=None)
@given(DIRTY)
def test_a_repair_changes_only_what_must_be(value: Any) -> None:
    expected, changes = repair(value)
    records = log_of(value)
    encoded = encode_logs(records)
    assert (encoded.repaired, encoded.dropped) == (2 * changes, ())
    if changes == 0:
        assert encoded.body == public_logs(records).SerializeToString()
    else:
        record = record_of(encoded.body)
        assert repr(plain(record.body)) == repr(plain(record.attributes[0].value)) == repr(expected)


class Text(str):
    def __str__(self) -> str:
        return "something else"

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"something else"

    def __len__(self) -> int:
        return 1


class Number(int):
    def __int__(self) -> int:
        return 1

    def __index__(self) -> int:
        return 1


class Fraction(float):
    def __float__(self) -> float:
        return 1.0


class Raw(bytes):
    def __len__(self) -> int:
        return 1

    def __bytes__(self) -> bytes:
        return b"something else"


class Colour(enum.Enum):
    RED = "red"


class TextColour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 7


class Flags(enum.IntFlag):
    BOTH = 3


class Ratio(float, enum.Enum):
    HALF = 0.5


class Point(NamedTuple):
    x: int
    y: float


class Both(Sequence[int], Mapping[Any, Any]):  # type: ignore[misc]
    def __getitem__(self, index: Any) -> Any:
        return [5, 6][index]

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Any]:
        return iter([5, 6])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        127,
        128,
        4095,
        4096,
        16383,
        16384,
        2**63 - 1,
        -(2**63),
        0.0,
        -0.0,
        float("nan"),
        float("inf"),
        float("-inf"),
        5e-324,
        "",
        "a" * 126,
        "a" * 127,
        "a" * 128,
        "a" * 20_000,
        "\x00",
        "äöü€😀",
        b"",
        b"\xff\x00",
        b"b" * 5000,
        [],
        (),
        {},
        [[]],
        [{}],
        {"": ""},
        {"a": None},
        [None, True, 1, 1.0, "1", b"1"],
        {1: "a", "1": "b", False: "c", None: "d", b"e": "f", (1,): "g"},
        Text("text"),
        Number(300),
        Fraction(2.5),
        Raw(b"raw"),
        TextColour.RED,
        Level.HIGH,
        Flags.BOTH,
        Ratio.HALF,
        {TextColour.RED: Level.HIGH, Text("key"): Text("value"), Level.HIGH: 1},
        Point(1, 2.0),
        range(3),
        bytearray(b"ab"),
        memoryview(b"ab"),
        deque([1, 2]),
        array.array("d", [1.5]),
        UserList([1, "a"]),
        UserDict({"a": 1}),
        UserString(""),
        OrderedDict(a=1),
        ChainMap({"a": 1}, {"b": 2}),
        MappingProxyType({"a": [1]}),
        Both(),
    ],
    ids=lambda value: f"{type(value).__name__}:{value!r:.20}",
)
def test_values_that_the_public_encoder_takes(value: Any) -> None:
    assert_as_public(value)
    assert_as_public([value, {"k": value}])


MADE_DISTINCT = ("\ufffd\ufffd", "\ufffd\ufffd\ufffd", "\ufffd")
HUGE = 10**5000  # more digits than the interpreter turns into text


class Silent:
    def __str__(self) -> str:
        raise RuntimeError


class Broken(UserList[int]):
    def __iter__(self) -> Iterator[int]:
        yield 1
        raise RuntimeError

    def __str__(self) -> str:
        return "broken"


class Keyless:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected", "repaired"),
    [
        ("a\ud800b\udc00", "a\ufffdb\ufffd", 1),
        (Text("\ud800"), "\ufffd", 1),
        (2**63, "9223372036854775808", 1),
        (-(2**63) - 1, "-9223372036854775809", 1),
        (Number(2**70), str(2**70), 1),
        (HUGE, hex(HUGE), 1),
        ({1}, "{1}", 1),
        (Decimal("1.50"), "1.50", 1),
        (1j, "1j", 1),
        (Colour.RED, "Colour.RED", 1),
        (Silent(), "[Silent]", 1),
        (object, "<class 'object'>", 1),
        (Broken([1]), "broken", 1),
        (UserString("text"), "text", 1),
        ([1, "\ud800", {2}], [1, "\ufffd", "{2}"], 2),
        ({"\ud800": "\udc00"}, {"\ufffd": "\ufffd"}, 2),
        (
            dict(zip(("\ud800", "\ud801", "\ufffd"), (1, 2, 3), strict=True)),
            {"\ufffd\ufffd": 1, "\ufffd\ufffd\ufffd": 2, "\ufffd": 3},
            2,
        ),
        ({Keyless(): 1}, {"[Keyless]": 1}, 1),
    ],
    ids=lambda value: "huge" if value in (HUGE, hex(HUGE)) else ascii(value)[:20],
)
def test_values_that_are_repaired(value: Any, expected: Any, repaired: int) -> None:
    encoded = encode_logs(log_of(value))
    record = record_of(encoded.body)
    assert plain(record.body) == expected
    assert [(each.key, plain(each.value)) for each in record.attributes] == [("k", expected)]
    assert (encoded.repaired, encoded.dropped) == (2 * repaired, ())  # the body, and the attribute


def nested(levels: int, kind: str, innermost: Any) -> Any:
    value = innermost
    for _ in range(levels):
        value = {"k": value} if kind == "mapping" else [value]
    return value


# Levels of messages: 4 to the body, 2 for a list, 3 for a mapping, of 100.
@pytest.mark.parametrize(("kind", "most"), [("list", 48), ("mapping", 32)])
@pytest.mark.parametrize("innermost", ["x", None, [], {}], ids=repr)
def test_what_parsers_take_is_not_cut(kind: str, most: int, innermost: Any) -> None:
    most -= innermost in ([], {})  # the innermost takes one level, even empty
    for levels in range(most - 2, most + 1):
        records = log_of(None)
        records[0].log_record.body = nested(levels, kind, innermost)
        encoded = encode_logs(records)
        assert encoded.body == public_logs(records).SerializeToString()
        assert encoded.repaired == 0
        assert TOO_DEEP not in str(body_of(encoded.body))
    records[0].log_record.body = nested(most + 1, kind, innermost)
    encoded = encode_logs(records)
    assert str(body_of(encoded.body)).count(TOO_DEEP) == 1
    assert encoded.repaired == 1


def test_what_is_cut_keeps_the_rest() -> None:
    encoded = encode_logs(log_of({"a": nested(99, "list", 1), "b": "\ud800", "c": 1}))
    assert encoded.repaired == 4
    for value in body_of(encoded.body), record_of(encoded.body).attributes[0].value:
        found = plain(value)
        assert (found["b"], found["c"]) == ("\ufffd", 1)
        assert TOO_DEEP in repr(found["a"])


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_a_list_that_contains_itself_has_an_end(times: int) -> None:
    endless: list[Any] = ["text"]
    endless += [endless] * times
    encoded = encode_logs(log_of(endless))
    assert encoded.dropped == ()
    assert len(encoded.body) < 4 << 20
    assert plain(body_of(encoded.body))[0] == "text"
    assert (TOO_LARGE in str(body_of(encoded.body))) == (times > 1)


def test_a_mapping_that_contains_itself_has_an_end() -> None:
    endless: dict[str, Any] = {}
    endless |= {"a" * 5000: endless, "b": endless}
    encoded = encode_logs(log_of(endless))
    assert encoded.dropped == ()
    assert len(encoded.body) < 4 << 20
    assert TOO_LARGE in str(body_of(encoded.body))


def test_many_values_are_not_too_large() -> None:
    assert_as_public([[number, str(number)] for number in range(8_000)])
