"""Verifies the tokens that prove who the caller is. No SDK in here."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from otelwarden.core import (
    ConfigError,
    Fault,
    Runtime,
    Token,
    WatchedFile,
    Watcher,
    run_in_child_after_fork,
)
from otelwarden.tenancy.ids import INVALID, is_tenant_id
from otelwarden.tenancy.tokenconfig import TokenConfig
from otelwarden.tenancy.tokenkeys import read_keys

_REFUSED_FOR_NS: Final = 1_000_000_000
"""How long a refusal is remembered: a request makes many spans, and a token may become valid."""

_MAX_REFUSED: Final = 1024
"""Apart from the verified ones, so that a flood of forged tokens pushes none of those out."""

_MAX_SECONDS: Final = 1e11  # AD 5138; what a token says beyond may not even be a number


_Outcome: TypeAlias = tuple[str, int]  # the tenant, and until when, in nanoseconds since the epoch
_Outcomes: TypeAlias = dict[bytes, _Outcome]


class Prover(Protocol):
    """Says whom a token proves to be the caller."""

    def tenant_of(self, token: Token) -> str:
        """The tenant that it proves, or `INVALID`; must not raise."""
        ...


class NoTokens:
    """The prover where no tokens are configured."""

    def tenant_of(self, token: Token) -> str:
        """`INVALID`."""
        return INVALID


class Refused(Exception):
    """Raised when a token proves nothing; its text is the reason, one of a few words."""


class TokenVerifier:
    """Verifies JSON Web Tokens once each, and remembers the outcome until they expire.

    Remembered by a digest of the token, so that no secrets are kept: 0.1 us for a token that was verified before,
    30 us (HS256) to 100 us (ES256) for another. A token that proves nothing is told as the event `refuse_token` with
    the reason `oversize`, `malformed`, `algorithm`, `key`, `signature`, `issuer`, `audience`, `expired`,
    `not_yet_valid`, `claim` or `tenant`, once a second at most for each.

    Args:
        runtime: told of refusals; its clock says when a token expires, beside the system's.
        interval: seconds between two looks at the file with the keys.

    Raises:
        ConfigError: the keys cannot be read, or PyJWT is not installed.
    """

    def __init__(self, config: TokenConfig, *, runtime: Runtime, interval: float) -> None:
        try:
            import jwt
        except ImportError as error:
            message = "needs PyJWT: pip install 'otelwarden[jwt]'"
            raise ConfigError([Fault(pointer="/token", message=message)]) from error
        self._jwt = jwt
        self._config = config
        self._runtime = runtime
        self._time_ns = runtime.clock.time_ns
        self._errors = runtime.errors("tenancy")
        self._file = WatchedFile(config.key_file, clock=runtime.clock) if config.key_file else None
        if self._file is not None:
            self._file.changed()
        self._keys = read_keys(config)
        self._forget()
        self._renew_lock()
        run_in_child_after_fork(self._renew_lock)
        self._watcher = Watcher(self, name="token-keys")
        if self._file is not None:
            self._watcher.start(interval)

    def _forget(self) -> None:
        self._proven: _Outcomes = {}
        self._refused: _Outcomes = {}

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def close(self) -> None:
        """Ends the thread that looks at the keys."""
        self._watcher.stop()

    def reload(self) -> bool:
        """Takes over the keys if their file changed and is good; whether it did. Never raises."""
        if self._file is None or not self._file.changed():
            return False
        try:
            keys = read_keys(self._config)
        except Exception as error:
            message = "token keys refused, the last good ones stay in force: %s"
            self._runtime.log.warning(f"token keys {self._file.path} {error}", message, error)
            self._runtime.emit("tenancy", "reload", "refused", target=str(self._file.path))
            return False
        with self._lock:
            self._keys = keys
            self._forget()  # what a key proved that is gone
        self._runtime.emit("tenancy", "reload", "ok", target=str(self._file.path))
        return True

    def tenant_of(self, token: Token) -> str:
        """The tenant that the token proves to be the caller's, or `INVALID`; never raises."""
        digest = token.digest
        try:
            tenant, until = self._proven[digest]
            if until > self._time_ns():
                return tenant
        except KeyError:
            pass
        refused = self._refused.get(digest)
        if refused is not None and refused[1] > self._time_ns():
            return INVALID
        return self._verify(token)

    def _verify(self, token: Token) -> str:
        keys, now = self._keys, self._time_ns()
        try:
            tenant, until = self._read(token.text)
            if until <= now:
                raise Refused("expired")
        except Refused as refusal:
            self._remember(self._refused, _MAX_REFUSED, token.digest, (INVALID, now + _REFUSED_FOR_NS))
            self._runtime.emit("tenancy", "refuse_token", str(refusal))
            return INVALID
        with self._lock:
            if keys is self._keys:  # else it was verified with keys that are no longer in force
                self._remember(self._proven, self._config.max_cached, token.digest, (tenant, until))
        return tenant

    def _remember(self, cache: _Outcomes, size: int, digest: bytes, outcome: tuple[str, int]) -> None:
        with self._lock:
            cache.pop(digest, None)
            while len(cache) >= size:
                del cache[next(iter(cache))]
            cache[digest] = outcome

    def _read(self, text: str) -> tuple[str, int]:
        """The tenant in a token, and when it expires, leeway included."""
        jwt, config = self._jwt, self._config
        if not text or len(text) > config.max_bytes:
            raise Refused("oversize" if text else "malformed")
        try:
            header = jwt.get_unverified_header(text)
            algorithm = header.get("alg")
            if algorithm not in config.algorithms:
                raise Refused("algorithm")
            if "crit" in header or "b64" in header:
                raise Refused("malformed")  # extensions that we do not understand (RFC 7515, section 4.1.11)
            key = self._keys.find(algorithm, header.get("kid"))
            if key is None:
                raise Refused("key")
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=config.audience,
                issuer=config.issuer,
                leeway=config.leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
            expires = float(claims["exp"])
        except Refused:
            raise
        except Exception as error:  # the library's, and what nonsense makes of it: an `exp` that is infinite
            raise Refused(self._reason(error)) from error
        tenant = _claim(claims, config.tenant_claim)
        if not is_tenant_id(tenant):
            raise Refused("tenant")
        return tenant, int((min(expires, _MAX_SECONDS) + config.leeway) * 1e9)

    def _reason(self, error: Exception) -> str:
        jwt = self._jwt
        for kind, reason in (
            (jwt.ExpiredSignatureError, "expired"),
            (jwt.ImmatureSignatureError, "not_yet_valid"),
            (jwt.InvalidSignatureError, "signature"),
            (jwt.InvalidIssuerError, "issuer"),
            (jwt.InvalidAudienceError, "audience"),
            (jwt.MissingRequiredClaimError, "claim"),
            (jwt.InvalidAlgorithmError, "algorithm"),
            (jwt.InvalidKeyError, "key"),
        ):
            if isinstance(error, kind):
                return reason
        return "malformed"


def _claim(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = claims
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
