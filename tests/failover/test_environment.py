"""Without a line of code: the exporters by name, their endpoints by environment, under `opentelemetry-instrument`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from otelwarden.testing import FaultyReceiver

# What opentelemetry-distro registers, and all that it takes: the SDK's own configurator.
_CONFIGURATOR = "[opentelemetry_configurator]\nconfigurator = opentelemetry.sdk._configuration:_OTelSDKConfigurator\n"

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
    info = tmp_path / "configurator-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: configurator\nVersion: 1\n")
    (info / "entry_points.txt").write_text(_CONFIGURATOR)
    application = tmp_path / "app.py"
    application.write_text(_APPLICATION)
    done = subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, application],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
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
