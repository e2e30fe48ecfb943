"""Whom to trust and how to show who we are."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from otelwarden.core import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a TLS client; PEM."""

    ca_file: str | None = None
    """Certificates to trust instead of the system's (HTTP) or the ones shipped with gRPC; default None."""
    certificate_file: str | None = None
    """Our own certificate chain, for endpoints that ask for one; default None."""
    key_file: str | None = None
    """The key of our certificate; default None."""

    def context(self) -> ssl.SSLContext:
        """A context that verifies the endpoint's certificate and host name.

        Raises:
            OSError: a file cannot be read; `ssl.SSLError`, a subclass, when it is not what it should be.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            # An encrypted key makes OpenSSL ask on the terminal; a service has none.
            context.load_cert_chain(self.certificate_file, self.key_file, password=lambda: "")
        return context

    def faults(self) -> Iterator[Fault]:
        """Everything that is wrong with the files."""
        given = {name: getattr(self, name) for name in ("ca_file", "certificate_file", "key_file")}
        unreadable = False
        for name, path in given.items():
            try:
                if path is not None:
                    Path(path).read_bytes()
            except OSError as error:
                unreadable = True
                yield Fault(pointer=f"/{name}", message=f"cannot be read: {error.strerror}", given=path)
        if (self.certificate_file is None) != (self.key_file is None):
            yield Fault(pointer="/certificate_file", message="certificate_file and key_file are given together or not")
        elif not unreadable:
            try:
                self.context()
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or str(error)
                pointer = "/ca_file" if self.certificate_file is None else "/certificate_file"
                yield Fault(pointer=pointer, message=f"not usable PEM files: {reason}", given=given)

    def read(self, name: str) -> bytes | None:
        """The bytes of one of the files; None where none is named. Raises OSError when it cannot be read."""
        path: str | None = getattr(self, name)
        return None if path is None else Path(path).read_bytes()
