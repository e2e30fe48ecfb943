"""What may be in telemetry: finds personal data and secrets in spans, logs and metrics and removes them."""

from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.redactor import Redactor
from otelwarden.redaction.spans import RedactionSpanExporter, RedactionSpanProcessor

__all__ = ["RedactionPolicy", "RedactionSpanExporter", "RedactionSpanProcessor", "Redactor"]
