from __future__ import annotations

import os
import threading
import tracemalloc

import pytest

from otelwarden.core import LOGS, METRICS, TRACES, ConfigError
from otelwarden.quota import MemoryStore, QuotaConfig, QuotaLimiter, SignalLimits, TenantLimits, Usage
from otelwarden.quota.gcra import GcraMeter

LIMITS = TenantLimits(traces=SignalLimits(rate=10, burst=5), logs=SignalLimits(rate=2))


@pytest.fixture
def limiter(clock, runtime, directory):
    return QuotaLimiter(QuotaConfig(default=LIMITS), directory=directory, clock=clock, runtime=runtime)


def admitted(limiter, tenant, signal=TRACES, tries=200):
    return sum(limiter.allow(tenant, signal) for _ in range(tries))


def test_each_tenant_and_signal_has_its_own_limit(limiter):
    assert admitted(limiter, "a") == 5
    assert admitted(limiter, "b") == 5
    assert admitted(limiter, "a", LOGS) == 2
    assert admitted(limiter, "a", METRICS) == 200
    assert Usage("a", TRACES, 5, 195) in limiter.usage()
    assert Usage("a", METRICS, 200, 0) in limiter.usage()


def test_without_a_limit_everything_passes(clock, runtime):
    limiter = QuotaLimiter(QuotaConfig(), clock=clock, runtime=runtime)
    assert admitted(limiter, "a") == 200
    assert limiter.level("a", TRACES) is None
    assert limiter.limit_of("a", TRACES) is None


def test_all_or_none(limiter):
    assert not limiter.allow("a", TRACES, 6)
    assert limiter.allow("a", TRACES, 5)


def test_only_overdraw_may_go_into_debt(clock, runtime):
    config = QuotaConfig(default=LIMITS, max_debt=3)
    limiter = QuotaLimiter(config, clock=clock, runtime=runtime)
    assert admitted(limiter, "a") == 5
    assert sum(limiter.overdraw("a", TRACES) for _ in range(10)) == 3
    assert limiter.level("a", TRACES) == -3
    clock.advance(0.3)
    assert not limiter.allow("a", TRACES)
    clock.advance(0.1)
    assert limiter.allow("a", TRACES)


class TestOwnLimits:
    def test_are_merged_field_by_field(self, limiter, directory):
        directory.set("rate", {"traces": {"rate": "100/s"}})
        directory.set("burst", {"traces": {"burst": 50}})
        directory.set("logs", {"logs": {"rate": "7/s"}})
        assert limiter.limit_of("rate", TRACES) == SignalLimits(rate=100, burst=5)
        assert limiter.limit_of("burst", TRACES) == SignalLimits(rate=10, burst=50)
        assert limiter.limit_of("logs", TRACES) == LIMITS.traces
        assert limiter.limit_of("logs", LOGS).burst_items == 7

    def test_are_live_at_once_and_keep_what_was_taken(self, limiter, directory):
        assert admitted(limiter, "a") == 5
        directory.set("a", {"traces": {"burst": 25}})
        assert admitted(limiter, "a") == 20
        directory.set("a", None)
        assert limiter.limit_of("a", TRACES) == LIMITS.traces

    def test_another_tenants_change_resets_nothing(self, limiter, directory):
        assert admitted(limiter, "a") == 5
        directory.set("b", {"traces": {"burst": 25}})
        assert admitted(limiter, "a") == 0

    @pytest.mark.parametrize(
        "bad",
        [{"traces": {"rate": "fast"}}, {"traces": {"rate": "0/s"}}, {"traces": 5}, {"traces": {"burst": 0}}, 7],
        ids=["text", "zero", "no_mapping", "burst", "no_limits"],
    )
    def test_bad_ones_are_counted_and_the_last_good_ones_stay(self, limiter, directory, runtime, bad):
        directory.set("a", {"traces": {"rate": "3/s", "burst": 3}})
        assert limiter.limit_of("a", TRACES).rate == 3
        directory.set("a", bad)
        assert limiter.limit_of("a", TRACES).rate == 3
        assert sum(runtime.error_counts()["quota"].values()) == 1
        directory.set("new", bad)
        assert limiter.limit_of("new", TRACES) == LIMITS.traces


