"""Without a line of code, under `opentelemetry-instrument`: the exporters by name, in the environment or a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from otelwarden.testing import FaultyReceiver

_APPLICATION = """
from opentelemetry import metrics, trace
with trace.get_tracer("app").start_as_current_span("sold"):
    metrics.get_meter("app").create_counter("sales").add(1)
"""


def test_an_application_that_is_instrumented_from_outside_fails_over(
    pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    dead, alive = pair
    dead.kill()
    application = tmp_path / "app.py"
    application.write_text(_APPLICATION)
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, application],
        env={
            "PATH": os.environ["PATH"],
            "OTEL_TRACES_EXPORTER": "failover",
            "OTEL_METRICS_EXPORTER": "failover",
            "OTEL_LOGS_EXPORTER": "failover",
            "OTEL_SERVICE_NAME": "shop",
            "OTELWARDEN_FAILOVER_ENDPOINTS": f"{dead.http_endpoint},{alive.http_endpoint}",
            "OTELWARDEN_FAILOVER_PROTOCOL": "http/protobuf",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (span,) = alive.spans()
    assert (span.name, span.resource["service.name"]) == ("sold", "shop")
    assert "sales" in [point.name for point in alive.metrics()]


_DECLARATION = """
file_format: "1.0"
resource:
  attributes: [{{name: service.name, value: shop}}]
tracer_provider:
  processors:
    - batch: {{exporter: {{failover: {options}}}}}
meter_provider:
  readers:
    - periodic: {{exporter: {{failover: {options}}}}}
logger_provider:
  processors:
    - batch: {{exporter: {{failover: {options}}}}}
"""


def run_declared(tmp_path: Path, options: dict[str, object]) -> subprocess.CompletedProcess[str]:
    declaration, application = tmp_path / "otel.yaml", tmp_path / "app.py"
    declaration.write_text(_DECLARATION.format(options=json.dumps(options)))
    application.write_text(_APPLICATION)
    return subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, application],
        env={"PATH": os.environ["PATH"], "OTEL_CONFIG_FILE": str(declaration)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_declarative_file_of_the_sdk_takes_the_options_of_failover(
    pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    dead, alive = pair
    dead.kill()
    options = {
        "endpoints": [{"url": each.http_endpoint, "protocol": "http/protobuf", "timeout": "5s"} for each in pair],
        "spool": {"path": str(tmp_path / "spool")},
    }
    done = run_declared(tmp_path, options)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    (span,) = alive.spans()
    assert (span.name, span.resource["service.name"]) == ("sold", "shop")
    assert "sales" in [point.name for point in alive.metrics()]
    assert (tmp_path / "spool").is_dir()


def test_what_is_wrong_in_the_declarative_file_is_said(tmp_path: Path) -> None:
    done = run_declared(tmp_path, {"endpoints": ["ftp://nowhere"], "spools": {}})
    assert "2 faults" in done.stderr
    assert "/endpoints/0/url: not a URL to send to" in done.stderr
    assert "/spools: unknown key" in done.stderr
