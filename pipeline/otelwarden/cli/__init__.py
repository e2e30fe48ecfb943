"""The `otelwarden` command."""

from otelwarden.cli.main import main

__all__ = ["main"]
