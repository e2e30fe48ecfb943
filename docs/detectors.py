"""Writes docs/detectors.md, the catalogue of detectors, from the data that the package ships.

python docs/detectors.py
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from otelwarden.redaction import catalogue
from otelwarden.redaction.catalogue import Detector

PAGE = Path(__file__).with_name("detectors.md")

HEAD = """# The catalogue of detectors

Generated from `processors/otelwarden/redaction/detectors/*.json` by `python docs/detectors.py`; do not edit.

{total} detectors find {entities} kinds of data: {secrets} are of secrets, {pii} of personal data. Policies act on
*high* confidence: a form that is evidence by itself, or one of the words beside it or in the key of its field. A rule
that says `confidence: low` acts on the form without its context as well, where the last column says that there is such
a form. A key that names one kind of number (`de_tax_id`) speaks against the others.

Check digits are our own code from the issuers' definitions, compared in tests with python-stdnum. Telephone numbers in
a country's own notation are judged by [phonenumbers](https://pypi.org/project/phonenumbers/) (Apache-2.0), which is
imported with the first candidate. Whatever a detector finds is replaced by `[REDACTED]` unless a rule says otherwise;
where a URL must stay one, by `REDACTED`.

Values of documentation and placeholders are decided as follows. A template is no secret: `${{VAR}}`, `$(command)`,
`{{{{ x }}}}`, `<token>`, `changeme`, `your-key`, `xxxxxx`, one sign eight times, a bind variable. A token that the
documentation of an issuer prints has the form of a real one and is replaced: nobody can tell them apart.
"""

FAMILIES = {
    "personal": "Personal data",
    "identities-europe": "Numbers that European countries issue",
    "identities-world": "Numbers that other countries issue",
    "crypto-addresses": "Addresses of crypto currencies",
    "secrets-generic": "Secrets in general",
    "secrets-cloud": "Secrets of clouds",
    "secrets-code": "Secrets of source forges, CI, packages and vaults",
    "secrets-ai": "Secrets of AI providers",
    "secrets-messaging": "Secrets of chat and mail",
    "secrets-payment": "Secrets of payment",
    "secrets-observability": "Secrets of observability",
    "secrets-services": "Secrets of other services",
}


def needs(detector: Detector, data: Mapping[str, Any]) -> str:
    """What must be there beside the form."""
    said = []
    if detector.words:
        said.append("word: " + ", ".join(detector.words))
    if "assigned" in data:
        said.append("given to such a name")
    if detector.key_pattern is not None:
        said.append("its key")
    if detector.validator is not None:
        said.append(f"`{detector.validator}`")
    return "; ".join(said) or "-"


def sample_of(detector: Detector) -> str:
    """The first example, short."""
    sample = detector.examples[0]
    text = sample if isinstance(sample, str) else ": ".join(next(iter(sample.items())))
    text = text.replace("\n", " ").replace("|", "\\|").replace("`", "'")
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"


def lines() -> Iterator[str]:
    """The page."""
    detectors = {detector.id: detector for detector in catalogue()}
    groups = Counter(detector.group for detector in detectors.values())
    entities = len({detector.entity for detector in detectors.values()})
    yield HEAD.format(total=len(detectors), entities=entities, secrets=groups["secrets"], pii=groups["pii"])
    folder = resources.files("otelwarden.redaction").joinpath("detectors")
    for family, title in FAMILIES.items():
        yield f"## {title}\n"
        yield "| detector | entity | class | beside the form | example | source | low |"
        yield "|---|---|---|---|---|---|---|"
        for data in json.loads(folder.joinpath(f"{family}.json").read_text(encoding="utf-8"))["detectors"]:
            each = detectors.pop(data["id"])
            low = "yes" if each.low is not None else ""
            cells = (each.entity, each.classification, needs(each, data), sample_of(each), each.source, low)
            yield f"| `{each.id}` | " + " | ".join(cells) + " |"
        yield ""
    if detectors:
        raise SystemExit(f"of no family: {', '.join(detectors)}")


def page() -> str:
    """The whole page."""
    return "\n".join(lines()).rstrip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
