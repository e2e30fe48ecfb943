"""How we introduce ourselves to endpoints."""

from __future__ import annotations

from importlib import metadata
from typing import Final

USER_AGENT: Final = f"otelwarden/{metadata.version('otelwarden')}"
