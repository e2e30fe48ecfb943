"""Every detector of the catalogue proves itself by its own samples; look-alikes of everyday telemetry stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import otelwarden.redaction
from otelwarden.core import check_document
from otelwarden.redaction import Redactor, Scanner, catalogue
from otelwarden.redaction.catalogue import Detector, detector_faults, words_of_key

FILES = sorted(Path(otelwarden.redaction.__file__).with_name("detectors").glob("*.json"))

ALIKE = [
    "550e8400-e29b-41d4-a716-446655440000",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "ts=1700000000000",
    "order 1234567890123456",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.109 Safari/537.36",
    "Chrome/120.0.0.0 Safari/537.36",
    "release 12.4.1.2087",
    "SKU-48213-AB",
    "auth-api",
    "SELECT u.id FROM users u WHERE u.id = $1 AND p.password = ? LIMIT 10",
    "UPDATE users SET password = $2 WHERE id = $1",
    "2024-05-17T10:32:21.123456Z",
    "2024-05-17 10:32:21,123 INFO worker",
    "0123456789abcdef",
    "9c355b5f4cd7",
    "GET /api/v1/users/{id}/tokens",
    "total 0.4242424242424242",
    "duration 12.345678901234567 ms",
    "python-requests/2.31.0",
    "127.0.0.1:8080",
    "page_token=CAUQAA",
    "std::vector<int>::begin",
    "x-request-id: 7b4f8c1e9d2a4f6b",
]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner(catalogue())


DETECTORS = pytest.mark.parametrize(
    ("number", "detector"), list(enumerate(catalogue())), ids=[detector.id for detector in catalogue()]
)


@DETECTORS
def test_finds_its_examples(scanner: Scanner, number: int, detector: Detector) -> None:
    assert [sample for sample in detector.examples if not scanner.finds(number, sample)] == []


@DETECTORS
def test_leaves_near_misses(scanner: Scanner, number: int, detector: Detector) -> None:
    assert [sample for sample in detector.near_misses if scanner.finds(number, sample)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_follow_their_schema(path: Path) -> None:
    check_document(json.loads(path.read_text(encoding="utf-8")), "detectors", file=path.name)


def test_every_file_is_read_and_no_id_given_twice() -> None:
    ids = [entry["id"] for path in FILES for entry in json.loads(path.read_text(encoding="utf-8"))["detectors"]]
    assert sorted(ids) == sorted({detector.id for detector in catalogue()})


@DETECTORS
def test_patterns_and_validators_are_known(number: int, detector: Detector) -> None:
    assert list(detector_faults(detector, file="", pointer="")) == []


@DETECTORS
def test_names_its_source_and_a_group(number: int, detector: Detector) -> None:
    assert detector.source
    assert detector.examples
    assert len(detector.near_misses) >= 2


@pytest.mark.parametrize("text", ALIKE)
def test_look_alikes_stay(redactor: Redactor, text: str) -> None:
    assert redactor.redact_text(text, "traces", "") == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://u:pw@db.example.com/x", "https://REDACTED:REDACTED@db.example.com/x"),
        ("https://b.example/k?a=1&X-Amz-Signature=fe5f80&b=2", "https://b.example/k?a=1&X-Amz-Signature=REDACTED&b=2"),
        ("pay 4242 4242 4242 4242 now", "pay [REDACTED] now"),
        ("DE89 3704 0044 0532 0130 00 12345", "[REDACTED] 12345"),
        ('{"password":"pass phrase","n":1}', '{"password":"[REDACTED]","n":1}'),
        ("Authorization: Bearer mF_9.B5f-4.1JqM0aZ", "Authorization: Bearer [REDACTED]"),
        ("ünïcödé jane@example.com ünd mehr", "ünïcödé [REDACTED] ünd mehr"),
        ("zoë@exämple.org!", "[REDACTED]!"),
    ],
)
def test_what_stands_around_is_kept(redactor: Redactor, text: str, left: str) -> None:
    assert redactor.redact_text(text, "traces", "") == left
    assert redactor.redact_text(left, "traces", "") == left, "a second pass finds nothing more"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("dbPassword", "db_password"),
        ("http.request.header.X-Api-Key", "http_request_header_x_api_key"),
        ("HTTPServerToken", "http_server_token"),
        ("user.ssn", "user_ssn"),
    ],
)
def test_keys_are_read_as_words(key: str, words: str) -> None:
    assert words_of_key(key) == words
