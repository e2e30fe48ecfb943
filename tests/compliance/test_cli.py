"""The commands, as people and scripts use them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from otelwarden.audit import read_records
from otelwarden.cli import main

from .conftest import ATTESTED, Service


@pytest.fixture
def ran(service: Service) -> Service:
    """A service with one thing wrong, that has run."""
    service.document["processors"]["redaction"]["on_error"] = "pass"
    service.run()
    return service


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_from_an_approval_to_a_clean_assessment(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    file = service.write()
    service.rotate_keys()
    assert call(capsys, "approve", file, "--author", "ada", "--by", "grace", "--reference", "CHG-7")[0] == 0
    for control in ATTESTED:
        assert (
            call(capsys, "controls", "set", file, control, "verified", "--evidence", "minutes", "--by", "grace")[0] == 0
        )
    service.run()
    code, out, _ = call(capsys, "assess", file, "--fail-on", "fail")
    assert code == 0, out  # the first one lacks the evidence of one before it
    code, out, err = call(capsys, "assess", file, "--by", "user:ada")
    assert (code, err) == (0, ""), out
    assert "pci-dss-4.0.1" in out and "100 %" in out
    assert f"{file}: pass" in out
    code, out, _ = call(capsys, "controls", "ls", file)
    assert code == 0 and "restore-drill" in out and "user:grace" not in out and "grace" in out
    told = [
        (r["action"], r["actor"]) for r in read_records(service.directory / "audit") if r["component"] == "compliance"
    ]
    assert ("config_approved", "user:grace") in told
    assert ("control_status", "user:grace") in told
    assert ("assessment_made", "user:ada") in told


def test_exit_codes_and_json(ran: Service, capsys: pytest.CaptureFixture[str]) -> None:
    file = ran.file
    code, out, _ = call(capsys, "assess", file, "--framework", "gdpr", "--framework", "sox", "--json")
    assert code == 1
    document = json.loads(out)
    assert [each["id"] for each in document["frameworks"]] == ["gdpr", "sox"]
    check = document["checks"]["redaction.fails-closed"]
    assert (check["result"], check["pointer"]) == ("fail", "/processors/redaction/on_error")
    code, _, err = call(capsys, "assess", file, "--framework", "iso-9001")
    assert code == 2 and "iso-9001 is not configured" in err
    del ran.document["compliance"]
    code, _, err = call(capsys, "assess", ran.write())
    assert code == 2 and "a section `compliance`" in err
    code, _, err = call(capsys, "assess", ran.directory / "nowhere.yaml")
    assert code == 2 and "cannot be read" in err


def test_findings_from_the_list_to_an_exception(ran: Service, capsys: pytest.CaptureFixture[str]) -> None:
    file = ran.file
    assert call(capsys, "assess", file)[0] == 1
    code, out, _ = call(capsys, "findings", "ls", file, "--json")
    (finding,) = [each for each in json.loads(out) if each["check"] == "redaction.fails-closed"]
    name = finding["fingerprint"][:8]
    code, out, _ = call(capsys, "findings", "ls", file)
    assert code == 0 and name in out and "what redaction fails on leaves unredacted" in out
    assert (
        call(capsys, "findings", "ack", file, name, "--by", "ada")[1]
        == f"{finding['fingerprint']}: open -> acknowledged\n"
    )
    code, _, err = call(capsys, "findings", "ack", file, name)
    assert code == 2 and "acknowledged cannot become acknowledged" in err
    words = ("--reason", "until the release", "--approver", "grace", "--expires", "30d", "--by", "ada")
    assert call(capsys, "findings", "accept", file, name, *words)[0] == 0
    code, out, _ = call(capsys, "findings", "show", file, name)
    assert code == 0
    for text in ("until the release; grace answers for it until", "acknowledged -> accepted", "processors / redaction"):
        assert text in out
    code, _, err = call(capsys, "findings", "accept", file, name, *words)
    assert code == 2
    assert call(capsys, "findings", "reopen", file, name)[0] == 0
    code, _, err = call(capsys, "findings", "suppress", file, name, *words[:4], "--expires", "900d")
    assert code == 2 and "at most a year ahead" in err
    code, out, _ = call(capsys, "findings", "ls", file, "--status", "accepted")
    assert out == "nothing is open\n"
    code, _, err = call(capsys, "findings", "show", file, "ffff0000")
    assert code == 2


@pytest.mark.parametrize("form", ["html", "md", "json", "oscal"])
def test_reports(ran: Service, capsys: pytest.CaptureFixture[str], form: str) -> None:
    code, _, err = call(capsys, "report", ran.file, "--format", form)
    assert code == 2 and "otelwarden assess CONFIG makes one" in err
    call(capsys, "assess", ran.file)
    target = ran.directory / f"report.{form}"
    assert call(capsys, "report", ran.file, "--format", form, "-o", target) == (0, f"{target}\n", "")
    assert target.read_text() == call(capsys, "report", ran.file, "--format", form)[1]
    code, _, err = call(capsys, "report", ran.file, "-o", ran.directory / "no" / "where")
    assert code == 2 and "cannot be written" in err


def test_colours_for_a_terminal_alone(ran: Service, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = pty.openpty()
    script = "import sys; from otelwarden.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "assess", str(ran.file)]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": ""}
    done = subprocess.Popen(words, stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that nobody writes any more
        pass
    assert done.wait(120) == 1
    assert b"\x1b[31m" in shown and "█".encode() in shown
    code, plain, _ = call(capsys, "assess", ran.file)
    assert code == 1 and plain and "\x1b[" not in plain


def test_a_trail_that_cannot_be_written_is_said(ran: Service, capsys: pytest.CaptureFixture[str]) -> None:
    (ran.directory / "keys" / "audit.pem").unlink()
    code, _, err = call(capsys, "controls", "set", ran.file, "erasure", "partially")
    assert code == 0
    assert "could not be written into the audit trail" in err
