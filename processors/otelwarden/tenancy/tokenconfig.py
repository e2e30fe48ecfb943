"""Which tokens prove who the caller is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from otelwarden.core import ConfigError, Fault, parse_duration, schema_faults

KEY_SOURCES: Final = ("public_key_file", "jwks_file", "secret_file", "secret_env")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """How JSON Web Tokens (RFC 7519) are verified, as under `processors: tenancy: token:`.

    Exactly one of `public_key_file`, `jwks_file`, `secret_file` and `secret_env` is given. A file is looked at again
    as often as the tenants file, so that keys can be rotated; the last good keys stay.

    Raises:
        ConfigError: a value is not allowed by `tenancy.schema.json`, or two of them contradict each other.
    """

    algorithms: tuple[str, ...]
    """The only algorithms that are accepted, such as `RS256`: all of HMAC (HS...), or none."""
    issuer: str
    """The `iss` that a token must have."""
    audience: str
    """The `aud` that a token must have, alone or among others."""
    tenant_claim: tuple[str, ...] = ("tenant",)
    """The claim that names the tenant; several keys lead into nested claims."""
    public_key_file: str | None = None
    """A public key in PEM."""
    jwks_file: str | None = None
    """A set of public keys (RFC 7517), among which a token chooses by its `kid`."""
    secret_file: str | None = None
    """The secret of HMAC; white space around it is left out."""
    secret_env: str | None = None
    """Name of the environment variable with the secret of HMAC."""
    leeway: float = 30.0
    """Seconds by which clocks may differ."""
    max_bytes: int = 8192
    """Size of the largest token that is looked at."""
    max_cached: int = 10_000
    """Verified tokens that are remembered until they expire; beyond, the oldest goes."""

    def __post_init__(self) -> None:
        claim = self.tenant_claim
        object.__setattr__(self, "tenant_claim", (claim,) if isinstance(claim, str) else tuple(claim))
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        faults = _faults(self.as_document())
        if faults:
            raise ConfigError(faults)

    @property
    def key_file(self) -> str:
        """The file that holds the keys; empty when the environment does."""
        return self.public_key_file or self.jwks_file or self.secret_file or ""

    def as_document(self) -> dict[str, Any]:
        """What stands under `token:`."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in given.items() if value is not None
        }

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> TokenConfig:
        """The configuration that a document describes, which `tenancy.schema.json` allows.

        Raises:
            ConfigError: parts of it contradict each other.
        """
        values = dict(document)
        if "leeway" in values:
            values["leeway"] = parse_duration(values["leeway"])
        return cls(**values)


def _faults(document: Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with what stands under `token:`; pointers start there."""
    faults = [
        Fault(pointer=f.pointer.removeprefix("/token"), message=f.message, given=f.given, allowed=f.allowed)
        for f in schema_faults({"token": dict(document)}, "tenancy")
    ]
    if faults:
        return faults
    sources = [key for key in KEY_SOURCES if document.get(key) is not None]
    if len(sources) != 1:
        given = ", ".join(sources) or "none"
        return [
            Fault(message="keys from not exactly one place", given=given, allowed=f"one of {', '.join(KEY_SOURCES)}")
        ]
    shared = [algorithm.startswith("HS") for algorithm in document["algorithms"]]
    if any(shared) != sources[0].startswith("secret") or any(shared) != all(shared):
        # Were both allowed, one could sign with the public key as if it were the secret.
        allowed = "HS256, HS384, HS512 with a secret; the others with public keys"
        return [
            Fault(
                pointer="/algorithms",
                message=f"algorithms that do not fit `{sources[0]}`",
                given=document["algorithms"],
                allowed=allowed,
            )
        ]
    return []
