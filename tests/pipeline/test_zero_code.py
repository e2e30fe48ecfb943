"""Without a line of code, each in a process of its own: `otelwarden run`, our configurator, exporters by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otelwarden.audit import Status, verify
from otelwarden.cli import main
from otelwarden.core import ConfigError
from otelwarden.pipeline.declared import GovernedSpanExporter
from otelwarden.testing import FaultyReceiver

BIN = Path(sys.executable).parent
CANARY = "canary.person@example.com"
APPLICATION = f"""
import logging, os, sys
from opentelemetry import metrics, trace
with trace.get_tracer("app").start_as_current_span("sold") as span:
    span.set_attribute("user.email", "{CANARY}")
    logging.getLogger("shop").warning("receipt to {CANARY}")
    metrics.get_meter("app").create_counter("sales").add(1, {{"buyer": "{CANARY}"}})
print(sys.argv[1:], os.getcwd())
sys.exit(3)
"""


@pytest.fixture
def receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as running:
        yield running


@pytest.fixture
def application(tmp_path: Path) -> Path:
    file = tmp_path / "app.py"
    file.write_text(APPLICATION, encoding="utf-8")
    return file


def config_file(directory: Path, receiver: FaultyReceiver) -> Path:
    pipeline = {"processors": ["tenancy", "quota", "redaction", "audit"], "exporters": ["failover"]}
    document = {
        "processors": {
            "tenancy": {"default_tenant": "acme", "unknown": "pass"},
            "quota": {},
            "redaction": {},
            "audit": {"path": "audit"},
        },
        "exporters": {"failover": {"endpoints": [{"url": receiver.grpc_endpoint}]}},
        "service": {
            "resource": {"service.name": "shop"},
            "pipelines": dict.fromkeys(("traces", "logs", "metrics"), pipeline),
        },
    }
    file = directory / "otelwarden.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def start(
    *command: str | Path, directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.fspath(word) for word in command],
        env={"PATH": f"{BIN}:{os.environ['PATH']}", **(environment or {})},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_otelwarden_run_governs_an_application_that_knows_nothing_of_it(
    receiver: FaultyReceiver, application: Path, tmp_path: Path
) -> None:
    config_file(tmp_path, receiver)
    done = start("otelwarden", "run", "--", "python", application, "--colour", "-c", "red", directory=tmp_path)
    assert (done.returncode, done.stdout) == (3, f"['--colour', '-c', 'red'] {tmp_path}\n"), done.stderr
    (span,) = receiver.spans()
    assert (span.name, span.resource["service.name"]) == ("sold", "shop")
    assert span.attributes["tenant.id"] == "acme"
    # One, although the instrumentation of logging has a handler too.
    (log,) = receiver.log_records()
    assert log.attributes["tenant.id"] == "acme"
    assert "sales" in [point.name for point in receiver.metrics()]
    assert CANARY.encode() not in receiver.raw_bytes()
    assert verify(tmp_path / "audit").status is Status.OK


def test_nothing_is_started_with_a_configuration_that_has_faults(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("service: {pipelines: {traces: {exporters: [failover]}}}\ncolour: red\n", encoding="utf-8")
    done = start("otelwarden", "run", "-c", file, "nothing-of-this-name", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "/colour: unknown key" in done.stderr
    assert "no such command; given 'nothing-of-this-name'" in done.stderr


def test_run_without_a_command_or_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OTELWARDEN_CONFIG", raising=False)
    assert main(["run"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'otelwarden.yaml'}:/: cannot be read" in said
    assert "no command to run" in said


@pytest.mark.parametrize(
    ("environment", "config"),
    [
        pytest.param({}, True, id="a configuration without our name"),
        pytest.param({"OTEL_PYTHON_CONFIGURATOR": "otelwarden"}, False, id="our name without a configuration"),
    ],
)
def test_the_standard_configurator_works_as_if_we_were_not_installed(
    environment: dict[str, str], config: bool, receiver: FaultyReceiver, application: Path, tmp_path: Path
) -> None:
    file = config_file(tmp_path, receiver)
    console = {f"OTEL_{signal}_EXPORTER": "console" for signal in ("TRACES", "METRICS", "LOGS")}
    environment = environment | console | ({"OTELWARDEN_CONFIG": str(file)} if config else {})
    done = start("opentelemetry-instrument", "python", application, directory=tmp_path, environment=environment)
    assert done.returncode == 3, done.stderr
    assert '"name": "sold"' in done.stdout
    assert CANARY in done.stdout
    assert not (tmp_path / "audit").exists()
    assert not receiver.spans()


def test_the_configurator_needs_no_command_of_ours(receiver: FaultyReceiver, application: Path, tmp_path: Path) -> None:
    environment = {
        "OTEL_PYTHON_CONFIGURATOR": "otelwarden",
        "OTELWARDEN_CONFIG": config_file(tmp_path, receiver).name,
    }
    done = start("opentelemetry-instrument", "python", application, directory=tmp_path, environment=environment)
    assert done.returncode == 3, done.stderr
    (span,) = receiver.spans()
    assert span.attributes["tenant.id"] == "acme"
    assert CANARY.encode() not in receiver.raw_bytes()


DECLARATION = """
file_format: "1.0"
resource:
  attributes: [{{name: service.name, value: shop}}]
