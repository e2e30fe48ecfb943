"""A policy that follows its files: a good change is in force within a second, a bad one leaves the last good one."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from otelwarden.core import (
    ConfigError,
    ItemState,
    LooksFirst,
    Runtime,
    WatchedFile,
    Watcher,
    default_runtime,
    run_in_child_after_fork,
)
from otelwarden.redaction.evidence import COMPONENT
from otelwarden.redaction.policy import PolicySource, RedactionPolicy, policy_of

RELOAD_INTERVAL: Final = 0.5
"""Seconds between two looks at the files."""

_T = TypeVar("_T")
_LooksFirstT = TypeVar("_LooksFirstT", bound=LooksFirst)


class LivePolicy:
    """The policy that some files say at the moment.

    Args:
        load: reads it.
        runtime: told of changes; None for the one shared by all stages that are used by hand.

    Raises:
        ConfigError: what `load` raises.
    """

    def __init__(
        self,
        load: Callable[[], RedactionPolicy],
        *,
        runtime: Runtime | None = None,
        interval: float = RELOAD_INTERVAL,
    ) -> None:
        self._load = load
        self._runtime = runtime or default_runtime()
        self._followers: weakref.WeakSet[Following[Any]] = weakref.WeakSet()
        self._refused = ""
        self._reset_lock()
        run_in_child_after_fork(self._reset_lock)
        self.policy = load()
        # Looked at before the files are read again, so that nothing between the two is missed.
        self._files = {file: self._watched(file) for file in self.policy.files}
        self.policy = load()
        self._watcher = Watcher(self, name="redaction")
        if self._files:
            self._watcher.start(interval)

    def _reset_lock(self) -> None:
        self._lock = threading.RLock()

    def _watched(self, path: str) -> WatchedFile:
        file = WatchedFile(path, clock=self._runtime.clock)
        file.changed()
        return file

    def add(self, follower: Following[Any]) -> None:
        """Makes `follower` follow, for as long as somebody else holds it."""
        with self._lock:
            self._followers.add(follower)

    def reload(self) -> bool:
        """Takes over the files if one of them changed and all are good; whether another policy is in force now.

        Never raises.
        """
        with self._lock:
            changes = [file.changed() for file in self._files.values()]  # every one, so that all take note
            if not any(changes):
                return False
            try:
                policy = self._load()
                ready = [follower.prepare(policy) for follower in self._followers]
            except Exception as error:
                self._refuse(error)
                return False
            for take in ready:
                take()
            changed, self.policy = policy.digest != self.policy.digest, policy
            self._refused = ""
        if changed:
            self._runtime.emit(COMPONENT, "reload", "ok", count=len(policy.rules), target=policy.digest)
        return changed

    def _refuse(self, error: Exception) -> None:
        told, self._refused = self._refused, str(error) if isinstance(error, ConfigError) else type(error).__name__
        self._runtime.emit(COMPONENT, "reload", "refused")
        if self._refused != told:
            message = "redaction policy refused, the last good one stays in force: %s"
            self._runtime.log.warning(f"redaction {self._refused}", message, self._refused)

    def close(self) -> None:
        """Stops looking at the files."""
        self._watcher.stop()


AnyPolicy: TypeAlias = "RedactionPolicy | LivePolicy | Sequence[PolicySource]"
"""What stages take: a policy, one that follows its files, or names and paths of policies."""


class Following(Generic[_T]):
    """What is made of a live policy, made anew with each change; called like a transform.

    Args:
        make: makes it; what it raises refuses the policy.
    """

    def __init__(self, live: LivePolicy, make: Callable[[RedactionPolicy], _T]) -> None:
        self._make = make
        self._live = live  # which only knows us weakly
        self._current = make(live.policy)
        live.add(self)

    def __call__(self, *arguments: Any) -> Any:
        """What the current one answers."""
        return self._current(*arguments)  # type: ignore[operator]  # a transform

    def prepare(self, policy: RedactionPolicy) -> Callable[[], None]:
        """Makes what the policy needs; the answer puts it in force."""
        new = self._make(policy)

        def take() -> None:
            self._current = new

        return take


class FollowingLook(Following[LooksFirst]):
    """Something that follows and looks first. Whoever has looked acts, if the policy changes meanwhile."""

    def look(self, batch: Sequence[Any], states: Sequence[ItemState]) -> Mapping[int, Any]:
        """What the current one sees."""
        current = self._current
        return {number: (current, seen) for number, seen in current.look(batch, states).items()}

    def act(self, item: Any, state: ItemState, seen: tuple[LooksFirst, Any]) -> Any:
        """What becomes of an item in which it saw something."""
        current, what = seen
        return current.act(item, state, what)


def follow(policy: AnyPolicy, make: Callable[[RedactionPolicy], _T]) -> _T | Following[_T]:
    """What is made of a policy; if that is a live one, something that follows it."""
    return Following(policy, make) if isinstance(policy, LivePolicy) else make(policy_of(policy))


def follow_looking(policy: AnyPolicy, make: Callable[[RedactionPolicy], _LooksFirstT]) -> _LooksFirstT | FollowingLook:
    """As `follow`, of what looks at whole batches."""
    return FollowingLook(policy, make) if isinstance(policy, LivePolicy) else make(policy_of(policy))
