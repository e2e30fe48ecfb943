"""What the READMEs print is run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otelwarden.pipeline import validate
from otelwarden.testing import FaultyReceiver

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def block(language: str, beginning: str) -> str:
    (found,) = [each for each in blocks(language) if beginning in each]
    return found


@pytest.fixture(scope="module")
def receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as running:
        yield running


def test_the_quick_start(tmp_path: Path, receiver: FaultyReceiver) -> None:
    program = block("python", "# app.py").replace("http://localhost:4317", receiver.grpc_endpoint)
    file = tmp_path / "app.py"
    file.write_text(program, encoding="utf-8")
    run = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "Balance(component='tenancy', signal='traces', tenant='acme', received=1, forwarded=1" in run.stdout
    (span,) = receiver.spans()
    assert span.attributes["tenant.id"] == "acme"
    raw = receiver.raw_bytes()
    assert b"ada@example.com" not in raw
    assert b"4111 1111 1111 1111" not in raw
    assert [record.attributes["tenant.id"] for record in receiver.log_records()] == ["acme"]


def test_the_file_for_an_application(tmp_path: Path) -> None:
    (tmp_path / "otelwarden.yaml").write_text(block("yaml", "yaml-language-server"), encoding="utf-8")
    (tmp_path / "tenants.yaml").write_text(block("yaml", "# tenants.yaml"), encoding="utf-8")
    assert [str(fault) for fault in validate(tmp_path / "otelwarden.yaml", environment={})] == []


def test_the_commands(tmp_path: Path) -> None:
    (tmp_path / "otelwarden.yaml").write_text(block("yaml", "yaml-language-server"), encoding="utf-8")
    (tmp_path / "tenants.yaml").write_text(block("yaml", "# tenants.yaml"), encoding="utf-8")
    (tmp_path / "audit").mkdir()
    (tmp_path / "spool").mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    codes = {}
    for line in block("sh", "otelwarden validate").splitlines():
        run = subprocess.run(
            line, shell=True, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PATH": path}
        )
        codes[" ".join(line.split()[:2])] = run.returncode
    # Nothing has run yet: there is no trail, and nothing is no evidence.
    expected = {"validate": 0, "schema": 0, "audit": 1, "spool": 0, "assess": 1, "report": 0}
    assert codes == {f"otelwarden {command}": code for command, code in expected.items()}
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "otelwarden.schema.json").read_text(encoding="utf-8").startswith("{")


def test_the_pipeline_in_code(receiver: FaultyReceiver) -> None:
    receiver.forget()
    program = block("python", "provider.add_span_processor").replace("http://localhost:4317", receiver.grpc_endpoint)
    setup = """
from opentelemetry.sdk.trace import TracerProvider
from otelwarden.core import FairBatchSpanProcessor
from otelwarden.failover import FailoverSpanExporter
from otelwarden.quota import QuotaConfig, QuotaLimiter, QuotaSpanProcessor, SignalLimits, TenantLimits
from otelwarden.redaction import RedactionSpanExporter
from otelwarden.tenancy import TenantRegistry, TenantSpanProcessor, use_tenant

registry = TenantRegistry()
registry.create("acme", "Acme")
provider = TracerProvider()
"""
    use = """
with use_tenant("acme"):
    provider.get_tracer("t").start_span("work", attributes={"note": "ada@example.com"}).end()
provider.shutdown()
"""
    run = subprocess.run([sys.executable, "-c", setup + program + use], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    (span,) = receiver.spans()
    assert span.attributes["tenant.id"] == "acme"
    assert "ada@example.com" not in span.attributes["note"]


DOCUMENTS = [file for file in ROOT.rglob("*.md") if not {".venv", "node_modules"}.intersection(file.parts)]


@pytest.mark.parametrize("file", sorted(DOCUMENTS), ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), f"{file.name} links to {target}"


def test_the_stage_of_the_architecture_page() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (program,) = blocks("python", text)
    setup = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from otelwarden.core import default_runtime
from otelwarden.testing import RecordingSpanExporter

next_exporter = RecordingSpanExporter()
"""
    use = """
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
for name in ("GET /healthz", "GET /orders"):
    provider.get_tracer("t").start_span(name).end()
print([span.name for span in next_exporter.spans], dict(default_runtime().balances()[0].dropped))
"""
    run = subprocess.run([sys.executable, "-c", setup + program + use], capture_output=True, text=True, timeout=60)
    assert run.stdout == "['GET /orders'] {'health_check': 1}\n", run.stderr
