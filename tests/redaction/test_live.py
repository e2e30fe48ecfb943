"""Policies that follow their files, while the pipeline runs."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import ConfigError, Runtime, state_of
from otelwarden.redaction import LivePolicy, RedactionConfig, RedactionPolicy, RedactionSpanExporter
from otelwarden.redaction.live import follow_looking
from otelwarden.redaction.spans import SpanRedaction
from otelwarden.redaction.stage import DEFAULT_OPTIONS

RULE = "rules: [{id: mail, match: {entities: [EMAIL]}, action: {replace: {text: %s}}}]"


def write(path: Path, text: str) -> None:
    """Replaces a file in one step, as editors and deployments do."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def pipeline(path: Path, runtime: Runtime) -> tuple[TracerProvider, InMemorySpanExporter, LivePolicy]:
    memory, provider = InMemorySpanExporter(), TracerProvider()
    live = LivePolicy(lambda: RedactionPolicy.load(path), runtime=runtime, interval=0.05)
    exporter = RedactionSpanExporter(memory, policy=live, runtime=runtime)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, memory, live


def said(provider: TracerProvider, memory: InMemorySpanExporter) -> str:
    memory.clear()
    provider.get_tracer("t").start_span("x", attributes={"a": "jane@example.com"}).end()
    return str((memory.get_finished_spans()[0].attributes or {})["a"])


def becomes(provider: TracerProvider, memory: InMemorySpanExporter, text: str) -> bool:
    """Whether spans leave with this text within a few seconds."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if said(provider, memory) == text:
            return True
        time.sleep(0.01)
    return False


def test_a_change_is_taken_over_and_a_bad_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    path, runtime = tmp_path / "own.yaml", Runtime()
    write(path, RULE % "ONE")
    provider, memory, live = pipeline(path, runtime)
    assert said(provider, memory) == "ONE"
    write(path, RULE % "TWO")
    assert becomes(provider, memory, "TWO")
    live.close()
    bad = [
        "rules: [{id: mail}]",
        "rules: [",
        RULE % "THREE" + "\ndetectors: [{id: d, entity: D, group: pii, classification: internal, pattern: '(?=a)'}]",
        "rules: [{id: h, match: {entities: [EMAIL]}, action: {hash: {}}}]",
    ]
    for text in bad:
        write(path, text)
        assert not live.reload()
        assert not live.reload()  # told once
        assert said(provider, memory) == "TWO"
    path.unlink()
    assert not live.reload()
    assert said(provider, memory) == "TWO"
    write(path, RULE % "FOUR")
    assert live.reload()
    assert said(provider, memory) == "FOUR"
    reloads = {(d.reason, count) for d, count in runtime.decisions().items() if d.action == "reload"}
    assert reloads == {("ok", 2), ("refused", 5)}
    assert caplog.text.count("the last good one stays in force") == 5
    assert "jane" not in caplog.text


def test_a_detector_that_fails_on_its_own_examples_is_refused_while_running(tmp_path: Path) -> None:
    path, runtime = tmp_path / "own.yaml", Runtime()
    write(path, RULE % "ONE")
    provider, memory, live = pipeline(path, runtime)
    live.close()
    write(
        path,
        "rules: [{id: d, match: {detectors: [d]}, action: {replace: {}}}]\n"
        "detectors: [{id: d, entity: D, group: pii, classification: internal, pattern: a, examples: [b]}]",
    )
    assert not live.reload()
    assert said(provider, memory) == "ONE"


def test_spans_are_redacted_by_one_policy_or_the_other_while_it_changes(tmp_path: Path) -> None:
    path, runtime = tmp_path / "own.yaml", Runtime()
    write(path, RULE % "A")
    provider, memory, live = pipeline(path, runtime)
    live.close()
    done = threading.Event()

    def change() -> None:
        for number in range(20):
            write(path, RULE % ("A" if number % 2 else "B"))
            live.reload()
        done.set()

    thread = threading.Thread(target=change)
    thread.start()
    texts = set()
    while not done.is_set():
        texts.add(said(provider, memory))
    thread.join()
    assert texts <= {"A", "B"}
    assert runtime.error_counts() == {"redaction": {}}


def test_files_alone_are_followed(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(RULE % "X")
    runtime = Runtime()
    built_in = RedactionConfig.from_mapping({}).live_policy(runtime=runtime)
    assert isinstance(built_in, RedactionPolicy)
    for block in ({"policies": ["own.yaml"]}, {"tenant_policies": {"acme": ["own.yaml"]}}):
        live = RedactionConfig.from_mapping(block, base=tmp_path).live_policy(runtime=runtime)
        assert isinstance(live, LivePolicy)
        live.close()
    with pytest.raises(ConfigError, match="cannot be read"):
        RedactionConfig.from_mapping({"policies": ["nowhere.yaml"]}, base=tmp_path).live_policy(runtime=runtime)


def test_a_forked_child_follows_too(tmp_path: Path) -> None:
    path, runtime = tmp_path / "own.yaml", Runtime()
    write(path, RULE % "ONE")
    provider, memory, live = pipeline(path, runtime)
    assert said(provider, memory) == "ONE"
    child = os.fork()
    if child == 0:
        write(path, RULE % "TWO")
        os._exit(0 if becomes(provider, memory, "TWO") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    live.close()


def test_who_has_looked_at_a_batch_acts_though_the_policy_changed(tmp_path: Path) -> None:
    path, runtime, memory = tmp_path / "own.yaml", Runtime(), InMemorySpanExporter()
    write(path, RULE % "ONE")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("t").start_span("x", attributes={"a": "jane@example.com"}).end()
    (span,) = memory.get_finished_spans()
    live = LivePolicy(lambda: RedactionPolicy.load(path), runtime=runtime)
    live.close()
    work = follow_looking(live, lambda of: SpanRedaction(of, runtime, DEFAULT_OPTIONS))
    seen = work.look([span], [state_of(span)])
    write(path, RULE % "TWO")
    assert live.reload()
    assert work.act(span, state_of(span), seen[0]).attributes == {"a": "ONE"}
    seen = work.look([span], [state_of(span)])
    assert work.act(span, state_of(span), seen[0]).attributes == {"a": "TWO"}
