"""Whether redaction is configured so that it can do what is expected of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check, Judge
from otelwarden.compliance.facts import Component, Evidence, PolicyFacts
from otelwarden.compliance.results import Outcome, Problem, absent, judged

CARDS: Final = ("CARD_SECURITY_CODE", "PAYMENT_CARD")
"""Account data, as PCI DSS calls it."""

IDENTIFIERS: Final = ("BIRTH_DATE", "EMAIL", "IP_ADDRESS", "MAC_ADDRESS", "PERSON_NAME", "PHONE", "US_SSN")
"""Those of the identifiers of 45 CFR 164.514(b)(2)(i) that have a form or a key by which they are known."""

MOST_OF_A_CARD: Final = (6, 4)
"""Digits at the beginning and the end of a card number that may be shown."""


def missing_stage(evidence: Evidence, kind: str) -> Iterator[Problem]:
    """One problem for each pipeline without this processor."""
    for signal in evidence.configuration.without(kind):
        yield Problem(
            target=f"pipeline/{signal}",
            message=f"the pipeline for {signal} has no {kind}",
            pointer=f"/service/pipelines/{signal}/processors",
            signal=signal,
        )


def every_pipeline(kind: str) -> Judge:
    """A judge of whether every pipeline has a processor of this type."""

    def judge(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
        signals = ", ".join(evidence.configuration.pipelines)
        return judged(missing_stage(evidence, kind), f"the pipelines for {signals} have {kind}")

    return judge


def _policies(evidence: Evidence) -> Iterator[tuple[Component, PolicyFacts]]:
    for component in evidence.configuration.used("redaction"):
        yield component, evidence.configuration.policies.get(component.id, PolicyFacts())


def _uncovered(evidence: Evidence, entities: tuple[str, ...] | None, group: str) -> Iterator[Problem]:
    """One problem for each kind of data that a policy does not act on in a signal that it is used for."""
    used = list(_policies(evidence))
    if not used:
        yield absent("redaction")
    for component, policy in used:
        for entity in sorted(policy.groups.get(group, frozenset()) if entities is None else entities):
            lacking = [each for each in component.signals if each not in policy.covered.get(entity, frozenset())]
            if lacking:
                yield Problem(
                    target=f"{component.id}/{entity}",
                    message=f"{component.id} lets {entity} pass in {', '.join(lacking)}",
                    pointer=f"{component.pointer}/policies",
                    signal=lacking[0] if len(lacking) == 1 else None,
                )


def covers(group: str, entities: tuple[str, ...] | None = None) -> Judge:
    """A judge of whether every policy acts on these kinds of data, or on all of the group."""

    def judge(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
        what = "every known kind of it" if entities is None else ", ".join(entities)
        return judged(_uncovered(evidence, entities, group), f"the policies act on {what}")

    return judge


def _fails_closed(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("redaction"))
    problems = [
        Problem(
            target=component.id,
            message=f"what {component.id} fails on leaves unredacted",
            pointer=f"{component.pointer}/on_error",
        )
        for component in used
        if component.options["on_error"] != "drop"
    ]
    if not used:
        problems.append(absent("redaction"))
    return judged(problems, "what redaction fails on does not leave")


def _no_blanket_exemption(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(_policies(evidence))
    problems = [
        Problem(
            target=component.id,
            message=f"the allowed keys of {component.id} exempt any key",
            pointer=f"{component.pointer}/policies",
        )
        for component, policy in used
        if policy.exempts_everything
    ]
    if not used:
        problems.append(absent("redaction"))
    return judged(problems, "no list of exceptions lets everything pass")


def _card_mask(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(_policies(evidence))
    first, last = MOST_OF_A_CARD
    problems = [
        Problem(
            target=component.id,
            message=f"{component.id} keeps {policy.kept_of_cards[0]} first and {policy.kept_of_cards[1]} last digits "
            f"of a card number, more than {first} and {last}",
            pointer=f"{component.pointer}/policies",
        )
        for component, policy in used
        if policy.kept_of_cards[0] > first or policy.kept_of_cards[1] > last
    ]
    if not used:
        problems.append(absent("redaction"))
    return judged(problems, f"of a card number at most the first {first} and last {last} digits are kept")


CHECKS: Final = (
    Check(
        id="redaction.every-pipeline",
        title="Every pipeline redacts",
        source="configuration",
        advice="Add `redaction` to the processors of every pipeline",
        judge=every_pipeline("redaction"),
        pointer="/service/pipelines",
    ),
    Check(
        id="redaction.personal-data",
        title="The policies act on every known kind of personal data",
        source="configuration",
        advice="Add the built-in policy `pii` to the policies of redaction",
        judge=covers("pii"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="redaction.secrets",
        title="The policies act on every known kind of secret",
        source="configuration",
        advice="Add the built-in policy `secrets` to the policies of redaction",
        judge=covers("secrets"),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="redaction.payment-cards",
        title="The policies act on card numbers and security codes",
        source="configuration",
        advice="Add the built-in policy `pii`, or a rule for PAYMENT_CARD and CARD_SECURITY_CODE",
        judge=covers("pii", CARDS),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="redaction.card-mask",
        title="Masks keep no more of a card number than may be shown",
        source="configuration",
        advice=f"Let masks for PAYMENT_CARD keep at most {MOST_OF_A_CARD[0]} first and {MOST_OF_A_CARD[1]} last digits",
        judge=_card_mask,
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="redaction.identifiers",
        title="The policies act on the identifiers of people",
        source="configuration",
        advice="Add the built-in policy `pii`, or rules for the kinds that are named",
        judge=covers("pii", IDENTIFIERS),
        pointer="/processors/redaction/policies",
    ),
    Check(
        id="redaction.fails-closed",
        title="What redaction fails on does not leave",
        source="configuration",
        advice="Set `on_error: drop`",
        judge=_fails_closed,
        pointer="/processors/redaction/on_error",
    ),
    Check(
        id="redaction.no-blanket-exemption",
        title="No list of exceptions lets everything pass",
        source="configuration",
        advice="Name the keys that may pass one by one under `allow` of the policy file",
        judge=_no_blanket_exemption,
        pointer="/processors/redaction/policies",
    ),
)
