"""A service in which every requirement that a machine can judge is met, run for real; tests break one thing of it."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from otelwarden.audit import AuditTrail, SigningKey
from otelwarden.compliance import Assessment, Assessor, Result
from otelwarden.core import SYSTEM_CLOCK, Clock, Runtime, use_tenant
from otelwarden.pipeline import Warden, configure, load_settings
from otelwarden.pipeline.compliance import open_assessor
from otelwarden.pipeline.handler import WardenHandler
from otelwarden.redaction import FileKeyRing
from otelwarden.testing import FaultyReceiver

POLICIES = ("pii", "secrets", "persons.yaml")
STAGES = ["tenancy", "quota", "redaction", "audit"]
ATTESTED = (
    "access-review",
    "activity-review",
    "data-subject-requests",
    "erasure",
    "incident-response",
    "key-management",
    "restore-drill",
)
CARD = "4111 1111 1111 1111"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where there is a file system for that: nothing here is about what survives a crash of the machine, and
    waiting for the disk is most of what trail, spool and findings do."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    where = memory if usable else None
    # A thread of a test that has ended may be writing its last findings while the directory goes.
    with TemporaryDirectory(prefix="otelwarden-", dir=where, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as running:
        yield running


def document(receiver: FaultyReceiver) -> dict[str, Any]:
    """The configuration of a service that does everything right; paths are relative to its file."""
    pipeline = {"processors": list(STAGES), "exporters": ["failover"]}
    own = receiver.grpc_endpoint.replace("127.0.0.1", "localhost")  # the same, as far as nobody looks closely
    endpoint = {"headers": {"authorization": "Bearer of-the-test"}, "region": "eu"}
    return {
        "tenants": "tenants.yaml",
        "processors": {
            "tenancy": {
                "sources": ["token", "context"],
                "token": {
                    "algorithms": ["HS256"],
                    "issuer": "https://issuer.example",
                    "audience": "shop",
                    "secret_file": "keys/token.secret",
                },
            },
            "quota": {"default": {"traces": {"rate": "500/s"}, "logs": {"rate": "500/s"}}},
            "redaction": {
                "policies": list(POLICIES),
                "key_file": "keys/redaction.keys",
                "subjects": {"path": "persons"},
                "archives": {"removed": {"path": "archive"}},
            },
            "audit": {
                "path": "audit",
                "key_file": "keys/audit.pem",
                "witness": "elsewhere.txt",
                "on_error": "drop",
                "coalesce_window": "50ms",
                "logs": {"exporter": "failover/audit"},
                "retention": {"default": {"at_least": "2560d"}},
            },
        },
        "exporters": {
            "failover": {
                "endpoints": [
                    {"url": receiver.grpc_endpoint, **endpoint},
                    {"url": receiver.http_endpoint, "protocol": "http/protobuf", **endpoint},
                ],
                "health_check": {"type": "tcp"},
                "spool": {"path": "spool", "key_file": "keys/spool.key", "max_age": "1d"},
            },
            "failover/audit": {"endpoints": [{"url": own, **endpoint}]},
        },
        "compliance": {
            "path": "compliance",
            "schedule": "daily",
            "recipients": [
                {
                    "endpoint": endpoint_url,
                    "name": "The receiver of the test",
                    "purposes": ["operations"],
                    "agreements": {"dpa": "DPA-1", "baa": "BAA-1", "service_provider": "SP-1"},
                }
                for endpoint_url in (receiver.grpc_endpoint, receiver.http_endpoint, own)
            ],
            "regions": ["eu"],
            "retention": {"traces": "30d", "logs": "30d", "metrics": "400d", "audit": "2560d"},
            "inventory": ["tenant.*", "http.*", "note", "code.*", "otel.*", "otelwarden.*", "error.*"],
            "min_free_bytes": "1MiB",
        },
        "service": {
            "resource": {"service.name": "shop", "deployment.environment.name": "test"},
            "pipelines": {
                "traces": copy.deepcopy(pipeline),
                "logs": copy.deepcopy(pipeline),
                "metrics": {**copy.deepcopy(pipeline), "interval": "1h"},
            },
        },
    }


PERSONS = """
rules:
  - {id: person, match: {keys: [customer.note]}, action: {encrypt: {per_subject: true}}}
  - {id: keep, match: {entities: [EMAIL]}, action: {archive: {to: removed}}}
