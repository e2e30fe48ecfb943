"""What a sample of that which left really holds, whatever the configuration promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check, Judge
from otelwarden.compliance.checks.redaction import CARDS, IDENTIFIERS
from otelwarden.compliance.facts import Evidence, Hit
from otelwarden.compliance.results import Outcome, Problem, failed, insufficient, judged, not_applicable

GOVERNMENT_IDS: Final = frozenset({"US_SSN", "PASSPORT", "DRIVER_LICENSE", "NATIONAL_ID", "TAX_ID"})
"""Numbers that a state gives to a person, where the catalogue knows them."""

_PRODUCTION: Final = ("prod", "production", "live")


def _unsampled(evidence: Evidence) -> Outcome | None:
    """What is to be said where there is no sample; a setting under which there never is one is a failure."""
    if not evidence.declared.sample_items or evidence.declared.inline == "off":
        option = "inline" if evidence.declared.inline == "off" else "sample_items"
        message = "no sample is taken of what leaves"
        return failed([Problem(target="sample", message=message, pointer=f"/compliance/{option}")])
    if not any(snapshot.sample.items for snapshot in evidence.snapshots):
        return insufficient("nothing has left yet that could be looked at")
    return None


def _items(evidence: Evidence) -> int:
    return sum(snapshot.sample.items for snapshot in evidence.snapshots)


def _problems(hits: Iterable[Hit], pointer: str) -> list[Problem]:
    """One problem for each kind of data, signal and tenant; the fields are named."""
    found: dict[tuple[Any, str, str], dict[str, int]] = {}
    for hit in hits:
        keys = found.setdefault((hit.signal, hit.tenant, hit.entity), {})
        keys[hit.key] = keys.get(hit.key, 0) + hit.count
    problems = []
    for (signal, tenant, entity), keys in sorted(found.items()):
        names = ", ".join(sorted(keys)[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        problems.append(
            Problem(
                target=f"{signal}/{entity}",
                message=f"{entity} left in {_places(sum(keys.values()))} of {signal}: {names}",
                pointer=pointer,
                signal=signal,
                tenant=tenant,
            )
        )
    return problems


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _free_of(concerns: Callable[[Hit], bool], message: str) -> Judge:
    def judge(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
        if (unsampled := _unsampled(evidence)) is not None:
            return unsampled
        hits = (hit for snapshot in evidence.snapshots for hit in snapshot.sample.hits if concerns(hit))
        found = _problems(hits, "/processors/redaction/policies")
        return judged(found, message, items=_items(evidence))

    return judge


def _special_categories(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if (unsampled := _unsampled(evidence)) is not None:
        return unsampled
    hits = (hit for snapshot in evidence.snapshots for hit in snapshot.sample.sensitive_keys)
    found = _problems(hits, "/processors/redaction/policies")
    return judged(found, "no field that is named for a special category had a value", items=_items(evidence))


def _tagged(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if (unsampled := _unsampled(evidence)) is not None:
        return unsampled
    counts: dict[str, int] = {}
    for snapshot in evidence.snapshots:
        for signal, count in snapshot.sample.untagged.items():
            counts[signal] = counts.get(signal, 0) + count
    problems = [
        Problem(
            target=f"tags/{signal}",
            message=f"{signal} left without the tag of their tenant: {count}",
            pointer=f"/service/pipelines/{signal}/processors",
        )
        for signal, count in sorted(counts.items())
        if count
    ]
    return judged(problems, "everything carries the tag of its tenant", items=_items(evidence))


def _inventory(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if (unsampled := _unsampled(evidence)) is not None:
        return unsampled
    if not evidence.declared.inventory:
        return insufficient("no attribute key is declared that could be compared with")
    counts: dict[str, int] = {}
    for snapshot in evidence.snapshots:
        for key, count in snapshot.sample.undeclared.items():
            counts[key] = counts.get(key, 0) + count
    problems = [
        Problem(
            target=key,
            message=f"an attribute left that is not declared: {key} ({_times(count)})",
            pointer="/compliance/inventory",
        )
        for key, count in sorted(counts.items())
    ]
    return judged(problems, "no attribute left that is not declared", items=_items(evidence))


def _preproduction(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    environments = {each for snapshot in evidence.snapshots for each in snapshot.sample.environments}
    if environments and environments <= set(_PRODUCTION):
        return not_applicable("this is production")
    return _free_of(lambda hit: hit.entity in CARDS, "no card number left outside production")(evidence, parameters)


CHECKS: Final = (
    Check(
        id="sample.personal-data",
        title="No personal data leaves",
        source="sample",
        advice="Add the built-in policy `pii`, or a rule for the fields that are named",
        judge=_free_of(lambda hit: hit.group == "pii", "no personal data was found"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="sample.secrets",
        title="No secret leaves",
        source="sample",
        advice="Add the built-in policy `secrets`, or a rule for the fields that are named",
        judge=_free_of(lambda hit: hit.group == "secrets", "no secret was found"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="sample.payment-cards",
        title="No card number and no security code leaves",
        source="sample",
        advice="Add the built-in policy `pii`, or a rule for PAYMENT_CARD and CARD_SECURITY_CODE",
        judge=_free_of(lambda hit: hit.entity in CARDS, "no account data was found"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="sample.preproduction-cards",
        title="No live card number is used outside production",
        source="sample",
        advice="Use the test numbers of the issuer",
        judge=_preproduction,
    ),
    Check(
        id="sample.identifiers",
        title="No identifier of a person leaves",
        source="sample",
        advice="Add the built-in policy `pii`, or a rule for the kinds that are named",
        judge=_free_of(lambda hit: hit.entity in IDENTIFIERS, "no identifier of a person was found"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="sample.government-ids",
        title="No number leaves that a state gives to a person",
        source="sample",
        advice="Add the built-in policy `pii`, or a rule for the kinds that are named",
        judge=_free_of(lambda hit: hit.entity in GOVERNMENT_IDS, "no such number was found"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="sample.special-categories",
        title="No field that is named for a special category of data has a value",
        source="sample",
        advice="Do not record it, or add a rule that deletes the fields by their keys",
        judge=_special_categories,
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="sample.tenant-tagged",
        title="Everything that leaves carries the tag of its tenant",
        source="sample",
        advice="Add `tenancy` to the processors of the pipeline",
        judge=_tagged,
        pointer="/service/pipelines",
    ),
    Check(
        id="sample.inventory",
        title="No attribute leaves that is not declared",
        source="sample",
        advice="Declare the attribute under `compliance: inventory`, or do not record it",
        judge=_inventory,
        pointer="/compliance/inventory",
    ),
)
