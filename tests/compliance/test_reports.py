"""Reports say the same whenever they are written, load where they should, and give nothing away."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from otelwarden.compliance import FORMATS, FindingStore, dangling_references, render_report
from otelwarden.core import ConfigError, use_tenant
from otelwarden.pipeline import Warden

from .conftest import Service, ordinary_work

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory, receiver: object) -> FindingStore:
    """A service with much wrong: no redaction, canaries in every place, and a name that is an attack."""
    from .conftest import document

    service = Service(tmp_path_factory.mktemp("reported"), document(receiver))  # type: ignore[arg-type]
    for pipeline in service.document["service"]["pipelines"].values():
        pipeline["processors"].remove("redaction")
    service.document["service"]["resource"]["service.name"] = HOSTILE
    service.document["compliance"]["recipients"].pop()
    service.document["exporters"]["failover"]["endpoints"].append(
        {"url": "http://127.0.0.1:9", "headers": {"authorization": "Bearer h1dd3n-header"}}
    )
    service.work = _canaries
    assessor = service.prepare()
    service.run()
    assessor.assess()
    assessor.set_control("erasure", "verified", evidence=HOSTILE, actor="<b>ada</b>")
    assessor.assess()
    return assessor.store


def canaries() -> list[str]:
    """10,000 values that occur nowhere else: addresses, cards by their number, secrets, and keys that carry them."""
    return [f"canary-{number:05d}" for number in range(10_000)]


def _canaries(warden: Warden) -> None:
    ordinary_work(warden)
    values = canaries()
    tracer = warden.tracer_provider.get_tracer(f"scope {values[0]}@example.com")  # type: ignore[union-attr]
    with use_tenant("acme"):
        for first in range(0, len(values), 40):
            part = values[first : first + 40]
            with tracer.start_as_current_span(f"{part[0]}@example.com") as span:
                span.set_attributes({f"{part[1]}@example.com": "x", f"http.{part[2]}": f"password={part[3]}"})
                span.set_attribute("note", " ".join(f"{each}@example.com" for each in part))
                span.add_event(part[4], {"patient.religion": part[5], part[6] + " key": part[7]})
                span.set_attribute("patient.mrn", part[8])
                span.set_attribute("http.request.header.x-api-key", part[9] * 3)
    warden.runtime.emit("custom", "act", f"mail of {values[10]}@example.com", target=values[11] + "@example.com")


def test_no_report_holds_a_value(reported: FindingStore) -> None:
    texts = {format_: render_report(reported, format_) for format_ in FORMATS}
    texts["store"] = reported.path.read_bytes().decode("latin-1")
    for file in (reported.path.parent / "snapshots").iterdir():
        texts[file.name] = file.read_text()
    assert "EMAIL left in" in texts["md"]
    assert len(texts) >= 6
    for name, text in texts.items():
        assert not re.findall(r"canary-\d{5}@|canary-\d{5}canary|password=canary", text), name
        # A name that is plain, as attributes have them, is named: that is what the finding is about.
        assert not {each for each in re.findall(r"canary-\d{5}", text) if f"http.{each}" not in text}, name
        assert "h1dd3n" not in text, name


def test_the_same_run_gives_the_same_bytes(reported: FindingStore) -> None:
    for format_ in FORMATS:
        assert render_report(reported, format_) == render_report(reported, format_)
    report = json.loads(render_report(reported, "json"))
    assert len(report["digest"]) == 64
    assert report["digest"] in render_report(reported, "html")
    assert report["digest"] in render_report(reported, "oscal")
    assert len(report["trends"]) == 2


def test_oscal_has_no_dangling_reference(reported: FindingStore) -> None:
    document = json.loads(render_report(reported, "oscal"))
    assert dangling_references(document) == []
    results = document["assessment-results"]["results"]
    assert len(results) == 9
    assert any(each.get("risks") for each in results)
    results[0]["findings"][0]["related-observations"][0]["observation-uuid"] = "00000000-0000-4000-8000-000000000000"
    document["assessment-results"]["import-ap"]["href"] = "#nowhere"
    results[1]["uuid"] = results[0]["uuid"]
    assert len(dangling_references(document)) == 3


def test_oscal_loads_in_trestle(reported: FindingStore, tmp_path: Path) -> None:
    assessment_results = pytest.importorskip("trestle.oscal.assessment_results")
    file = tmp_path / "results.json"
    file.write_text(render_report(reported, "oscal"))
    loaded = assessment_results.AssessmentResults.oscal_read(file)
    assert len(loaded.results) == 9
    states = {finding.target.status.state.value for result in loaded.results for finding in result.findings}
    assert states == {"satisfied", "not-satisfied"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.targets: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name == "href":
                self.targets.add((value or "").removeprefix("#"))
            if name == "id":
                self.ids.add(value or "")


def test_the_page_needs_nothing_and_escapes_everything(reported: FindingStore) -> None:
    text = render_report(reported, "html")
    page = _Page()
    page.feed(text)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "form"}
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "<b>ada</b>" not in text
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("style", "src")]
    assert page.targets == page.ids & page.targets
    assert not re.findall(r"url\(|@import|https?://(?!127\.0\.0\.1|localhost)", text)
    assert "Content-Security-Policy" in text


def test_markdown_means_nothing_by_what_it_holds(reported: FindingStore) -> None:
    assert "<" not in re.sub(r"\\<|`[^`]*`", "", render_report(reported, "md"))


def test_a_report_of_nothing_is_refused(tmp_path: Path, reported: FindingStore) -> None:
    with pytest.raises(ConfigError, match="there is no assessment yet"):
        render_report(FindingStore(tmp_path), "json")
    with pytest.raises(ConfigError, match="no such assessment"):
        render_report(reported, "json", assessment="a-0")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_real_browser_shows_it(reported: FindingStore, tmp_path: Path) -> None:
    """Desktop and phone, without a word on the console, and as wide as the window."""
    file = tmp_path / "report.html"
    file.write_text(render_report(reported, "html"), encoding="utf-8")
    pdf = tmp_path / "report.pdf"
    for width, more in ((1280, ("--dump-dom", f"--print-to-pdf={pdf}")), (390, ())):
        picture = tmp_path / f"{width}.png"
        done = _chromium(tmp_path, f"--window-size={width},1600", f"--screenshot={picture}", *more, file.as_uri())
        assert picture.stat().st_size > 50_000
        assert "CONSOLE" not in done.stderr, done.stderr
        if more:
            assert "<svg" in done.stdout and "What to do" in done.stdout
    assert pdf.read_bytes().startswith(b"%PDF")


def _chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", *arguments,
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
