"""The actions by the name that a policy gives: those shipped, those registered in code, those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from otelwarden.core import ConfigError, Fault
from otelwarden.redaction.actions import Action, Archive, Audit, Block, Delete, Mask, Replace
from otelwarden.redaction.generalise import Generalise
from otelwarden.redaction.literals import EmptyLiterals
from otelwarden.redaction.segments import EmptyPathIds
from otelwarden.redaction.tokens import Encrypt, Hash, Pseudonymise

ENTRY_POINTS: Final = "otelwarden_redaction_action"
"""Group of the entry points under which other packages offer actions."""

ACTIONS: Final[dict[str, Callable[..., Action]]] = {
    "archive": Archive,
    "audit": Audit,
    "block": Block,
    "delete": Delete,
    "empty_literals": EmptyLiterals,
    "empty_path_ids": EmptyPathIds,
    "encrypt": Encrypt,
    "generalise": Generalise,
    "hash": Hash,
    "mask": Mask,
    "pseudonymise": Pseudonymise,
    "replace": Replace,
}
"""Actions by the name that a policy gives; called with the options that stand there. Others may be added."""


def action_of(document: Mapping[str, Mapping[str, Any]]) -> Action:
    """The action that a rule of a policy file names, whose schema has been checked.

    Raises:
        ConfigError: an action of one's own is not there, or refuses its options.
    """
    ((name, options),) = document.items()
    if name != "custom":
        return ACTIONS[name](**options)
    return _custom(options["name"], options.get("options", {}))


def _custom(name: str, options: Mapping[str, Any]) -> Action:
    offered = {each.name: each for each in entry_points(group=ENTRY_POINTS)}
    try:
        make = ACTIONS[name] if name in ACTIONS else offered[name].load()
    except KeyError:
        allowed = ", ".join(sorted({*ACTIONS, *offered}))
        fault = Fault(pointer="/custom/name", message="no action has this name", given=name, allowed=allowed)
        raise ConfigError([fault]) from None
    except Exception as error:
        message = f"the action cannot be loaded: {type(error).__name__}: {error}"
        raise ConfigError([Fault(pointer="/custom/name", message=message, given=name)]) from error
    try:
        action: Action = make(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError([Fault(pointer="/custom/options", message=f"refused: {error}", given=options)]) from error
    return action
