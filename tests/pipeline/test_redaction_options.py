"""Options of redaction through `configure()`: keys, keys of persons, archives and policy files that change."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from otelwarden.pipeline import configure
from otelwarden.redaction import FileKeyRing, Keys, Revelation, SubjectKeyDirectory
from otelwarden.testing import FaultyReceiver

MAIL = "jane@example.com"
ENCRYPT = """
rules:
  - {id: keep, match: {entities: [EMAIL]}, action: {archive: {to: vault}}}
  - {id: file, match: {entities: [EMAIL]}, action: {archive: {to: file}}}
  - {id: hide, match: {entities: [EMAIL]}, action: {encrypt: {per_subject: true}}}
"""
REPLACE = "rules: [{id: hide, match: {entities: [EMAIL]}, action: {replace: {text: GONE}}}]"


def document(usual: FaultyReceiver, vault: FaultyReceiver) -> dict[str, Any]:
    pipeline = {"processors": ["redaction"], "exporters": ["failover"]}
    return {
        "processors": {
            "redaction": {
                "policies": ["own.yaml"],
                "key_file": "keys",
                "subjects": {"path": "persons"},
                "archives": {"vault": {"exporter": "failover/vault"}, "file": {"path": "archive"}},
            }
        },
        "exporters": {
            "failover": {"endpoints": [{"url": usual.grpc_endpoint}]},
            "failover/vault": {"endpoints": [{"url": vault.grpc_endpoint}]},
        },
        "service": {
            "logging_handler": False,
            "self_metrics": False,
            "pipelines": {"traces": dict(pipeline), "metrics": {**pipeline, "interval": "1h"}},
        },
    }


def test_keys_archives_and_files_that_change(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(ENCRYPT)
    Path("keys").write_text(f"k1 {base64.b64encode(bytes(range(32))).decode()}\n")
    Path("keys").chmod(0o600)
    with FaultyReceiver() as usual, FaultyReceiver() as vault:
        warden = configure(document(usual, vault), set_global=False)
        try:
            tracer = warden.tracer_provider.get_tracer("t")  # type: ignore[union-attr]
            tracer.start_span("x", attributes={"user.id": "u-17", "to": MAIL}).end()
            warden.meter_provider.get_meter("m").create_counter("c").add(1, {"to": MAIL})  # type: ignore[union-attr]
            assert warden.force_flush(60)
            ring = FileKeyRing("keys")
            keys = Keys(ring, SubjectKeyDirectory("persons", ring=ring))
            (span,) = usual.spans()
            token = str(span.attributes["to"])
            assert token.startswith("encs.")
            assert Revelation(keys).text(token) == MAIL
            assert MAIL.encode() not in usual.raw_bytes()
            assert vault.raw_bytes().count(MAIL.encode()) == 2
            (archived,) = Path("archive").iterdir()
            lines = Revelation(keys).text(archived.read_text()).splitlines()
            assert [MAIL in line for line in lines] == [True, True]
            assert MAIL not in archived.read_text()

            Path("draft").write_text(REPLACE)
            Path("draft").replace("own.yaml")
            until = time.monotonic() + 10
            while "GONE" not in (texts := [str(each.attributes.get("to")) for each in usual.spans()]):
                assert time.monotonic() < until, texts
                tracer.start_span("x", attributes={"to": MAIL}).end()
                assert warden.force_flush(60)
            assert warden.stats().unaccounted == 0
        finally:
            warden.shutdown(60)