"""
TENANTS = "tenants:\n  - {id: acme, name: Acme}\n  - {id: globex, name: Globex}\n"


@dataclass
class Service:
    """A service in a directory of its own."""

    directory: Path
    document: dict[str, Any]
    work: Callable[[Warden], None] = field(default=lambda warden: ordinary_work(warden))
    flush: bool = True
    open_trails: list[AuditTrail] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / "otelwarden.yaml"

    def write(self) -> Path:
        """Writes the configuration and what it names."""
        (self.directory / "tenants.yaml").write_text(TENANTS, encoding="utf-8")
        keys = self.directory / "keys"
        if not keys.exists():
            keys.mkdir(mode=0o700)
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (keys / "audit.pem").write_bytes(pem)
            (keys / "spool.key").write_bytes(base64.b64encode(os.urandom(32)))
            (keys / "token.secret").write_text(os.urandom(32).hex(), encoding="utf-8")
            self.write_keys("first")
        (self.directory / "persons.yaml").write_text(PERSONS, encoding="utf-8")
        self.file.write_text(json.dumps(self.document), encoding="utf-8")
        return self.file

    def write_keys(self, *names: str) -> Path:
        """Writes the keys of redaction, the current one last."""
        file = self.directory / "keys" / "redaction.keys"
        lines = [f"{name} {base64.b64encode(name.encode().ljust(32)).decode()}\n" for name in names]
        draft = file.with_suffix(".new")
        draft.write_text("".join(lines), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(file)
        return file

    def rotate_keys(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Replaces the key that signs the trail, and that of redaction, as a person would."""
        keys, runtime = self.directory / "keys", Runtime(clock=clock)
        trail = AuditTrail(
            self.directory / "audit",
            key=SigningKey.load(keys / "audit.pem"),
            witness=self.directory / "elsewhere.txt",
            sync_timeout=60.0,
            runtime=runtime,
        )
        runtime.observe(trail)
        ring = FileKeyRing(keys / "redaction.keys", runtime=runtime)
        self.write_keys("first", "second")
        assert ring.reload()
        new = SigningKey.generate()
        assert trail.rotate_key(new, actor="user:grace")
        assert trail.close()
        (keys / "audit.pem").write_bytes(new.to_pem())

    def start(self) -> Warden:
        return configure(self.write(), set_global=False)

    def run(self) -> None:
        """Starts it, lets it work, and ends it."""
        warden = self.start()
        try:
            self.work(warden)
            if self.flush:
                warden.force_flush(60)
        finally:
            warden.shutdown(60)

    def assessor(self, *, clock: Any = None) -> Assessor:
        """An assessor from outside, as the command has it."""
        settings = load_settings(self.write())
        assert settings.compliance is not None
        runtime = Runtime() if clock is None else Runtime(clock=clock)
        return open_assessor(settings, settings.compliance, runtime=runtime)

    def prepare(self, *, approved: bool = True, rotated: Clock | None = SYSTEM_CLOCK) -> Assessor:
        """What people do before: new keys, at some time, an approval, and their word for controls."""
        assessor = self.assessor()
        if rotated is not None:
            self.rotate_keys(clock=rotated)
        if approved:
            assessor.approve(author="ada", approver="grace", reference="CHG-1")
        for control in ATTESTED:
            assessor.set_control(control, "verified", evidence="minutes of the meeting", actor="grace")
        return assessor

    def assess(self) -> Assessment:
        """Runs it, and judges it."""
        assessor = self.prepare()
        self.run()
        if not assessor.store.history().assessed_ns:
            assessor.assess()
        return assessor.assess()


def ordinary_work(warden: Warden) -> None:
    """What an application does; nothing in it is sensitive."""
    logger = logging.getLogger("test.compliance")
    for tenant in ("acme", "globex"):
        with use_tenant(tenant):
            if warden.tracer_provider is not None:
                with warden.tracer_provider.get_tracer("shop").start_as_current_span("checkout") as span:
                    span.set_attribute("http.route", "/checkout")
            if warden.logger_provider is not None:
                log(warden, logger, "order placed")
            if warden.meter_provider is not None:
                warden.meter_provider.get_meter("shop").create_counter("orders").add(1, {"http.route": "/checkout"})


def log(warden: Warden, logger: logging.Logger, text: str, **extra: Any) -> None:
    """Logs a line into the pipelines of this service, and no others."""
    assert warden.logger_provider is not None
    handler = WardenHandler(warden.logger_provider, level=logging.INFO, errors=warden.runtime.errors("test"))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.info(text, extra=extra)
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def service(tmp_path: Path, receiver: FaultyReceiver) -> Iterator[Service]:
    receiver.clear_fault()
    made = Service(tmp_path, document(receiver))
    yield made
    for trail in made.open_trails:
        trail.close()
    receiver.clear_fault()


def results(assessment: Assessment) -> Mapping[str, Result]:
    """The result of each question."""
    return {key: run.outcome.result for key, run in assessment.runs.items()}


def requirements(assessment: Assessment) -> Mapping[str, Result]:
    """The result of each requirement that a machine can judge."""
    return {
        f"{framework.framework.id}/{each.requirement.id}": each.result
        for framework in assessment.frameworks
        for each in framework.requirements
        if not each.requirement.manual
    }
