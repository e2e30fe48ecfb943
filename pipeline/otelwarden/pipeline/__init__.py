"""A configuration file becomes three running pipelines."""

from otelwarden.pipeline.configure import configure, validate
from otelwarden.pipeline.settings import DEFAULT_DOCUMENT, PROCESSOR_ORDER, PipelineSettings, Settings, load_settings
from otelwarden.pipeline.warden import Stats, Warden

__all__ = [
    "DEFAULT_DOCUMENT",
    "PROCESSOR_ORDER",
    "PipelineSettings",
    "Settings",
    "Stats",
    "Warden",
    "configure",
    "load_settings",
    "validate",
]