tracer_provider:
  processors:
    - batch: {{exporter: {{otelwarden: {options}}}}}
meter_provider:
  readers:
    - periodic: {{exporter: {{otelwarden: {options}}}}}
logger_provider:
  processors:
    - batch: {{exporter: {{otelwarden: {options}}}}}
"""


def test_the_exporter_in_the_declarative_file_redacts_and_records_before_failover(
    receiver: FaultyReceiver, application: Path, tmp_path: Path
) -> None:
    options = {
        "redaction": {"policies": ["pii"]},
        "audit": {"path": "audit"},
        "failover": {"endpoints": [{"url": receiver.grpc_endpoint}]},
    }
    (tmp_path / "otel.yaml").write_text(DECLARATION.format(options=json.dumps(options)), encoding="utf-8")
    environment = {"OTEL_CONFIG_FILE": "otel.yaml"}
    done = start("opentelemetry-instrument", "python", application, directory=tmp_path, environment=environment)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    (span,) = receiver.spans()
    assert (span.name, span.resource["service.name"]) == ("sold", "shop")
    (log,) = receiver.log_records()
    assert log.body == "receipt to [REDACTED]"
    (sales,) = [point for point in receiver.metrics() if point.name == "sales"]
    assert CANARY not in str(sales.attributes)
    assert CANARY.encode() not in receiver.raw_bytes()
    report = verify(tmp_path / "audit")
    assert report.status is Status.OK
    assert len(report.streams) == 1  # of all three signals


def test_the_exporter_by_environment_redacts_and_sends_to_the_standard_endpoint(
    receiver: FaultyReceiver, application: Path, tmp_path: Path
) -> None:
    environment = {f"OTEL_{signal}_EXPORTER": "otelwarden" for signal in ("TRACES", "METRICS", "LOGS")}
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.grpc_endpoint
    done = start("opentelemetry-instrument", "python", application, directory=tmp_path, environment=environment)
    assert done.returncode == 3, done.stderr
    assert [span.name for span in receiver.spans()] == ["sold"]
    assert "sales" in [point.name for point in receiver.metrics()]
    assert CANARY.encode() not in receiver.raw_bytes()


def test_what_is_wrong_with_the_options_of_the_exporter_is_said_at_their_place() -> None:
    with pytest.raises(ConfigError) as caught:
        GovernedSpanExporter(redaction={"policies": []}, failover={"endpoints": 3}, spool={})
    assert {fault.pointer for fault in caught.value.faults} == {
        "/spool",
        "/redaction/policies",
        "/failover/endpoints",
    }


def test_exporters_of_equal_options_share_a_trail_until_the_last_is_shut_down(
    receiver: FaultyReceiver, tmp_path: Path
) -> None:
    options = {"audit": {"path": str(tmp_path / "audit")}, "failover": {"endpoints": [{"url": receiver.grpc_endpoint}]}}
    one, other = GovernedSpanExporter(**options), GovernedSpanExporter(**options)
    one.shutdown()
    one.shutdown()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(other))
    provider.get_tracer("test").start_span("late").end()
    assert provider.force_flush()
    provider.shutdown()
    assert [span.name for span in receiver.spans()] == ["late"]
    report = verify(tmp_path / "audit")
    assert (report.status, len(report.streams)) == (Status.OK, 1)
