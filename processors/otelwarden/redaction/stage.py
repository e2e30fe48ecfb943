"""What the stages of the three signals share: a policy at work, and what follows from its decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otelwarden.core import Classification, ConfigError, Drop, Runtime, Signal
from otelwarden.redaction.actions import NO_KEYS, ItemFacts, Keys
from otelwarden.redaction.archives import ItemArchive, archives_fault
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.classification import ClassificationConfig, higher
from otelwarden.redaction.document import Oversize
from otelwarden.redaction.envelopes import Envelopes
from otelwarden.redaction.evidence import COMPONENT, Evidence
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.redactor import MAX_VALUE_LENGTH, Redactor

BLOCKED_ITEM: Final = Drop("blocked")
BOUND_POINT: Final = Drop("bound_elsewhere")
_MAX_EVIDENCE: Final = 64
NOT_CLASSIFIED: Final = ClassificationConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionOptions:
    """What a stage of redaction may be given beside its policy."""

    max_value_length: int = MAX_VALUE_LENGTH
    """Characters of the longest value that is scanned at once."""
    oversize: Oversize = "drop"
    """What becomes of an item with a longer value: it is dropped, or the value is scanned in windows."""
    keys: Keys = NO_KEYS
    """What actions with keys use."""
    archives: Mapping[str, ItemArchive] = field(default_factory=dict)
    """Where rules may archive items, by name."""
    evidence_attribute: str = ""
    """Attribute of spans and log records that tells which rule acted where, as `rule@path`; empty for none."""
    classification: ClassificationConfig = NOT_CLASSIFIED
    """What becomes of the classification of items."""


DEFAULT_OPTIONS: Final = RedactionOptions()


class Workplace:
    """A policy at work in one stage.

    Args:
        facts_of: what is known about an item of this signal.

    Raises:
        ConfigError: a rule needs a key or an archive that is not there, or a detector fails on its own examples.
    """

    def __init__(
        self,
        signal: Signal,
        policy: RedactionPolicy,
        runtime: Runtime,
        options: RedactionOptions,
        facts_of: Callable[[Any], ItemFacts],
    ) -> None:
        faults = archives_fault(policy.archives, frozenset(options.archives))
        if faults:
            raise ConfigError(faults)
        self._signal: Signal = signal
        self._options = options
        self._errors = runtime.errors(COMPONENT)
        self.redactor = Redactor(
            policy,
            max_value_length=options.max_value_length,
            oversize=options.oversize,
            exempt=frozenset([runtime.tenant_attribute]),
            keys=options.keys,
            facts_of=facts_of,
            findings=bool(options.evidence_attribute),
            clock=runtime.clock,
        )
        self.evidence = Evidence(runtime)
        self.envelopes = Envelopes(self.redactor, self.evidence.of_envelope)
        self.classifies = options.classification.is_asked

    def archive(self, item: Any, redaction: Redaction) -> None:
        """Keeps an item as it came, wherever rules say so."""
        for name in redaction.archives:
            try:
                self._options.archives[name].keep(self._signal, item)
            except Exception as error:
                self._errors.record("archive", error)

    def added(self, redaction: Redaction | None, classification: Classification | None) -> dict[str, Any]:
        """The attributes that an item gets."""
        added: dict[str, Any] = {}
        if classification is not None:
            added.update(self._options.classification.attributes(classification))
        if self._options.evidence_attribute and redaction is not None and redaction.findings:
            places = dict.fromkeys(f"{each.rule.id}@{self._path(each.path)}" for each in redaction.findings)
            added[self._options.evidence_attribute] = tuple(places)[:_MAX_EVIDENCE]
        return added

    def _path(self, path: str) -> str:
        """A path without what was found in it."""
        return "(redacted key)" if self.redactor.keys.facts(path).hits else path

    def is_bound(self, classification: Classification | None) -> bool:
        """Whether data of a classification may go to some endpoints alone."""
        return classification is not None and classification in self._options.classification.destinations

    def class_of(self, redaction: Redaction | None, resource: Any, scope: Any, tenant: str) -> Classification | None:
        """The classification of what is left in an item and around it; None unless it is asked for."""
        if not self.classifies:
            return None
        around = self.envelopes.class_of(resource, scope, self._signal, tenant)
        return around if redaction is None else higher(redaction.classification, around)
