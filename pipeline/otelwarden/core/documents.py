"""Reads the files that people write: YAML or JSON, environment substitution, and every fault at once.

Substitution follows the OpenTelemetry configuration data model: `${env:NAME}` or `${NAME}`, with `${env:NAME:-default}`
for a default and `$$` for a dollar sign. It acts on scalars only, so no value of a variable can inject a structure; a
plain scalar is given its type after substitution, a quoted one stays text. Unlike there, a variable that is not set and
has no default is a fault: an empty key file or endpoint is nothing to start with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from otelwarden.core.errors import ConfigError, Fault
from otelwarden.schemas import violations

_VARIABLE: Final = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}", re.ASCII)
_LIKE_A_VARIABLE: Final = re.compile(r"\$\{")

MAX_DOCUMENT: Final = 16 << 20
"""Bytes; a configuration larger than this is something else."""

MAX_ALIASES: Final = 64
"""Places in a file that may repeat what stands elsewhere in it."""


if TYPE_CHECKING or not yaml.__with_libyaml__:
    _SafeLoader: TypeAlias = yaml.SafeLoader
else:

    class _SafeLoader(Composer, yaml.cyaml.CParser, SafeConstructor, Resolver):
        """As `yaml.SafeLoader`, but libyaml finds the tokens, which takes most of the time."""

        def __init__(self, text: str) -> None:
            yaml.cyaml.CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)


class _Loader(_SafeLoader):
    """Safe YAML in which a key may stand once, and scalars may name variables of the environment."""

    environment: Mapping[str, str]
    faults: list[str]
    aliases = 0
    within_anchors = 0

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                self.faults.append(f"key {key!r} is not text{_line(key_node)}")
            elif key in seen:
                self.faults.append(f"key `{key}` is given twice{_line(key_node)}")
            else:
                seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._check_alias(event)
            return super().compose_node(parent, index)
        self.within_anchors += event.anchor is not None
        node = super().compose_node(parent, index)
        self.within_anchors -= event.anchor is not None
        if isinstance(node, yaml.ScalarNode) and "$" in node.value:
            text = self._substitute(node)
            if text != node.value and event.implicit[0]:  # neither quoted nor with a tag of its own
                node.tag = self._tag_of(text)
            node.value = text
        return node

    def _check_alias(self, event: yaml.AliasEvent) -> None:
        """An alias to a list of aliases to a list of aliases, ten deep, is a gigabyte; one level of a few is handy."""
        self.aliases += 1
        if self.within_anchors:
            self.faults.append(f"an alias within what an anchor names is not allowed{_line(event)}")
        elif self.aliases == MAX_ALIASES + 1:
            self.faults.append(f"more than {MAX_ALIASES} aliases are not allowed{_line(event)}")

    def _tag_of(self, plain: str) -> str:
        """The type of a plain scalar. `<<` and `=` are types of their own, for which our files have no use."""
        tag: str = self.resolve(yaml.ScalarNode, plain, (True, False))  # type: ignore[no-untyped-call]
        return tag if tag in self.yaml_constructors else self.DEFAULT_SCALAR_TAG

    def _substitute(self, node: yaml.ScalarNode) -> str:
        def value(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name, default = match[1], match[2]
            found = self.environment.get(name) or default
            if found is None:
                self.faults.append(f"environment variable {name} is not set and has no default{_line(node)}")
                return ""
            return found

        if _LIKE_A_VARIABLE.search(_VARIABLE.sub("", node.value)):
            self.faults.append(f"malformed variable, write ${{env:NAME}} or ${{env:NAME:-default}}{_line(node)}")
        return _VARIABLE.sub(value, node.value)


def _line(node: Any) -> str:
    return f" (line {node.start_mark.line + 1})"


def parse_document(text: str, *, file: str = "", environment: Mapping[str, str] | None = None) -> Any:
    """The document that a YAML or JSON text is, with variables substituted.

    Args:
        file: named in errors.
        environment: None for the one of this process.

    Raises:
        ConfigError: the text is no YAML, names a key twice, nests aliases, or names a variable that is not set.
    """
    try:
        loader = _Loader(text)  # refuses characters that YAML forbids
        loader.environment = os.environ if environment is None else environment
        loader.faults = []
        document = loader.get_single_data()
    except Exception as error:  # `!!bool x` raises KeyError, `!!timestamp x` AttributeError, `[[[[...` RecursionError
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise ConfigError([Fault(file=file, message=f"not YAML: {problem}{where}")]) from error
    if loader.faults:
        raise ConfigError(Fault(file=file, message=fault) for fault in loader.faults)
    return document


def read_document(path: str | os.PathLike[str], *, environment: Mapping[str, str] | None = None) -> Any:
    """The document in a file; see `parse_document`.

    Raises:
        ConfigError: the file cannot be read, is too large, is no UTF-8, or its text is refused.
    """
    file = os.fspath(path)
    try:
        with Path(path).open("rb") as source:
            raw = source.read(MAX_DOCUMENT + 1)  # the size a device or pipe tells says nothing
        if len(raw) > MAX_DOCUMENT:
            raise ConfigError([Fault(file=file, message="too large", allowed=f"at most {MAX_DOCUMENT} bytes")])
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigError([Fault(file=file, message=f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Fault(file=file, message=f"is no UTF-8 at byte {error.start}")]) from error
    return parse_document(text, file=file, environment=environment)


def schema_faults(document: Any, schema: str, *, file: str = "", pointer: str = "") -> list[Fault]:
    """Everything in `document` that the schema called `schema` does not allow.

    Args:
        pointer: where in the file the document stands.
    """
    return [
        Fault(file=file, pointer=pointer + v.pointer, message=v.message, given=v.given, allowed=v.allowed)
        for v in violations(document, schema)
    ]


def check_document(document: Any, schema: str, *, file: str = "") -> None:
    """Refuses a document that breaks its schema.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    faults = schema_faults(document, schema, file=file)
    if faults:
        raise ConfigError(faults)


def digest_of(document: Any) -> str:
    """A digest of a document: 16 hexadecimal digits of SHA-256 over its canonical JSON."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
