from __future__ import annotations

import threading

import pytest

from otelwarden.core import Account, Balance, Count, Ledger, total


def test_a_count_adds_up() -> None:
    count = Count()
    assert count.value == 0
    count.tick()
    count.add(5)
    assert (count.value, count.value) == (6, 6)  # reading changes nothing
    count.tick()
    assert count.value == 7


def test_a_count_is_exact_while_it_is_read_and_eight_threads_tick() -> None:
    count = Count()
    read: list[int] = []

    def work() -> None:
        for number in range(5000):
            count.tick() if number % 2 else count.add(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        read.append(count.value)
    assert count.value == 40_000
    assert read == sorted(read)


def test_sizes_add_up_while_they_are_read_and_eight_threads_add() -> None:
    account = Account()
    read: list[int] = []

    def work() -> None:
        for number in range(5000):
            account.receive_bytes(number)
            account.dropped_bytes("rate").add(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        read.append(account.received_bytes.value)
    assert account.received_bytes.value == 8 * sum(range(5000))
    assert account.dropped_bytes_by_reason() == {"rate": 40_000}
    assert read == sorted(read)


def test_an_account_tells_drops_by_reason() -> None:
    account = Account()
    account.dropped("rate").add(2)
    account.dropped("size").tick()
    assert account.dropped("rate") is account.dropped("rate")
    assert account.dropped_by_reason() == {"rate": 2, "size": 1}


def test_a_ledger_tells_every_account_with_what_is_held() -> None:
    held = {"a": 2, "c": 1}
    ledger = Ledger("quota", "traces", held=lambda: held)
    for tenant, received, forwarded in (("a", 5, 3), ("b", 1, 1)):
        ledger.account(tenant).received.add(received)
        ledger.account(tenant).forwarded.add(forwarded)
    ledger.account("c").received.tick()
    assert sorted((b.tenant, b.received, b.forwarded, b.held, b.unaccounted) for b in ledger.balances()) == [
        ("a", 5, 3, 2, 0),
        ("b", 1, 1, 0, 0),
        ("c", 1, 0, 1, 0),
    ]


def test_a_ledger_tells_bytes_where_they_are_counted() -> None:
    ledger = Ledger(
        "quota", "traces", held=lambda: {"a": 1, "b": 1}, held_bytes=lambda: {"a": 30, "b": 5}, max_accounts=1
    )
    account = ledger.account("a")
    account.received.add(3)
    for size in (10, 20, 30):
        account.receive_bytes(size)
    account.forwarded.tick()
    account.forwarded_bytes.add(10)
    account.dropped("rate").tick()
    account.dropped_bytes("rate").add(20)
    mine, other = ledger.balances()
    assert (mine.received_bytes, mine.forwarded_bytes, mine.dropped_bytes, mine.held_bytes) == (
        60,
        10,
        {"rate": 20},
        30,
    )
    assert (mine.unaccounted, mine.unaccounted_bytes) == (0, 0)
    assert (other.tenant, other.held, other.held_bytes, other.unaccounted_bytes) == ("<other>", 1, 5, -5)
    assert total([mine, other], "quota").unaccounted_bytes == -5


def test_what_is_unaccounted_can_be_seen() -> None:
    balance = Balance(component="c", signal="logs", tenant="a", received=10, forwarded=4, dropped={"x": 3}, held=2)
    assert balance.unaccounted == 1


def test_tenants_beyond_the_bound_share_an_account() -> None:
    ledger = Ledger("quota", "traces", max_accounts=2)
    for tenant in "abcd":
        ledger.account(tenant).received.tick()
    assert {b.tenant: b.received for b in ledger.balances()} == {"a": 1, "b": 1, "<other>": 2}


def test_what_tenants_beyond_the_bound_hold_is_held_once() -> None:
    """Each of them was given the whole shared account, so that its sums came out several times."""
    ledger = Ledger("batch", "traces", held=lambda: {"a": 1, "c": 2, "d": 3}, max_accounts=1)
    for tenant, count in (("a", 1), ("c", 2), ("d", 3)):
        ledger.account(tenant).received.add(count)
    assert {b.tenant: (b.received, b.held, b.unaccounted) for b in ledger.balances()} == {
        "a": (1, 1, 0),
        "<other>": (5, 5, 0),
    }


def test_an_item_that_passes_while_we_read_is_never_counted_twice() -> None:
    ledger: Ledger

    def held() -> dict[str, int]:
        answer = {"a": 1}
        ledger.account("a").forwarded.tick()  # it leaves as soon as we have looked
        return answer

    ledger = Ledger("batch", "traces", held=held)
    ledger.account("a").received.tick()
    (found,) = ledger.balances()
    assert found.unaccounted == 0


@pytest.mark.parametrize(("signal", "received"), [("traces", 3), ("logs", 4), (None, 7)])
def test_a_sum_is_over_tenants_and_perhaps_signals(signal: str | None, received: int) -> None:
    rows = [("c", "traces", 1), ("c", "traces", 2), ("c", "logs", 4), ("d", "traces", 100)]
    balances = [
        Balance(component=c, signal=s, tenant=str(n), received=n, forwarded=0, dropped={"x": n}, held=0)  # type: ignore[arg-type]
        for c, s, n in rows
    ]
    whole = total(balances, "c", signal)  # type: ignore[arg-type]
    assert (whole.received, whole.dropped, whole.tenant, whole.unaccounted) == (received, {"x": received}, "", 0)


def test_a_sum_of_nothing_is_nothing() -> None:
    assert total([], "c") == Balance(component="c", signal=None, tenant="", received=0, forwarded=0)
