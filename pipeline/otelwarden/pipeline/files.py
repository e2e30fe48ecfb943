"""The files that a configuration names, judged by the components that will read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from otelwarden.audit import AuditConfig, SigningKey
from otelwarden.compliance import all_checks, load_frameworks
from otelwarden.core import ConfigError, Fault, Runtime
from otelwarden.pipeline.settings import Settings
from otelwarden.quota import QuotaConfig
from otelwarden.redaction import RedactionConfig
from otelwarden.tenancy import TenancyConfig, TenantRegistry, read_keys


def check_files(settings: Settings) -> list[Fault]:
    """Everything that is wrong with the files that good settings name. Reads them, starts and writes nothing."""
    faults: list[Fault] = []
    for read in _readers(settings):
        try:
            read()
        except ConfigError as error:
            faults += error.faults
    return list(dict.fromkeys(faults))


def _readers(settings: Settings) -> Iterator[Callable[[], object]]:
    tenants = settings.tenants
    if tenants is not None:
        yield lambda: _check_tenants(settings, tenants)
    compliance = settings.compliance
    if compliance is not None:
        yield lambda: load_frameworks(compliance.frameworks, all_checks())
    for config in settings.components.values():
        if isinstance(config, RedactionConfig):
            yield config.check
        elif isinstance(config, AuditConfig) and config.key_file:
            yield lambda file=config.key_file: SigningKey.load(file)  # type: ignore[misc]
        elif isinstance(config, TenancyConfig) and config.token is not None:
            yield lambda token=config.token: read_keys(token)  # type: ignore[misc]


def _check_tenants(settings: Settings, tenants: Path) -> None:
    """Reads the tenants, and their limits as each quota of the configuration would."""
    registry = TenantRegistry(tenants, runtime=Runtime())
    faults: list[Fault] = []
    for config in settings.components.values():
        if not isinstance(config, QuotaConfig):
            continue
        for index, tenant in enumerate(registry.list()):
            own = tenant.settings
            try:
                config.limits_of(own.limits, own.plan, own.time_zone)
            except ConfigError as error:
                pointer = f"/tenants/{index}/settings"
                faults += [fault.within(pointer, file=str(tenants)) for fault in error.faults]
    if faults:
        raise ConfigError(faults)
