"""Every control, broken by a real setting or a real event, and the questions that must turn red by it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.audit import AuditConfig, AuditSpanExporter, AuditTrail
from otelwarden.compliance import Decision, Status
from otelwarden.core import SYSTEM_CLOCK, Clock, FairBatchSpanProcessor, GovernanceEvent, Runtime, use_tenant
from otelwarden.pipeline import Warden
from otelwarden.testing import FakeClock

from .conftest import ATTESTED, POLICIES

SAMPLE = {
    "sample.personal-data",
    "sample.secrets",
    "sample.payment-cards",
    "sample.preproduction-cards",
    "sample.identifiers",
    "sample.government-ids",
    "sample.special-categories",
    "sample.tenant-tagged",
    "sample.inventory",
}
POLICY = "rules:\n  - id: own\n    match: {{entities: {entities}}}\n    action: {action}\n"


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """What is broken, and what must show it."""

    name: str
    broken: frozenset[str]
    """Ids of the checks that must not hold any more; all others must."""
    setting: Callable[[dict[str, Any]], None] = lambda document: None
    files: Callable[[Path], None] = lambda directory: None
    before: Callable[[Any], None] = lambda service: None
    """Done before the service runs; gets the service."""
    work: Callable[[Warden], None] | None = None
    """Done beside the ordinary work."""
    after: Callable[[Any], None] = lambda service: None
    """Done when the service has run, before it is assessed; gets the service."""
    approved: bool = True
    keys_of: float = 0.0
    """How long ago the keys were replaced, in days."""
    flush: bool = True

    @property
    def rotated(self) -> Clock:
        """What the clock said when the keys were replaced."""
        return FakeClock(time.time_ns() - int(self.keys_of * 86_400e9)) if self.keys_of else SYSTEM_CLOCK


def _all() -> Iterator[Mutation]:
    yield from _settings()
    yield from _declarations()
    yield from _events()
    yield from _samples()
    yield from _people()


def setting(name: str, broken: str, change: Callable[[dict[str, Any]], Any], **more: Any) -> Mutation:
    return Mutation(name=name, broken=frozenset(broken.split()), setting=lambda d: change(d) and None, **more)


def _pipelines(document: dict[str, Any], signal: str, stage: str) -> None:
    document["service"]["pipelines"][signal]["processors"].remove(stage)


def _policy(entities: list[str] | str, action: str, policies: list[str]) -> dict[str, Any]:
    def files(directory: Path) -> None:
        text = POLICY.format(entities=json.dumps(entities), action=action)
        (directory / "own.yaml").write_text(text, encoding="utf-8")

    def change(document: dict[str, Any]) -> None:
        document["processors"]["redaction"]["policies"] = [*policies, "persons.yaml"]

    return {"files": files, "setting": change}


def personal_data_but(*left_out: str) -> list[str]:
    from otelwarden.redaction import catalogue

    return sorted({each.entity for each in catalogue() if each.group == "pii"} - set(left_out))


def _settings() -> Iterator[Mutation]:
    processors, failover = "processors", "failover"
    yield setting("no redaction of logs", "redaction.every-pipeline", lambda d: _pipelines(d, "logs", "redaction"))
    yield setting(
        "no policy for personal data",
        "redaction.personal-data redaction.payment-cards redaction.identifiers",
        lambda d: d[processors]["redaction"].update(policies=["secrets", "persons.yaml"]),
    )
    yield setting(
        "no policy for secrets",
        "redaction.secrets",
        lambda d: d[processors]["redaction"].update(policies=["pii", "persons.yaml"]),
    )
    yield Mutation(
        name="cards left out",
        broken=frozenset({"redaction.personal-data", "redaction.payment-cards"}),
        **_policy(personal_data_but("PAYMENT_CARD"), "{replace: {}}", ["secrets", "own.yaml"]),
    )
    yield Mutation(
        name="addresses left out",
        broken=frozenset({"redaction.personal-data", "redaction.identifiers"}),
        **_policy(personal_data_but("EMAIL"), "{replace: {}}", ["secrets", "own.yaml"]),
    )
    yield Mutation(
        name="too much of a card is kept",
        broken=frozenset({"redaction.card-mask"}),
        **_policy(["PAYMENT_CARD"], "{mask: {keep_last: 8}}", ["pii", "secrets", "own.yaml"]),
    )
    yield setting(
        "redaction fails open", "redaction.fails-closed", lambda d: d[processors]["redaction"].update(on_error="pass")
    )
    yield Mutation(
        name="everything is exempt",
        broken=frozenset({"redaction.no-blanket-exemption"}),
        files=lambda directory: _write(
            directory / "own.yaml",
            "rules:\n  - {id: own, match: {keys: [zzz]}, action: {delete: {}}}\nallow: {keys: ['*']}\n",
        ),
        setting=lambda d: d[processors]["redaction"].update(policies=[*POLICIES, "own.yaml"]),
    )
    yield setting(
        "metrics of nobody",
        "tenancy.every-pipeline sample.tenant-tagged",
        lambda d: _pipelines(d, "metrics", "tenancy"),
    )
    yield setting(
        "unknown tenants pass", "tenancy.unknown-refused", lambda d: d[processors]["tenancy"].update(unknown="pass")
    )
    yield setting(
        "suspended tenants pass",
        "tenancy.inactive-refused",
        lambda d: d[processors]["tenancy"].update(statuses={"suspended": "pass"}),
    )
    yield setting(
        "callers say who they are",
        "tenancy.trusted-sources",
        lambda d: d[processors]["tenancy"].update(sources=["token", "context", "baggage"]),
    )
    yield setting("nobody proves anything", "tenancy.verified", _unproven)
    yield setting(
        "no registered tenants",
        "tenancy.registry",
        lambda d: (d.pop("tenants"), d[processors]["tenancy"].update(unknown="quarantine")),
    )
    yield setting(
        "limits are only observed", "quota.enforced", lambda d: d[processors]["quota"].update(overflow="observe")
    )
    yield setting(
        "everything is exempt from limits",
        "quota.enforced",
        lambda d: d[processors]["quota"].update(exempt={"scopes": ["*"]}),
    )
    yield setting(
        "all of a sample passes",
        "quota.enforced",
        lambda d: d[processors]["quota"].update(overflow="sample", sample_ratio=1),
    )
    yield setting(
        "what is over a limit goes to nobody knows whom",
        "recipients.registered recipients.purposes recipients.agreement recipients.regions transport.authenticated",
        _rerouted_to_strangers,
    )
    yield setting(
        "the store of usage is dead",
        "quota.store errors.none",
        lambda d: d[processors]["quota"].update(store={"type": "redis", "url": "redis://127.0.0.1:1/0"}),
    )
    yield setting("no limit for logs", "quota.limits", lambda d: d[processors]["quota"]["default"].pop("logs"))
    yield setting("logs are not recorded", "audit.every-pipeline", lambda d: _pipelines(d, "logs", "audit"))
    yield setting("the key beside the trail", "audit.key-apart", lambda d: d[processors]["audit"].pop("key_file"))
    yield setting("no witness", "audit.witness trail.witnessed", lambda d: d[processors]["audit"].pop("witness"))
    yield setting(
        "unrecorded telemetry leaves", "audit.fails-closed", lambda d: d[processors]["audit"].update(on_error="pass")
    )
    yield setting("no copy of the records", "audit.copied", lambda d: d[processors]["audit"].pop("logs"))
    yield setting(
        "an archive in clear",
        "archives.encrypted",
        lambda d: d[processors]["redaction"]["archives"]["removed"].update(encrypt=False),
    )
    yield setting(
        "nothing can be erased",
        "redaction.keys-of-persons",
        lambda d: d[processors]["redaction"].update(policies=["pii", "secrets"]),
    )
    yield Mutation(name="keys grow old", broken=frozenset({"keys.replaced"}), keys_of=400.0)
    yield setting(
        "records are dropped too early",
        "retention.trail",
        lambda d: d[processors]["audit"]["retention"].update(quota={"at_least": "30d"}),
    )
    yield setting(
        "records are never dropped",
        "retention.trail-limited",
        lambda d: d[processors]["audit"].pop("retention"),
    )
    yield setting(
        "what must stay and what must go",
        "retention.consistent",
        lambda d: d[processors]["audit"]["retention"].update(quota={"at_least": "2555d", "at_most": "2556d"}),
    )
    yield setting("rarely sealed", "audit.cadence", lambda d: d[processors]["audit"].update(checkpoint_interval="2m"))
    yield setting("an endpoint in clear", "transport.encrypted", _in_clear)
    yield setting("copies of the trail in clear", "transport.encrypted", _copies_in_clear)
    yield setting(
        "an archive with an unknown recipient",
        "recipients.registered recipients.purposes recipients.agreement recipients.regions",
        _archived_abroad,
    )
    yield setting(
        "an anonymous sender",
        "transport.authenticated",
        lambda d: d["exporters"][failover]["endpoints"][0].pop("headers"),
    )
    yield setting("a single endpoint", "transport.alternatives", lambda d: d["exporters"][failover]["endpoints"].pop())
    yield setting("no health checks", "transport.health-checks", lambda d: d["exporters"][failover].pop("health_check"))
    yield setting("no spool", "spool.every-exporter", lambda d: d["exporters"][failover].pop("spool"))
    yield setting("a spool in clear", "spool.encrypted", lambda d: d["exporters"][failover]["spool"].pop("key_file"))
    yield setting(
        "no environment", "service.identified", lambda d: d["service"]["resource"].pop("deployment.environment.name")
    )
    yield setting(
        "logs are not captured", "service.logs-captured", lambda d: d["service"].update(logging_handler=False)
    )
    yield setting("no self-metrics", "service.self-metrics", lambda d: d["service"].update(self_metrics=False))


def _in_clear(document: dict[str, Any]) -> None:
    """0.0.0.0 is the same receiver, by an address that may be that of another host."""
    endpoint = document["exporters"]["failover"]["endpoints"][0]
    endpoint["url"] = endpoint["url"].replace("127.0.0.1", "0.0.0.0").replace("localhost", "0.0.0.0")
    document["compliance"]["recipients"][0]["endpoint"] = endpoint["url"]


def _copies_in_clear(document: dict[str, Any]) -> None:
    """The exporter that no pipeline names, and through which records of the trail leave."""
    endpoint = document["exporters"]["failover/audit"]["endpoints"][0]
    url = endpoint["url"] = endpoint["url"].replace("127.0.0.1", "0.0.0.0").replace("localhost", "0.0.0.0")
    document["compliance"]["recipients"].append({**document["compliance"]["recipients"][0], "endpoint": url})


def _archived_abroad(document: dict[str, Any]) -> None:
    endpoint = {"url": "https://127.0.0.1:1", "headers": {"authorization": "Bearer of-the-test"}, "region": "us"}
    document["exporters"]["failover/vault"] = {"endpoints": [endpoint], "shutdown_patience": 0.1}
    document["processors"]["redaction"]["archives"]["vault"] = {"exporter": "failover/vault"}


def _rerouted_to_strangers(document: dict[str, Any]) -> None:
    document["exporters"]["failover/rest"] = {"endpoints": [{"url": "https://127.0.0.1:1"}], "shutdown_patience": 0.1}
    document["processors"]["quota"].update(overflow="reroute", reroute_exporter="failover/rest")


def _unproven(document: dict[str, Any]) -> None:
    document["processors"]["tenancy"] = {"sources": ["context"]}


def _declarations() -> Iterator[Mutation]:
    def declared(name: str, broken: str, change: Callable[[dict[str, Any]], Any]) -> Mutation:
        return setting(name, broken, lambda d: change(d["compliance"]))

    yield declared(
        "a recipient whom nobody knows",
        "recipients.registered recipients.purposes recipients.agreement",
        lambda c: c["recipients"].pop(),
    )
    yield declared("no purpose", "recipients.purposes", lambda c: c["recipients"][0].pop("purposes"))
    for kind in ("dpa", "baa", "service_provider"):
        yield declared(f"no {kind}", "recipients.agreement", lambda c, k=kind: c["recipients"][0]["agreements"].pop(k))
    yield declared("another region", "recipients.regions", lambda c: c.update(regions=["us"]))
    yield declared("no retention of metrics", "retention.declared", lambda c: c["retention"].pop("metrics"))
    yield declared("the trail is kept too shortly", "retention.trail", lambda c: c["retention"].update(audit="300d"))
    yield declared("waits longer than it is kept", "spool.retention", lambda c: c["retention"].update(traces="1h"))
    yield declared("an inventory of anything", "inventory.declared", lambda c: c.update(inventory=["*"]))
    yield declared("nobody looks", " ".join(("monitoring.continuous", *SAMPLE)), lambda c: c.update(inline="off"))
    yield declared("no sample", " ".join(("monitoring.continuous", *SAMPLE)), lambda c: c.update(sample_items=0))
    yield declared("assessed only by command", "assessment.scheduled", lambda c: c.update(schedule="off"))
    yield declared("assessed weekly", "assessment.scheduled", lambda c: c.update(schedule="weekly"))
    yield declared("no room", "storage.headroom", lambda c: c.update(min_free_bytes="900000TB"))


def _events() -> Iterator[Mutation]:
    yield Mutation(name="a flipped bit", broken=frozenset({"trail.intact"}), after=_flip)
    yield Mutation(
        name="a flood beyond the queue",
        broken=frozenset({"trail.complete", "audit.fails-closed"}),
        setting=lambda d: d["processors"]["audit"].update(max_pending=1, on_error="pass"),
        work=lambda warden: _flood(warden),
    )
    yield Mutation(name="a witness left behind", broken=frozenset({"trail.witnessed"}), after=_unwitnessed)
    yield Mutation(name="sealing stopped", broken=frozenset({"trail.sealed"}), after=_unsealed)
    yield Mutation(
        name="a record without a reason",
        broken=frozenset({"trail.content"}),
        work=lambda warden: warden.runtime.emit("custom", "act", ""),
    )
    yield Mutation(name="the clock went back", broken=frozenset({"trail.clock"}), after=_clock_back)
    yield Mutation(
        name="an address in the trail",
        broken=frozenset({"trail.no-sensitive-data"}),
        work=lambda warden: warden.runtime.emit("custom", "act", "mail of ada@example.com"),
    )
    yield Mutation(name="another configuration in force", broken=frozenset({"trail.configuration"}), after=_drift)
    yield Mutation(name="not approved", broken=frozenset({"changes.approved"}), approved=False)
    yield Mutation(name="refused by the exporter", broken=frozenset({"trail.exports"}), after=_refused)
    yield Mutation(
        name="an endpoint is dead",
        broken=frozenset({"failover.resolved"}),
        setting=_dead_endpoints(1),
        work=lambda warden: _wait_for(warden, "endpoint_unhealthy", 1),
    )
    yield Mutation(
        name="all endpoints are dead",
        broken=frozenset({"failover.resolved", "endpoints.healthy"}),
        setting=_dead_endpoints(2),
        flush=False,
        work=lambda warden: _wait_for(warden, "endpoint_unhealthy", 2),
    )
    yield Mutation(
        name="an item vanishes in a stage",
        broken=frozenset({"accounts.balanced", "trail.complete"}),
        work=lambda warden: warden.runtime.ledger("custom", "traces").account("acme").received.tick() and None,
    )
    yield Mutation(
        name="the queue overflows",
        broken=frozenset({"losses.bounded"}),
        setting=lambda d: d["service"]["pipelines"]["traces"].update(
            batch={"max_queue_size": 1, "max_export_batch_size": 1}
        ),
        work=_burst,
    )
    yield Mutation(
        name="an observer fails",
        broken=frozenset({"errors.none"}),
        work=lambda warden: (warden.runtime.observe(_fails), warden.runtime.emit("custom", "act", "x"))[1],
    )


def _fails(_event: object) -> None:
    raise ValueError("on purpose")


def _samples() -> Iterator[Mutation]:
    """The policy leaves one attribute alone; what is in it leaves."""

    def leak(name: str, broken: str, text: str, **more: Any) -> Mutation:
        def files(directory: Path) -> None:
            rules = "rules:\n  - {id: own, match: {keys: [zzz]}, action: {delete: {}}}\nallow: {keys: [note]}\n"
            _write(directory / "own.yaml", rules)

        def change(document: dict[str, Any]) -> None:
            document["processors"]["redaction"]["policies"] = [*POLICIES, "own.yaml"]
            document["service"]["resource"]["deployment.environment.name"] = more.get("environment", "test")

        return Mutation(
            name=name,
            broken=frozenset(broken.split()),
            files=files,
            setting=change,
            work=lambda warden: _span(warden, note=text),
        )

    yield leak("an address leaves", "sample.personal-data sample.identifiers", "mail of ada@example.com")
    yield leak("a key leaves", "sample.secrets", "key AKIAIOSFODNN7EXAMPLQ used")
    card = "sample.personal-data sample.payment-cards"
    yield leak("a card leaves", f"{card} sample.preproduction-cards", "card 4111 1111 1111 1111")
    yield leak("a card leaves production", card, "card 4111 1111 1111 1111", environment="production")
    yield leak(
        "a social security number leaves",
        "sample.personal-data sample.identifiers sample.government-ids",
        "ssn 536-22-8145",
    )
    yield Mutation(
        name="a religion leaves",
        broken=frozenset({"sample.special-categories"}),
        setting=lambda d: d["compliance"]["inventory"].append("patient.*"),
        work=lambda warden: _span(warden, **{"patient.religion": "pastafarian"}),
    )
    yield Mutation(
        name="an undeclared attribute leaves",
        broken=frozenset({"sample.inventory"}),
        work=lambda warden: _span(warden, surprise="fine"),
    )


def _people() -> Iterator[Mutation]:
    broken_too = {"redaction.fails-closed"}

    def change(document: dict[str, Any]) -> None:
        document["processors"]["redaction"]["on_error"] = "pass"
        document["compliance"]["review_within"] = "1s"

    yield Mutation(
        name="nobody looks at a finding",
        broken=frozenset({"findings.reviewed", *broken_too}),
        setting=change,
        before=lambda service: (service.run(), service.assessor().assess(), time.sleep(1.1))[2],
    )
    yield Mutation(
        name="an exception outlives its time",
        broken=frozenset({"findings.exceptions-current", *broken_too}),
        setting=lambda d: d["processors"]["redaction"].update(on_error="pass"),
        before=_short_exception,
    )
    for control in ATTESTED:
        yield Mutation(
            name=f"{control} is half done",
            broken=frozenset({"attestation.current"}),
            before=lambda service, c=control: service.assessor().set_control(c, "partially", actor="grace") and None,
        )


# --- how it is done


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _span(warden: Warden, **attributes: str) -> None:
    assert warden.tracer_provider is not None
    with use_tenant("acme"), warden.tracer_provider.get_tracer("shop").start_as_current_span("work") as span:
        span.set_attributes(attributes)


def _burst(warden: Warden) -> None:
    assert warden.tracer_provider is not None
    tracer = warden.tracer_provider.get_tracer("shop")
    with use_tenant("acme"):
        for _ in range(400):
            tracer.start_span("burst").end()


def _flood(warden: Warden) -> None:
    warden.force_flush(60)
    for _ in range(500):
        warden.runtime.emit("custom", "act", "flood")
    warden.force_flush(60)


def _wait_for(warden: Warden, action: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while sum(n for d, n in warden.runtime.decisions().items() if d.action == action) < count:
        assert time.monotonic() < deadline, f"no {action}"
        time.sleep(0.01)


def _dead_endpoints(count: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        failover = document["exporters"]["failover"]
        failover["health_check"] = {"type": "tcp", "interval": "50ms", "failure_threshold": 1}
        failover["shutdown_patience"] = 0.1
        for index in range(count):
            endpoint = failover["endpoints"][index]
            # Port 1 of this host: nobody listens there.
            endpoint["url"] = "http://127.0.0.1:1" if index == 0 else "http://127.0.0.1:2"
            document["compliance"]["recipients"][index]["endpoint"] = endpoint["url"]

    return change


def _audit(service: Any, **changes: Any) -> AuditConfig:
    options = {"path": str(service.directory / "audit"), "key_file": str(service.directory / "keys" / "audit.pem")}
    return AuditConfig(**{**options, **changes})


def _flip(service: Any) -> None:
    (segment,) = sorted((service.directory / "audit").glob("2*/records-*"))[-1:]
    data = bytearray(segment.read_bytes())
    at = data.index(b'"reason":"delivered"') + 11
    data[at] ^= 1
    segment.write_bytes(data)


def _unwitnessed(service: Any) -> None:
    runtime = Runtime(clock=FakeClock(time.time_ns() + 3600 * 10**9))
    trail = AuditTrail.from_config(_audit(service), runtime=runtime)
    assert trail.append_sync(GovernanceEvent(runtime.clock.time_ns(), "pipeline", "reload", "ok"))
    assert trail.close()


def _unsealed(service: Any) -> None:
    clock = FakeClock(time.time_ns())
    config = _audit(service, witness=str(service.directory / "elsewhere.txt"))
    trail = AuditTrail.from_config(config, runtime=Runtime(clock=clock))
    for seconds in (0, 60):
        event = GovernanceEvent(clock.time_ns() + seconds * 10**9, "pipeline", "reload", "ok")
        assert trail.append_sync(event)
    service.open_trails.append(trail)  # neither closed nor sealed until the test is over


def _clock_back(service: Any) -> None:
    runtime = Runtime()
    trail = AuditTrail.from_config(_audit(service, witness=str(service.directory / "elsewhere.txt")), runtime=runtime)
    for seconds in (0, -60):
        event = GovernanceEvent(time.time_ns() + seconds * 10**9, "pipeline", "reload", "ok")
        assert trail.append_sync(event)
    assert trail.close()


def _drift(service: Any) -> None:
    """Another configuration runs for a while, approved as well, and this one is written back."""
    mine = dict(service.document)
    service.document = {**mine, "service": {**mine["service"], "logging_level": "debug"}}
    service.assessor().approve(author="ada", approver="grace")
    service.run()
    service.document = mine
    service.write()


class _RefusingExporter(SpanExporter):
    """Takes nothing."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.FAILURE


def _refused(service: Any) -> None:
    runtime = Runtime()
    trail = AuditTrail.from_config(_audit(service, witness=str(service.directory / "elsewhere.txt")), runtime=runtime)
    provider = TracerProvider()
    provider.add_span_processor(
        FairBatchSpanProcessor(AuditSpanExporter(_RefusingExporter(), trail=trail), runtime=runtime)
    )
    provider.get_tracer("x").start_span("x").end()
    provider.shutdown()
    assert trail.close()


def _short_exception(service: Any) -> None:
    service.run()
    assessor = service.assessor()
    assessor.assess()
    (finding,) = [each for each in assessor.store.findings() if each.check == "redaction.fails-closed"]
    an_hour_ago = FakeClock(time.time_ns() - 3600 * 10**9)
    ends = an_hour_ago.time_ns() + 1
    decision = Decision(status=Status.ACCEPTED, actor="ada", approver="grace", reason="for a moment", expires_ns=ends)
    service.assessor(clock=an_hour_ago).decide(finding.fingerprint, decision)


MUTATIONS = tuple(_all())
