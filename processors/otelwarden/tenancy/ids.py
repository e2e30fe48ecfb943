"""What a tenant id may look like, and the names of the claims that are no tenant.

The rule is that of Mimir, Tempo and Pyroscope, so that an id can be sent as `X-Scope-OrgID` as it is: at most 150 bytes
of `[0-9A-Za-z!\\-_.*'()]`, and not `.` or `..`, which would walk out of a directory. Case matters.
Source: Grafana Mimir documentation, "About authentication and authorization", tenant id restrictions.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TENANT_ID: Final = 150
"""Bytes; every character allowed is one byte."""

ID_RULE: Final = "1 to 150 characters of 0-9 A-Z a-z ! - _ . * ' ( ), and not `.` or `..`"

_ID: Final = re.compile(r"[0-9A-Za-z!\-_.*'()]{1,150}", re.ASCII)

UNKNOWN: Final = "<unknown>"
"""The account of telemetry that was rejected because its tenant is not registered: one for all such ids, so that a
flood of made-up ids opens no accounts. No id can be confused with it, since `<` is in none."""

INVALID: Final = "<invalid>"
"""The account of telemetry that claims an id that is none."""

MISSING: Final = "<missing>"
"""The account of telemetry that names no tenant, where that is rejected."""


def is_tenant_id(value: object) -> bool:
    """Whether `value` may be the id of a tenant; answers for any object."""
    return type(value) is str and _ID.fullmatch(value) is not None and value != "." and value != ".."


class ClaimedTenant(str):
    """The tenant that telemetry is attributed to, which remembers the claim that led there.

    Everywhere downstream it is the text it equals, for instance `quarantine`. Tenancy judges the claim again when the
    span ends, or when a child starts: by then the tenant may have been registered, activated or suspended.

    Attributes:
        claim: a valid tenant id, or `INVALID` or `MISSING`.
    """

    __slots__ = ("claim",)
    claim: str

    def __new__(cls, tenant: str, claim: str) -> ClaimedTenant:
        """`tenant`, remembering `claim`."""
        self = super().__new__(cls, tenant)
        self.claim = claim
        return self

    def __reduce__(self) -> tuple[type[ClaimedTenant], tuple[str, str]]:
        """What a copy is made of: accounts are copied, and pickled, by their tenant."""
        return ClaimedTenant, (str.__str__(self), self.claim)
