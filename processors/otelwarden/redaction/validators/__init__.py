"""Checks that tell a real number or secret from something that looks like one, by the name that a detector gives."""

from __future__ import annotations

from typing import Final

from otelwarden.redaction.validators import (
    addresses,
    credentials,
    finance,
    identities_europe_central,
    identities_europe_north,
    identities_europe_west,
    identities_world,
    network,
    phones,
)
from otelwarden.redaction.validators.base import Validator, validator_of
from otelwarden.redaction.validators.credentials import entropy, secret_value

__all__ = ["VALIDATORS", "Validator", "entropy", "secret_value"]

VALIDATORS: Final[dict[str, Validator]] = {
    validator.__name__: validator
    for family in (addresses, credentials, finance, network, phones)
    for validator in family.VALIDATORS
} | {
    name: validator_of(check)
    for family in (identities_europe_central, identities_europe_north, identities_europe_west, identities_world)
    for name, check in family.CHECKS.items()
}
"""Validators by the name that a detector gives."""
