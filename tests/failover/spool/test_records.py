"""Framing: what was written is found again, and a damage costs what it hit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.failover.spool.records import HEADER_SIZE, MAGIC, header_of, meta_of, read_body, scan

SALT = 0x5EED

BODIES = st.lists(st.binary(min_size=1, max_size=60) | st.just(MAGIC * 3), min_size=1, max_size=8)


def record(body: bytes, number: int = 1, *, salt: int = SALT) -> bytes:
    meta = meta_of({"acme": number})
    return header_of("logs", number, number, None, meta, body, salt=salt) + meta + body


@given(BODIES, st.integers(0, 200))
def test_what_was_written_is_found(bodies: list[bytes], padding: int) -> None:
    data = b"".join(record(body, number + 1) for number, body in enumerate(bodies)) + bytes(padding)
    found = list(scan(data, salt=SALT))
    assert all(each.intact for each in found)
    headers = [each.header for each in found]
    assert [h.tenants for h in headers if h] == [{"acme": n + 1} for n in range(len(bodies))]
    assert [h.signal for h in headers if h] == ["logs"] * len(bodies)
    assert [read_body(data, each.offset, each.header, salt=SALT) for each in found if each.header] == bodies


@settings(max_examples=300)
@given(BODIES, st.data())
def test_a_flipped_bit_costs_one_record(bodies: list[bytes], data: st.DataObject) -> None:
    records = [record(body, number + 1) for number, body in enumerate(bodies)]
    log = bytearray(b"".join(records) + bytes(64))
    place = data.draw(st.integers(0, sum(map(len, records)) - 1))
    log[place] ^= 1 << data.draw(st.integers(0, 7))
    hit = next(number for number in range(len(records)) if place < sum(map(len, records[: number + 1])))
    found = list(scan(bytes(log), salt=SALT))
    intact = [each.header.time_ns for each in found if each.header and each.intact]
    of_state = place - sum(map(len, records[:hit])) == 4
    assert intact == [n + 1 for n in range(len(bodies)) if n != hit or of_state]
    assert len(found) == len(bodies)


@given(BODIES, st.data())
def test_what_is_cut_off_costs_the_rest(bodies: list[bytes], data: st.DataObject) -> None:
    records = [record(body, number + 1) for number, body in enumerate(bodies)]
    whole = data.draw(st.integers(0, len(records) - 1))
    cut = data.draw(st.integers(1, len(records[whole]) - 1))
    found = list(scan(b"".join(records[:whole]) + records[whole][:cut], salt=SALT))
    assert [each.intact for each in found] == [True] * whole + [False]


@given(st.binary(max_size=300))
def test_anything_can_be_scanned(data: bytes) -> None:
    assert not any(each.intact for each in scan(data, salt=SALT))


def test_a_record_inside_a_body_is_not_taken_for_one() -> None:
    """Whoever may send telemetry may put there what looks like a record of another tenant."""
    forged = record(b"forged", 7, salt=0)
    log = bytearray(record(forged, 1) + record(b"next", 2))
    log[HEADER_SIZE - 1] ^= 1
    assert [each.header.time_ns for each in scan(bytes(log), salt=SALT) if each.header] == [2]


@pytest.mark.parametrize("there", range(1, HEADER_SIZE + 1))
def test_all_but_the_first_byte_is_where_writing_stopped(there: int) -> None:
    """The kernel may have copied any part of the header when the process was killed."""
    for part in (record(b"body")[1:there], record(b"body")[1:]):
        torn = b"\0" + part + bytes(HEADER_SIZE)
        assert [each.intact for each in scan(record(b"first") + torn + bytes(50), salt=SALT)] == [True]


def test_a_gap_of_zeros_does_not_hide_what_comes_after() -> None:
    log = record(b"first", 1) + bytes(len(record(b"lost"))) + record(b"last", 3)
    assert [each.intact for each in scan(log, salt=SALT)] == [True, False, True]