class TestBounds:
    def test_ten_thousand_tenants(self, limiter):
        for tenant in range(10_000):
            assert limiter.allow(f"t{tenant}", TRACES, 5)
        assert not any(limiter.allow(f"t{tenant}", TRACES) for tenant in range(10_000))

    def test_eviction_resets_nobody(self, clock, runtime):
        limits = TenantLimits(traces=SignalLimits(rate=1, burst=5))
        limiter = QuotaLimiter(QuotaConfig(default=limits), clock=clock, runtime=runtime, max_tenants=8)
        for tenant in "abcdefgh":
            assert admitted(limiter, tenant) == 5
        clock.advance(2)  # two items each: nobody is full, so the newcomers share one bucket
        assert admitted(limiter, "new") + admitted(limiter, "newer") == 5
        assert [admitted(limiter, tenant) for tenant in "abcdefgh"] == [2] * 8
        clock.advance(3)
        assert admitted(limiter, "a") == 3
        clock.advance(2)  # all but `a` are full again
        assert admitted(limiter, "new") == 5
        assert admitted(limiter, "a") == 2

    def test_a_call_from_below_an_eviction_finds_a_new_bucket(self, clock, runtime):
        """As when a finalizer ends a span while this thread evicts its tenant."""

        class Store(MemoryStore):
            def meter(self, key, limit):
                return Reentrant(key, limit, clock=clock)

        class Reentrant(GcraMeter):
            def close_if_idle(self):
                closed = super().close_if_idle()
                if closed:
                    assert limiter.allow(self.key.tenant, LOGS)
                return closed

        limiter = QuotaLimiter(QuotaConfig(default=LIMITS), store=Store(), clock=clock, runtime=runtime, max_tenants=1)
        assert limiter.allow("a", LOGS)
        clock.advance(1)
        assert limiter.allow("b", LOGS)
        assert sum(usage.allowed for usage in limiter.usage()) == 3

    def test_the_usage_of_the_evicted_is_kept_in_sum(self, clock, runtime):
        limiter = QuotaLimiter(QuotaConfig(), clock=clock, runtime=runtime, max_tenants=8)
        for tenant in range(1000):
            limiter.allow(f"t{tenant}", LOGS, 2)
        usage = limiter.usage()
        assert len(usage) <= 9
        assert sum(each.allowed for each in usage) == 2000

    def test_no_room_is_refused(self, clock, runtime):
        with pytest.raises(ConfigError, match="at least 1"):
            QuotaLimiter(QuotaConfig(), clock=clock, runtime=runtime, max_tenants=0)


def test_eight_threads_are_exact_while_limits_change_and_tenants_go(runtime, directory):
    config = QuotaConfig(default=TenantLimits(traces=SignalLimits(rate=1e-6, burst=3_000)))
    limiter = QuotaLimiter(config, directory=directory, runtime=runtime, max_tenants=4)
    taken = []

    def work(number):
        count = 0
        for step in range(2_000):
            count += limiter.allow("shared", TRACES)
            if step % 50 == 0:
                directory.set("other", {"traces": {"burst": step + 1}})
                limiter.allow(f"{number}-{step}", LOGS)
        taken.append(count)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 3_000
    assert Usage("shared", TRACES, 3_000, 13_000) in limiter.usage()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_keeps_the_level_and_counts_from_zero(limiter):
    assert admitted(limiter, "a", tries=3) == 3
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = limiter.usage()
            os.write(writing, repr((before, admitted(limiter, "a"), limiter.usage())).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as result:
        assert result.read() == repr(([], 2, [Usage("a", TRACES, 2, 198)]))
    assert admitted(limiter, "a") == 2


def test_ten_thousand_tenants_take_less_than_a_kibibyte_each(runtime):
    limits = TenantLimits(traces=SignalLimits(rate=10, burst=5))
    limiter = QuotaLimiter(QuotaConfig(default=limits), runtime=runtime)
    limiter.allow("first", TRACES)
    names = [f"t{number}" for number in range(10_000)]
    tracemalloc.start()
    try:
        for name in names:
            limiter.allow(name, TRACES)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / len(names) < 1024
