"""Watches the running pipeline: takes the sample, looks at it now and then, assesses everything on schedule."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

from otelwarden.compliance.assessor import COMPONENT, Assessor
from otelwarden.compliance.config import ComplianceConfig
from otelwarden.compliance.gate import Block, Gate
from otelwarden.compliance.sample import Sample
from otelwarden.core import Drop, Runtime, Signal, run_in_child_after_fork, suppress_instrumentation_in_this_thread

THREAD_NAME: Final = "otelwarden-compliance"


class Watch:
    """What the stages show their items to. The thread starts with the first item.

    Args:
        config: how often what is looked at.
        sample: keeps the items until they are looked at.
        runtime: who hears of decisions.

    Attributes:
        gate: what may not leave.
    """

    def __init__(self, config: ComplianceConfig, *, sample: Sample, runtime: Runtime) -> None:
        self.runtime = runtime
        self.sample_items = config.sample_items if config.inline != "off" else 0
        self.gate = Gate()
        self._config = config
        self._sample = sample
        self._blocks = config.inline == "block"
        self._refuses = self.gate.refuses if self._blocks else _lets_pass
        self._assessor: Assessor | None = None
        self._errors = runtime.errors(COMPONENT)
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._lock = threading.RLock()

    def follow(self, assessor: Assessor) -> None:
        """Names who assesses, and looks for the first time: what the configuration itself breaks is blocked at once."""
        self._assessor = assessor
        if self._blocks:
            self._attempt("look", self.look)

    def take_one(self, signal: Signal, item: Any) -> None:
        """Takes an item that is about to leave."""
        if self.sample_items:
            self._sample.take_one(signal, item)
        if self._thread is None:
            self.start()

    def take(self, signal: Signal, items: Iterable[Any]) -> None:
        """Takes items that are about to leave."""
        if self.sample_items:
            self._sample.take(signal, items)
        if self._thread is None:
            self.start()

    def refuses(self, signal: Signal, tenant: str) -> Drop | None:
        """Why telemetry of a tenant may not leave; None when it may."""
        return self._refuses(signal, tenant)

    def start(self) -> None:
        """Starts the thread where it does not run and there is something to do."""
        if self._config.inline == "off" and self._config.schedule is None:
            return
        with self._lock:
            if self._thread is not None or self._stopped.is_set():
                return
            thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is ending, or the process may have no more threads
                self._errors.record("start", error)
                return
            self._thread = thread

    def stop(self, timeout: float = 5.0) -> None:
        """Stops the thread, and looks a last time, so that what this process saw is kept."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self._attempt("look", self.look)

    def look(self) -> None:
        """Looks at the sample, and lets the gate follow."""
        if self._assessor is None:
            return
        assessment = self._assessor.look()
        if self._blocks:
            self._tell(*self.gate.follow(assessment, self._assessor.excepted()))

    def assess(self) -> None:
        """Makes a whole assessment when one is due, and lets the gate follow."""
        assessor, schedule = self._assessor, self._config.schedule
        if assessor is None or schedule is None:
            return
        if self.runtime.clock.time_ns() - assessor.store.history().assessed_ns < schedule * 1e9:
            return
        assessment = assessor.assess()
        if self._blocks:
            self._tell(*self.gate.follow(assessment, assessor.excepted()))

    def _tell(self, closed: Iterable[Block], opened: Iterable[Block]) -> None:
        for action, blocks in (("block", closed), ("unblock", opened)):
            for block in blocks:
                self.runtime.emit(COMPONENT, action, block.check, tenant=block.tenant, signal=block.signal)

    def _run(self) -> None:
        suppress_instrumentation_in_this_thread()
        wait = self._config.interval
        if self._config.schedule is not None:
            wait = min(wait, self._config.schedule)
        while not self._stopped.wait(wait):
            if self._config.inline != "off":
                self._attempt("look", self.look)
            self._attempt("assess", self.assess)

    def _attempt(self, what: str, action: Any) -> None:
        try:
            action()
        except Exception as error:
            self._errors.record(what, error)


def _lets_pass(_signal: Signal, _tenant: str) -> Drop | None:
    return None
