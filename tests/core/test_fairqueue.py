from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import FairQueue


def drain(queue: FairQueue[str], batch: int = 512) -> list[str]:
    items: list[str] = []
    while queue.count:
        items += queue.take(batch)[0]
    return items


def test_an_empty_queue_answers_an_empty_batch() -> None:
    queue: FairQueue[str] = FairQueue(max_items=1, max_bytes=1)
    assert queue.take(10) == ([], {})
    assert (queue.count, queue.size, queue.held()) == (0, 0, {})


def test_what_is_put_is_held_until_it_is_taken() -> None:
    queue: FairQueue[str] = FairQueue(max_items=10, max_bytes=100)
    assert not queue.put("a1", "a", 5)
    assert not queue.put("a2", "a", 6)
    assert not queue.put("b1", "b", 7)
    assert (queue.count, queue.size, queue.held()) == (3, 18, {"a": 2, "b": 1})
    assert queue.take(10) == (["a1", "a2", "b1"], {"a": 2, "b": 1})
    assert (queue.count, queue.size, queue.held()) == (0, 0, {})


def test_one_item_larger_than_the_queue_is_handed_back_and_pushes_nobody_out() -> None:
    queue: FairQueue[str] = FairQueue(max_items=10, max_bytes=100)
    queue.put("small", "a", 1)
    assert queue.put("large", "b", 101) == [("b", "large")]
    assert queue.held() == {"a": 1}


def test_one_item_as_large_as_the_queue_fits() -> None:
    queue: FairQueue[str] = FairQueue(max_items=10, max_bytes=100)
    assert not queue.put("exact", "a", 100)


def test_a_full_queue_loses_the_oldest_of_who_holds_most() -> None:
    queue: FairQueue[str] = FairQueue(max_items=4, max_bytes=1000)
    for item in ("n1", "n2", "n3"):
        queue.put(item, "noisy", 1)
    queue.put("q1", "quiet", 1)
    assert queue.put("q2", "quiet", 1) == [("noisy", "n1")]
    assert drain(queue) == ["n2", "n3", "q1", "q2"]


def test_bytes_that_are_scarce_go_to_the_expense_of_who_holds_most_bytes() -> None:
    queue: FairQueue[str] = FairQueue(max_items=1000, max_bytes=100)
    queue.put("big", "heavy", 90)
    for number in range(10):
        queue.put(f"l{number}", "light", 1)
    assert queue.put("l10", "light", 1) == [("heavy", "big")]


def test_places_that_are_scarce_go_to_the_expense_of_who_holds_most_items() -> None:
    """A tenant with few, large items is no noisy one: it lost all of them when only bytes were compared."""
    queue: FairQueue[str] = FairQueue(max_items=100, max_bytes=1_000_000)
    for number in range(8):
        queue.put(f"q{number}", "quiet", 10_000)
    lost = [gone for number in range(1000) for gone in queue.put(f"n{number}", "noisy", 10)]
    assert {tenant for tenant, _ in lost} == {"noisy"}
    assert queue.held() == {"quiet": 8, "noisy": 92}


def test_a_noisy_tenant_at_a_hundred_times_costs_the_quiet_one_nothing() -> None:
    queue: FairQueue[str] = FairQueue(max_items=200, max_bytes=1 << 20)
    received: Counter[str] = Counter()
    for round_ in range(50):
        for number in range(100):
            queue.put(f"n{round_}.{number}", "noisy", 100)
        queue.put(f"q{round_}", "quiet", 100)
        if round_ % 7 == 6:
            received.update(item[0] for item in queue.take(64)[0])
    received.update(item[0] for item in drain(queue))
    assert received["q"] == 50


def test_a_batch_is_shared_out_equally_and_the_rest_filled_up() -> None:
    queue: FairQueue[str] = FairQueue(max_items=1000, max_bytes=1 << 20)
    for tenant, count in (("a", 100), ("b", 3), ("c", 40)):
        for number in range(count):
            queue.put(f"{tenant}{number}", tenant, 1)
    _, tenants = queue.take(60)
    assert tenants == {"b": 3, "a": 29, "c": 28} or tenants == {"b": 3, "a": 28, "c": 29}


def test_more_tenants_than_a_batch_has_places_are_served_in_turn() -> None:
    queue: FairQueue[str] = FairQueue(max_items=1000, max_bytes=1 << 20)
    for number in range(10):
        for tenant in range(7):
            queue.put(f"{tenant}.{number}", str(tenant), 1)
    served: Counter[str] = Counter()
    for _ in range(7):
        served.update(queue.take(3)[1])
    assert served == {str(tenant): 3 for tenant in range(7)}


def test_items_without_any_size_are_bounded_by_number() -> None:
    queue: FairQueue[str] = FairQueue(max_items=3, max_bytes=10)
    lost = [gone for number in range(10) for gone in queue.put(str(number), "a", 0)]
    assert len(lost) == 7
    assert queue.held() == {"a": 3}


@pytest.mark.parametrize("tenants", [1, 3, 50])
def test_equal_tenants_lose_alike(tenants: int) -> None:
    queue: FairQueue[str] = FairQueue(max_items=100, max_bytes=1 << 20)
    lost: Counter[str] = Counter()
    for number in range(2000):
        for tenant, _ in queue.put(str(number), str(number % tenants), 10):
            lost[tenant] += 1
    assert queue.count == 100
    assert max(lost.values()) - min(lost.values()) <= 2


PUT = st.tuples(st.sampled_from("abcde"), st.integers(0, 40))
STEPS = st.lists(st.one_of(PUT, PUT, PUT, st.integers(1, 20)), max_size=120)


@settings(max_examples=150, deadline=None)
@given(max_items=st.integers(1, 20), max_bytes=st.integers(1, 200), steps=STEPS)
def test_bounds_hold_and_nobody_under_an_equal_share_loses(
    max_items: int, max_bytes: int, steps: list[tuple[str, int] | int]
) -> None:
    queue: FairQueue[int] = FairQueue(max_items=max_items, max_bytes=max_bytes)
    held: dict[str, list[tuple[int, int]]] = defaultdict(list)  # the oracle: (item, size) by tenant
    for number, step in enumerate(steps):
        if isinstance(step, int):
            batch, tenants = queue.take(step)
            assert len(batch) == min(step, sum(map(len, held.values())))
            taken: Counter[str] = Counter()
            for item in batch:
                (owner,) = [tenant for tenant, items in held.items() if items and items[0][0] == item]  # FIFO
                held[owner].pop(0)
                taken[owner] += 1
            assert taken == tenants
            reached = [tenant for tenant in held if held[tenant]]  # who still waits got as much as anybody
            assert all(tenants.get(w, 0) >= max(tenants.values(), default=0) - 1 for w in reached)
        else:
            tenant, size = step
            gone = queue.put(number, tenant, size)
            if size > max_bytes:
                assert gone == [(tenant, number)]
                continue
            held[tenant].append((number, size))
            for loser, item in gone:
                items = sum(map(len, held.values()))
                total = sum(size for each in held.values() for _, size in each)
                lanes = sum(1 for each in held.values() if each)
                its_size = sum(size for _, size in held[loser])
                if items > max_items:
                    assert len(held[loser]) * lanes >= items
                else:
                    assert total > max_bytes
                    assert its_size * lanes >= total
                assert held[loser].pop(0)[0] == item
        assert queue.count == sum(map(len, held.values())) <= max_items
        assert queue.size == sum(size for each in held.values() for _, size in each) <= max_bytes
        assert queue.held() == {tenant: len(items) for tenant, items in held.items() if items}
