"""Several real processes keep one limit, over a file and over a real Redis."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from otelwarden.core import TRACES, ConfigError, Runtime
from otelwarden.quota import QuotaConfig, QuotaLimiter, StoreConfig, open_store, read_usage


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


workers, redis_server = _load("workers"), _load("redis_server")

RATE = {"default": {"traces": {"rate": 2000, "burst": 400}}}
BUDGET = {"default": {"traces": {"budget": {"items": "10000/month"}}}}


def shared(limits, **store):
    return {**limits, "store": store}


def run(settings, rates, seconds):
    processes = workers.Workers(settings, rates, seconds)
    processes.begin()
    return processes.results()


def run_dry(settings, rates, quiet):
    """As long as anything passes, however slow the machine."""
    processes = workers.Workers(settings, rates, 120, quiet)
    processes.begin()
    return processes.results()


@pytest.fixture
def file_store(tmp_path):
    return {"type": "file", "path": str(tmp_path / "quota.db")}


@pytest.fixture
def server(tmp_path):
    if redis_server.BINARY is None:
        pytest.skip("redis-server is not installed")
    running = redis_server.RedisServer(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def limiter_over(server):
    made = []

    def make(limits=RATE, **store):
        store = {"type": "redis", "url": server.url, **store}
        runtime = Runtime()
        config = QuotaConfig.from_mapping(shared(limits, **store))
        limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
        made.append(limiter)
        return limiter, runtime

    yield make
    for limiter in made:
        limiter.close()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


class TestFile:
    def test_workers_together_keep_one_budget_to_the_item(self, file_store):
        results = run_dry(shared(BUDGET, **file_store), [0, 0, 0], 0.5)
        assert workers.passed(results) == 10_000
        (status,) = read_usage(file_store["path"])
        assert (status.tenant, status.kind, status.used, status.remaining) == ("acme", "month", 10_000, 0)

    def test_workers_together_keep_one_rate(self, file_store):
        results = run(shared(RATE, **file_store), [2000, 2000], 2)
        assert workers.passed(results) <= (2000 * workers.span(results) + 400) * 1.02
        assert workers.passed(results) >= (2000 * 2 + 400) * 0.6  # a machine that stands still offers less

    def test_killed_workers_strand_at_most_a_hundredth(self, file_store):
        processes = workers.Workers(shared(BUDGET, **file_store), [1000, 1000], 600)
        processes.begin()
        until(lambda: any(status.used > 500 for status in read_usage(file_store["path"])))
        processes.kill()
        (status,) = read_usage(file_store["path"])
        passed = workers.passed(run_dry(shared(BUDGET, **file_store), [0], 0.5))
        assert status.used - 100 <= 10_000 - passed <= status.used

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_shares_the_limit_of_its_parent(self, file_store):
        runtime = Runtime()
        config = QuotaConfig.from_mapping(
            shared({"default": {"traces": {"budget": {"items": "100/month"}}}}, **file_store)
        )
        limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
        assert limiter.allow("a", TRACES)
        child = os.fork()
        if child == 0:
            os._exit(sum(limiter.allow("a", TRACES) for _ in range(40)))
        taken = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert taken == 40
        assert sum(limiter.allow("a", TRACES) for _ in range(200)) == 100 - 1 - taken

    @pytest.mark.parametrize("content", [b"something else entirely", b"OWQUOTA\x09" + bytes(5000)])
    def test_another_file_is_refused(self, tmp_path, content):
        path = tmp_path / "other"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not a file of ours"):
            open_store(StoreConfig(type="file", path=str(path)), Runtime())
        assert path.read_bytes() == content

    @pytest.mark.parametrize("damage", [lambda path: os.truncate(path, 0), Path.unlink], ids=["cut", "removed"])
    def test_a_file_that_is_cut_or_removed_stops_nobody(self, file_store, damage):
        path = Path(file_store["path"])
        runtime = Runtime()
        config = QuotaConfig.from_mapping(shared(RATE, **file_store))
        limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
        assert limiter.allow("a", TRACES)
        damage(path)
        until(lambda: limiter.allow("b", TRACES) and path.exists() and path.stat().st_size > 4096 and read_usage(path))


class TestRedis:
    def test_a_fleet_keeps_one_budget_to_the_item(self, server):
        settings = shared(BUDGET, type="redis", url=server.url, fallback="closed")
        assert workers.passed(run_dry(settings, [5000, 5000, 5000], 1.5)) == 10_000

    def test_a_fleet_keeps_one_rate_and_shares_it_equally(self, server):
        settings = shared(RATE, type="redis", url=server.url)
        results = run(settings, [2000, 2000], 4)
        assert workers.passed(results) <= (2000 * workers.span(results) + 400) * 1.02
        assert workers.passed(results) >= (2000 * 4 + 400) * 0.6  # a machine that stands still offers less
        shares = [sum(result["passed"].values()) for result in results]
        assert max(shares) <= 2 * min(shares)

    @pytest.mark.parametrize(("fallback", "least", "most"), [("open", 1, 1), ("closed", 0, 0), ("fair", 0.5, 1.1)])
    @pytest.mark.parametrize("fault", ["kill", "freeze"])
    def test_without_the_server_the_fallback_holds_and_then_it_recovers(
        self, server, limiter_over, fault, fallback, least, most
    ):
        limiter, runtime = limiter_over(fallback=fallback)
        until(lambda: limiter.allow("a", TRACES))
        getattr(server, fault)()
        until(lambda: [limiter.allow("a", TRACES), runtime.error_counts().get("quota")][1])
        took, passed, offered, refusals = [], 0, 0, set()
        began = time.monotonic()
        # A lease of a rate is valid for 3 s: what holds must hold beyond that.
        seconds = 3.6 if (fault, fallback) == ("kill", "fair") else 1.0
        while (now := time.monotonic()) - began < seconds:
            for _ in range(int((now - began) * 4000) - offered):
                started = time.monotonic()
                refusal = limiter.refusal("a", TRACES)
                took.append(time.monotonic() - started)
                offered, passed = offered + 1, passed + (refusal is None)
                refusals.add(refusal)
            time.sleep(0.002)
        limit = offered if fallback != "fair" else 2000.0 * (time.monotonic() - began)
        room = {"fair": 400, "closed": 240, "open": 0}[fallback]  # what was at hand at the beginning
        assert least * limit <= passed <= most * limit + room
        assert refusals <= {None, "store_down"}
        assert sorted(took)[len(took) * 9 // 10] < 0.001  # a machine that stands still makes some wait, not most
        server.start() if fault == "kill" else server.thaw()
        until(lambda: limiter.refusal("b", TRACES) is None and limiter.refusal("a", TRACES) in (None, "rate"))

    def test_a_server_that_lost_its_script_is_told_again(self, server, limiter_over):
        limiter, runtime = limiter_over(BUDGET)
        until(lambda: limiter.allow("a", TRACES))
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            other.sendall(b"SCRIPT FLUSH\r\n")
            assert other.recv(64).startswith(b"+OK")
        until(lambda: sum(limiter.allow("a", TRACES) for _ in range(10)) == 0 or limiter.status()[0].used > 1000)
        assert not runtime.error_counts().get("quota")

    def test_a_budget_is_not_renewed_by_a_server_that_forgot_everything(self, server, limiter_over):
        limiter, _ = limiter_over({"default": {"traces": {"budget": {"items": "300/month"}}}}, fallback="closed")
        passed = 0
        deadline = time.monotonic() + 60
        while passed < 200:
            assert time.monotonic() < deadline
            passed += limiter.allow("a", TRACES)
            time.sleep(0.001)
        server.kill()
        server.start()
        enough = float("inf")
        while time.monotonic() < enough:
            assert time.monotonic() < deadline + 60
            passed += limiter.allow("a", TRACES)
            if passed >= 280 and enough == float("inf"):
                enough = time.monotonic() + 1  # in which more of them would pass
            time.sleep(0.0005)
        assert passed <= 300

    def test_another_users_key_ends_in_the_fallback(self, server, limiter_over):
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            other.sendall(b"SET otelwarden:v1:traces:items:rate:a text\r\n")
            assert other.recv(64).startswith(b"+OK")
        limiter, runtime = limiter_over()
        until(lambda: [limiter.allow("a", TRACES), runtime.error_counts()["quota"]][1])
        assert set(runtime.error_counts()["quota"]) == {"lease:ForeignKeyError"}
        until(lambda: limiter.allow("a", TRACES))

    def test_a_server_that_talks_nonsense_ends_in_the_fallback(self, server, limiter_over):
        listener = socket.create_server(("127.0.0.1", 0))

        def talk():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"*2\r\n:5\r\n$3\r\nyes\r\n")

        threading.Thread(target=talk, daemon=True).start()
        limiter, runtime = limiter_over(url=f"redis://127.0.0.1:{listener.getsockname()[1]}")
        until(lambda: [limiter.allow("a", TRACES), runtime.error_counts()["quota"]][1])
        until(lambda: limiter.allow("a", TRACES))
        listener.close()

    def test_a_password_is_read_from_its_file(self, tmp_path):
        if redis_server.BINARY is None:
            pytest.skip("redis-server is not installed")
        secret = tmp_path / "password"
        secret.write_text("hunter2\n")
        running = redis_server.RedisServer(tmp_path, "--requirepass", "hunter2")
        try:
            runtime = Runtime()
            settings = shared(BUDGET, type="redis", url=running.url, password_file=str(secret), fallback="closed")
            config = QuotaConfig.from_mapping(settings)
            limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
            until(lambda: limiter.allow("a", TRACES))
            limiter.close()
        finally:
            running.kill()

    def test_what_cannot_be_read_is_refused_at_the_start(self, tmp_path):
        for name in ("password_file", "ca_file"):
            with pytest.raises(ConfigError) as caught:
                open_store(
                    StoreConfig(type="redis", url="rediss://localhost", **{name: str(tmp_path / "none")}), Runtime()
                )
            assert caught.value.faults[0].pointer == f"/{name}"


def test_a_store_of_an_unknown_type_is_refused():
    with pytest.raises(ConfigError, match="no such store; given 'etcd'; allowed: file, memory, redis"):
        open_store(StoreConfig(type="etcd"), Runtime())
