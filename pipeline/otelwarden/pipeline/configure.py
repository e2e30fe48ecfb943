"""The one entry point: a configuration becomes running pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opentelemetry import _logs, metrics, propagate, trace

from otelwarden.audit import AuditConfig, Retention
from otelwarden.core import ConfigError, Deadline, Fault, global_providers_set
from otelwarden.pipeline.build import Builder
from otelwarden.pipeline.files import check_files
from otelwarden.pipeline.reload import LimitsReload
from otelwarden.pipeline.settings import Settings, Source, load_settings
from otelwarden.pipeline.warden import Warden, stop
from otelwarden.tenancy import keep_tenant_in_propagation


def configure(
    source: Source | None = None, *, set_global: bool = True, environment: Mapping[str, str] | None = None
) -> Warden:
    """Starts the pipelines that a configuration describes.

    Args:
        source: path of a YAML or JSON file, the same as a mapping, or None: personal data and secrets redacted, usage
            counted, the standard OTLP environment as the one endpoint.
        set_global: whether the providers become the global ones of OpenTelemetry, and its propagators keep the tenant;
            False only builds them.
        environment: where `${env:NAME}` is looked up; None for the environment of this process.

    Returns:
        The running pipelines. They are shut down at exit.

    Raises:
        ConfigError: with everything that is wrong. Nothing has been changed then.
    """
    settings = load_settings(source, environment=environment)
    faults = check_files(settings)
    if faults:
        raise ConfigError(faults)
    if set_global:
        _refuse_second_configuration()
    builder = Builder(settings)
    try:
        builder.build()
        parts = builder.parts
        if settings.file and parts.limiters:
            parts.limits = LimitsReload(settings, parts.limiters, runtime=parts.runtime, environment=environment)
    except BaseException:
        stop(builder.parts, Deadline(5.0))
        raise
    warden = Warden(settings, builder.parts)
    if set_global:
        _set_global(warden)
    return warden


def validate(source: Source, *, environment: Mapping[str, str] | None = None) -> list[Fault]:
    """Everything that is wrong with a configuration, the files that it names included. Starts and writes nothing."""
    try:
        settings = load_settings(source, environment=environment)
    except ConfigError as error:
        return list(error.faults)
    return [*check_files(settings), *_retention_conflicts(settings)]


def _retention_conflicts(settings: Settings) -> Iterator[Fault]:
    """Times that cannot all be kept: the trail is kept all the same, for the longest."""
    for identity, config in settings.components.items():
        if isinstance(config, AuditConfig):
            for message in Retention(config.retention or {}).conflicts():
                pointer = f"/processors/{identity.replace('~', '~0').replace('/', '~1')}/retention"
                yield Fault(file=settings.file, pointer=pointer, message=message)


def _refuse_second_configuration() -> None:
    found = global_providers_set()
    if found:
        raise ConfigError(
            [
                Fault(
                    message="the application has set global providers already, and they can be set only once",
                    given=", ".join(found),
                    allowed="call configure() first, or with set_global=False and register its providers yourself",
                )
            ]
        )


def _set_global(warden: Warden) -> None:
    if warden.tracer_provider is not None:
        trace.set_tracer_provider(warden.tracer_provider)
    if warden.logger_provider is not None:
        _logs.set_logger_provider(warden.logger_provider)
    if warden.meter_provider is not None:
        metrics.set_meter_provider(warden.meter_provider)
    if warden.propagator is not None:
        propagate.set_global_textmap(warden.propagator)
    keep_tenant_in_propagation()
