"""The connection to Redis or Valkey: one script, called with a batch of requests, that answers or fails in time."""

from __future__ import annotations

import hashlib
import inspect
import ssl
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from otelwarden.core import ConfigError, Fault
from otelwarden.quota.storeconfig import StoreConfig

_DEFAULT_PORT: Final = 6379


class NonsenseError(Exception):
    """Raised when the server answers what no server of ours would."""


class RedisLink:
    """Calls the script of leases. Not to be shared between threads.

    Args:
        config: address, credentials and timeout.

    Raises:
        ConfigError: the client is not installed, or the password or a certificate cannot be read.
    """

    def __init__(self, config: StoreConfig) -> None:
        try:
            import redis
        except ImportError:
            message = "the package `redis` is not installed"
            allowed = "pip install 'otelwarden[redis]'"
            raise ConfigError([Fault(pointer="/type", message=message, given="redis", allowed=allowed)]) from None
        self._redis = redis
        self._client = redis.Redis(connection_pool=self._pool(config))
        self._script = resources.files("otelwarden.quota").joinpath("leases.lua").read_text(encoding="utf-8")
        self._digest: str | None = None

    def _pool(self, config: StoreConfig) -> Any:
        from redis.backoff import NoBackoff
        from redis.connection import (
            AbstractConnection,
            Connection,
            ConnectionPool,
            SSLConnection,
            UnixDomainSocketConnection,
        )
        from redis.retry import Retry

        parts = urlsplit(config.url)
        settings: dict[str, Any] = {
            "socket_timeout": config.timeout,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "health_check_interval": 0,
            "max_connections": 1,
            "protocol": 2,
            # No telling who we are: each round trip of a handshake waits for the interpreter's lock.
            **_anonymous(AbstractConnection),
            "credential_provider": self._credentials(config),
        }
        if parts.scheme == "unix":
            return ConnectionPool(connection_class=UnixDomainSocketConnection, path=unquote(parts.path), **settings)
        settings |= {
            "host": parts.hostname,
            "port": parts.port or _DEFAULT_PORT,
            "db": int(parts.path.strip("/") or 0),
            "socket_connect_timeout": config.timeout,
        }
        if parts.scheme == "rediss":
            _check_certificates(config)
            settings |= {
                "ssl_ca_certs": config.ca_file,
                "ssl_certfile": config.cert_file,
                "ssl_keyfile": config.key_file,
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
            }
            return ConnectionPool(connection_class=SSLConnection, **settings)
        return ConnectionPool(connection_class=Connection, **settings)

    def _credentials(self, config: StoreConfig) -> Any:
        from redis.credentials import CredentialProvider

        if config.read_password() is None:
            return None

        class FromConfig(CredentialProvider):
            """Reads the password at each connection, so that it may be changed."""

            def get_credentials(self) -> tuple[str] | tuple[str, str]:
                password = config.read_password() or ""
                return (password,) if config.username is None else (config.username, password)

        return FromConfig()

    def call(self, keys: Sequence[str], arguments: Sequence[str | int | float]) -> tuple[int, list[Any]]:
        """Calls the script once.

        Returns:
            The time at the server in microseconds since the Unix epoch, and an answer for each key.

        Raises:
            RedisError: the server cannot be reached, refuses, or does not answer in time.
            NonsenseError: it answers something else.
        """
        try:
            answer = self._evaluate(keys, arguments)
        except Exception:
            # An answer that comes late must not be taken for that to the next call.
            self._client.connection_pool.disconnect()
            raise
        if not isinstance(answer, list) or len(answer) != len(keys) + 1 or not isinstance(answer[0], int):
            raise NonsenseError("not an answer of the script")
        return answer[0], answer[1:]

    def _evaluate(self, keys: Sequence[str], arguments: Sequence[str | int | float]) -> Any:
        client: Any = self._client
        if self._digest is not None:
            try:
                return client.evalsha(self._digest, len(keys), *keys, *arguments)
            except self._redis.exceptions.NoScriptError:
                pass  # the server was restarted, or its scripts were flushed
        answer = client.eval(self._script, len(keys), *keys, *arguments)
        self._digest = self._digest or _sha1(self._script)
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._client.connection_pool.disconnect()


def _sha1(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _anonymous(connection: Any) -> dict[str, None]:
    known = inspect.signature(connection).parameters
    return {"driver_info": None} if "driver_info" in known else {"lib_name": None, "lib_version": None}


def _check_certificates(config: StoreConfig) -> None:
    """Raises ConfigError for certificates that cannot be loaded, which would otherwise fail at each connection."""
    for name, file in (("ca_file", config.ca_file), ("cert_file", config.cert_file)):
        if file is None:
            continue
        try:
            context = ssl.create_default_context()
            if name == "ca_file":
                context.load_verify_locations(file)
            else:
                context.load_cert_chain(file, config.key_file)
        except (OSError, ssl.SSLError) as error:
            message = f"cannot be loaded: {getattr(error, 'strerror', None) or error}"
            raise ConfigError([Fault(pointer=f"/{name}", message=message, given=file)]) from None
