"""The JSON Schemas of every file that otelwarden reads, and the loader that validates."""

from otelwarden.schemas.loader import Violation, acceptor, json_pointer, load_schema, schema_names, violations

__all__ = ["Violation", "acceptor", "json_pointer", "load_schema", "schema_names", "violations"]
