"""Where the registry keeps its tenants: in memory, with a file as the truth if there is one."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from otelwarden.core import SYSTEM_CLOCK, Clock, ConfigError, Runtime, Watcher, default_runtime, run_in_child_after_fork
from otelwarden.tenancy.document import document_text, read_tenants_document
from otelwarden.tenancy.entries import TenantsReader
from otelwarden.tenancy.errors import TenantFileError
from otelwarden.tenancy.file import TenantFile
from otelwarden.tenancy.model import Tenant, TenantStatus

RELOAD_INTERVAL: Final = 0.5
"""Seconds between two looks at the tenants file."""

VERBS: Final = {
    TenantStatus.ACTIVE: "activate",
    TenantStatus.SUSPENDED: "suspend",
    TenantStatus.INACTIVE: "deactivate",
    TenantStatus.PENDING: "hold",
}
"""The action of the event that tells of a change to a status."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tenants at one moment; replaced as a whole, so readers need no lock."""

    generation: int
    tenants: Mapping[str, Tenant]


class TenantStore:
    """Tenants under a lock, and the file they come from; base of the registry, which says what it promises."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        runtime: Runtime | None = None,
    ) -> None:
        self.snapshot = Snapshot(1, MappingProxyType({}))
        self.generation = 1
        """Grows with every change."""
        self._runtime = runtime or default_runtime()
        self._time_ns = clock.time_ns
        self._target = os.fspath(path) if path is not None else ""
        self._file = TenantFile(path, clock=clock) if path is not None else None
        self._reader = TenantsReader(self._target)
        self._refused = ""
        self._renew_lock()
        run_in_child_after_fork(self._renew_lock)
        self._watcher = Watcher(self, name="tenants")
        if self._file is not None:
            self._file.changed()
            tenants = self._reader.tenants(read_tenants_document(self._file.path))
            self.snapshot = Snapshot(1, MappingProxyType(tenants))
            self._emit("load", "ok", count=len(tenants))

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def watch(self, interval: float = RELOAD_INTERVAL) -> None:
        """Looks at the file every `interval` seconds from now on, in a thread that every forked child has too."""
        if self._file is not None:
            self._watcher.start(interval)

    def close(self) -> None:
        """Ends the thread that looks at the file; what is known stays in force."""
        self._watcher.stop()

    def reload(self) -> bool:
        """Takes over the file if it changed and is good; whether other tenants are in force now. Never raises."""
        if self._file is None:
            return False
        with self._lock:
            before = self.snapshot
            self._read(self._file)
            after = self.snapshot
        if after is not before:
            self._tell_differences(before.tenants, after.tenants)
        return after is not before

    def _read(self, file: TenantFile) -> None:
        if not file.changed():
            return
        try:
            tenants = self._reader.tenants(read_tenants_document(file.path))
        except Exception as error:
            self._refuse(error)
            return
        if self._refused or tenants != self.snapshot.tenants:
            self._refused = ""
            self._take(tenants)
            self._emit("reload", "ok", count=len(tenants))

    def _refuse(self, error: Exception) -> None:
        told, self._refused = self._refused, str(error) if isinstance(error, ConfigError) else type(error).__name__
        if self._refused != told:
            message = "tenants file refused, the last good one stays in force: %s"
            self._runtime.log.warning(f"tenants {self._target} {self._refused}", message, self._refused)
            self._emit("reload", "refused")

    @contextlib.contextmanager
    def _file_ready(self, file: TenantFile) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file.locked())
            except OSError as error:
                raise TenantFileError(f"{self._target}: cannot be locked: {error.strerror or error}") from error
            self.reload()
            if not file.exists():
                raise TenantFileError(f"{self._target}: has vanished; put it back first")
            if self._refused:
                raise TenantFileError(f"the tenants file is bad, repair it first: {self._refused}")
            yield

    def _write(self, file: TenantFile, tenants: Mapping[str, Tenant]) -> None:
        if tenants == self.snapshot.tenants:
            return
        try:
            file.write(document_text(tenants.values(), as_json=file.path.suffix == ".json"))
        except OSError as error:
            raise TenantFileError(f"{self._target}: cannot be written: {error.strerror or error}") from error

    def _tell_differences(self, before: Mapping[str, Tenant], after: Mapping[str, Tenant]) -> None:
        for tenant_id in before.keys() - after.keys():
            self._emit("delete", "file", tenant=tenant_id)
        for tenant_id, tenant in after.items():
            old = before.get(tenant_id)
            if old is None:
                self._emit("create", "file", tenant=tenant_id, actor=tenant.updated_by)
            elif old is not tenant and old != tenant:
                # One who changed it by hand may have left the name of one who did so by a registry before.
                actor = tenant.updated_by if old.updated_at != tenant.updated_at else ""
                if old.status is not tenant.status:
                    self._emit(VERBS[tenant.status], tenant.status_reason or "file", tenant=tenant_id, actor=actor)
                else:
                    self._emit("update", "file", tenant=tenant_id, actor=actor)

    def _emit(self, action: str, reason: str, *, tenant: str = "", count: int = 1, actor: str = "") -> None:
        self._runtime.emit("tenancy", action, reason, tenant=tenant, count=count, target=self._target, actor=actor)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Tenant]]:
        """A copy of the tenants to change; what became of it is written, and then in force."""
        with self._lock:
            if self._file is None:
                tenants = dict(self.snapshot.tenants)
                yield tenants
                self._take(tenants)
                return
            with self._file_ready(self._file):
                tenants = dict(self.snapshot.tenants)
                yield tenants
                self._write(self._file, tenants)
                self._take(tenants)

    def _take(self, tenants: dict[str, Tenant]) -> None:
        if tenants != self.snapshot.tenants:
            self.snapshot = Snapshot(self.snapshot.generation + 1, MappingProxyType(tenants))
            # After the tenants: who sees it grow finds them. An attribute, as it is read for every item.
            self.generation = self.snapshot.generation
