"""Several real processes keep one limit, over a file and over a real Redis."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from otelwarden.core import TRACES, ConfigError, Runtime
from otelwarden.quota import QuotaConfig, QuotaLimiter, StoreConfig, open_store, read_usage
from otelwarden.quota.redislink import RedisLink


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
    processes = workers.Workers(settings, rates, 120, quiet=quiet)
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


class Authority:
    """Issues certificates for a test."""

    def __init__(self, name):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._own = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))

    def _sign(self, name, key, *extensions):
        now = datetime.now(timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def certificate(self):
        return self._own.public_bytes(serialization.Encoding.PEM)

    def leaf(self, name):
        """Certificate and key of a server at an address, or of a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ip_address(name))] if name[0].isdigit() else [x509.DNSName(name)]
        own = self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, x509.SubjectAlternativeName(names)
        )
        text = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, *text) + own.public_bytes(serialization.Encoding.PEM)


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture(params=["file", "redis"])
def store_of_many(request, file_store):
    if request.param == "file":
        return file_store
    return {"type": "redis", "url": request.getfixturevalue("server").url, "fallback": "closed", "timeout": "10s"}


def test_killed_workers_strand_at_most_a_hundredth(store_of_many, tmp_path):
    settings = shared({"default": {"traces": {"budget": {"items": "3000/month"}}}}, **store_of_many)
    processes = workers.Workers(settings, [1000, 1000], 600, tmp_path)
    processes.begin()
    until(lambda: processes.journalled() > 1000)
    processes.kill()
    left = 3000 - processes.journalled()
    runtime = Runtime()
    config = QuotaConfig.from_mapping(settings)
    limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
    passed = 0
    deadline = time.monotonic() + 120
    while passed < left - 30 and time.monotonic() < deadline:
        passed += sum(limiter.allow("acme", TRACES) for _ in range(50))
        time.sleep(0.002)
    passed += sum(limiter.allow("acme", TRACES) for _ in range(1000))
    limiter.close()
    assert left - 30 <= passed <= left


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
        # A call that a busy machine makes late would lose what it was granted.
        settings = shared(BUDGET, type="redis", url=server.url, fallback="closed", timeout="10s")
        assert workers.passed(run_dry(settings, [5000, 5000, 5000], 1.5)) == 10_000

    def test_a_fleet_keeps_one_rate_and_shares_it_equally(self, server):
        settings = shared(RATE, type="redis", url=server.url, timeout="10s")
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
        passed, offered, refusals, waits = 0, 0, set(), []
        began = last = time.monotonic()
        usable = 0.0  # a share that nobody asks for longer than its burst lasts is lost
        # A lease of a rate is valid for 3 s: what holds must hold beyond that.
        seconds = 3.6 if (fault, fallback) == ("kill", "fair") else 1.0
        while (now := time.monotonic()) - began < seconds:
            usable, last = usable + min(now - last, 0.2), now
            for _ in range(int((now - began) * 4000) - offered):
                started = time.monotonic()
                refusal = limiter.refusal("a", TRACES)
                waits.append(time.monotonic() - started)
                offered, passed = offered + 1, passed + (refusal is None)
                refusals.add(refusal)
            time.sleep(0.002)
        ideal = {"fair": 2000.0 * usable, "open": offered, "closed": 0}[fallback]
        limit = {"fair": 2000.0 * (now - began), "open": offered, "closed": 0}[fallback]
        room = {"fair": 400, "closed": 240, "open": 0}[fallback]  # what was at hand at the beginning
        assert least * ideal <= passed <= most * limit + room
        assert refusals <= {None, "store_down"}
        # One that asked the server would wait for the timeout of 100 ms, however fast the machine is.
        assert sorted(waits)[len(waits) * 9 // 10] < 0.05
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

    def test_overdrawing_gains_nobody_a_larger_share(self, server):
        """By the script itself, as several processes would call it, half of which overdraw what there is to spare."""
        link = RedisLink(StoreConfig(type="redis", url=server.url, timeout=10.0))
        rate, burst, per_second = 10_000.0, 1_000, 5_000.0
        passed, spare = [0] * 4, [0] * 4
        began = time.monotonic()
        while time.monotonic() - began < 1.2 or min(passed) < 500:
            for number in range(4):
                spent = spare[number] if number % 2 else 0
                arguments = ["r", rate, burst, spent, 0, 300, 0, per_second, 0, 1000]
                _, ((granted, level, *_),) = link.call(
                    ["otelwarden:v1:traces:items:rate:a"], [f"process {number}", 4_000_000, *arguments]
                )
                passed[number] += granted + spent
                spare[number] = max(0, level // 8)
            time.sleep(0.005)
        link.close()
        assert max(passed) <= 1.15 * min(passed)

    def test_it_is_asked_over_tls_and_by_name(self, tmp_path, limiter_over):
        """The server shows a certificate and asks for one; one that another authority vouches for is not asked."""
        authority, stranger = Authority("ours"), Authority("another")
        files = {}
        for name, content in {
            "ca": authority.certificate(),
            "stranger": stranger.certificate(),
            "server": authority.leaf("127.0.0.1"),
            "client": authority.leaf("client"),
        }.items():
            files[name] = str(tmp_path / f"{name}.pem")
            Path(files[name]).write_bytes(content)
        options = ["--tls-cert-file", files["server"], "--tls-key-file", files["server"]]
        running = redis_server.RedisServer(tmp_path, *options, "--tls-ca-cert-file", files["ca"], tls=True)
        try:
            ours = {"url": running.url, "ca_file": files["ca"], "fallback": "closed", "timeout": "10s"}
            limiter, runtime = limiter_over(BUDGET, **ours, cert_file=files["client"])
            until(lambda: limiter.allow("a", TRACES))
            assert not runtime.error_counts().get("quota")
            for wrong in ({"cert_file": files["client"], "ca_file": files["stranger"]}, {}):
                limiter, runtime = limiter_over(BUDGET, **{**ours, **wrong})
                until(lambda: [limiter.allow("a", TRACES), runtime.error_counts().get("quota")][1])  # noqa: B023
                assert not limiter.allow("a", TRACES)
        finally:
            running.kill()

    def test_another_users_key_ends_in_the_fallback(self, server, limiter_over):
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            other.sendall(b"SET otelwarden:v1:traces:items:rate:a text\r\n")
            assert other.recv(64).startswith(b"+OK")
        limiter, runtime = limiter_over()
        until(lambda: [limiter.allow("a", TRACES), runtime.error_counts()["quota"]][1])
        assert set(runtime.error_counts()["quota"]) == {"lease:ForeignKeyError"}
        until(lambda: limiter.allow("a", TRACES))

    @pytest.mark.parametrize(
        "fields",
        [
            ["l", "text", "t", "more", "u", "many", "p:x", "a|b|c|d"],
            ["l", "nan", "t", "inf", "u", "-inf", "p:x", "nan|inf|1|1", "p:y", "1|1"],
            ["l", "5", "u", "1e300", "count", "7", "held", "9", "others", "1", "demands", "x", "gone", "y"],
        ],
        ids=["text", "no_numbers", "our_own_names"],
    )
    def test_nonsense_under_its_keys_stops_no_limit(self, server, limiter_over, fields):
        client = redis.Redis(port=server.port)
        limits = {"default": {"traces": {"rate": 1000, "budget": {"items": "100000/month"}}}}
        limiter, runtime = limiter_over(limits, fallback="closed", timeout="10s")
        until(lambda: limiter.allow("a", TRACES) and client.keys("otelwarden:*@*"))
        for key in client.keys("otelwarden:*:a*"):
            client.hset(key, mapping=dict(zip(fields[::2], fields[1::2], strict=True)))
        passed = 0
        deadline = time.monotonic() + 120
        while passed < 300 and time.monotonic() < deadline:
            passed += limiter.allow("a", TRACES) + limiter.allow("b", TRACES)
            time.sleep(0.001)
        assert passed >= 300
        assert not runtime.error_counts().get("quota")

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
