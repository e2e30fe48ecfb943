"""A stream while it is written: opened with a record and a seal, sealed at intervals, closed with both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otelwarden.audit.batch import Batch
from otelwarden.audit.checkpoints import Checkpoint, State, account_digest, sign
from otelwarden.audit.keys import SigningKey
from otelwarden.audit.neighbours import sealed_neighbours
from otelwarden.audit.records import SCHEMA, Encoder, Entry
from otelwarden.audit.stream import Stream
from otelwarden.core import Balance, Runtime

_RETRY_NS: Final = 1_000_000_000  # between two attempts to write a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the writer goes by; see `AuditTrail` for what each means."""

    directory: Path
    key: SigningKey
    witness: Callable[[bytes], object] | None
    checkpoint_interval: float
    coalesce_window: float
    segment_bytes: int
    segment_age: float
    runtime: Runtime
    listener: Callable[[bytes], object] | None


class Session:
    """One stream, from its first record to its last.

    Raises:
        OSError: the stream cannot be made; nothing of it is left.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runtime = settings.runtime
        self._clock = settings.runtime.clock
        self._interval_ns = int(settings.checkpoint_interval * 1e9)
        self._accounts: dict[tuple[str, str | None, str], Balance] = {}
        self._unheard: list[bytes] = []  # written for the listener, and not yet durable
        self.checkpoints = 0
        """Checkpoints written."""
        neighbours = sealed_neighbours(settings.directory)
        self._stream = Stream(
            settings.directory,
            clock=self._clock,
            segment_bytes=settings.segment_bytes,
            segment_age=settings.segment_age,
        )
        self.encoder = Encoder(self._stream.id)
        try:
            self._begin(neighbours)
        except BaseException:
            self._stream.discard()
            raise

    def _begin(self, neighbours: dict[str, int]) -> None:
        more: dict[str, Any] = {
            "schema": SCHEMA,
            "key": self._settings.key.key_id,
            "interval": str(self._interval_ns),
            "neighbours": neighbours,
        }
        self._append([self._own("open", "start", **more)])
        # Sealed before anything else is written: more than one record and no checkpoint means that somebody took it.
        self._seal("open", [])

    def _own(self, action: str, reason: str, **more: Any) -> Entry:
        return self.encoder.own(self._clock.time_ns(), action, reason, config=self._runtime.config_digest, **more)

    def use(self, settings: Settings) -> None:
        """Goes by other settings from now on, with another key."""
        self._settings = settings

    @property
    def stream_id(self) -> str:
        """Id of the stream."""
        return self._stream.id

    @property
    def size(self) -> int:
        """Records on the disk."""
        return self._stream.size

    def due(self) -> bool:
        """Whether the next checkpoint is."""
        now = self._clock.monotonic_ns()
        if now - self._attempted_monotonic_ns < min(self._interval_ns, _RETRY_NS):
            return False
        # The wall clock too: a machine that slept shows it there alone, and verifiers have no other.
        slept = abs(self._clock.time_ns() - self._sealed_ns)
        return max(now - self._sealed_monotonic_ns, slept) >= self._interval_ns

    def gap(self, reason: str, count: int) -> Entry:
        """The entry that declares decisions which were not written."""
        return self.encoder.own(self._clock.time_ns(), "gap", reason, count=count, config=self._runtime.config_digest)

    def begin(self) -> Batch:
        """A batch of records for this stream."""
        return self._stream.begin()

    def write(self, batch: Batch) -> None:
        """Writes what is in the batch; raises as `Stream.commit` does."""
        records = self._stream.write(batch)
        if self._settings.listener is not None:
            self._unheard.append(records)

    def commit(self, batch: Batch) -> None:
        """Writes the batch, durably; raises as `Stream.commit` does."""
        records = self._stream.commit(batch)
        heard, self._unheard = self._unheard, []
        for each in (*heard, records):
            self._tell(each)

    def undo(self) -> None:
        """Takes back what was written and not committed; raises StreamBroken when that cannot be done."""
        self._unheard.clear()
        self._stream.undo()

    def seal(self) -> bytes:
        """Appends the accounts that changed, and a checkpoint over everything; answers the signed note.

        Raises:
            OSError, StreamBroken: as `Stream.commit`.
        """
        self._attempted_monotonic_ns = self._clock.monotonic_ns()
        balances = self._balances()
        changed = {name: each for name, each in balances.items() if self._accounts.get(name) != each}
        note = self._seal("open", self._append_accounts("checkpoint", changed))
        self._accounts.update(changed)
        return note

    def close(self) -> bytes:
        """The end of the stream: a record that says so, all accounts, and the last checkpoint; raises as `seal`."""
        self._append([self._own("close", "stop")])
        note = self._seal("close", self._append_accounts("close", self._balances()))
        self._stream.close()
        return note

    def abandon(self) -> None:
        """Closes this process's descriptors and writes nothing more."""
        self._stream.close()

    def _balances(self) -> dict[tuple[str, str | None, str], Balance]:
        return {(each.component, each.signal, each.tenant): each for each in self._runtime.balances()}

    def _append_accounts(self, reason: str, balances: dict[tuple[str, str | None, str], Balance]) -> list[bytes]:
        now = self._clock.time_ns()
        entries = self.encoder.accounts(now, reason, balances.values(), config=self._runtime.config_digest)
        return self._append(entries)

    def _append(self, entries: Iterable[Entry]) -> list[bytes]:
        lines = self._stream.append(entries)
        self._tell(b"".join(line + b"\n" for line in lines))
        return lines

    def _tell(self, records: bytes) -> None:
        """Lets the listener hear of records that are durable now."""
        if self._settings.listener is None or not records:
            return
        try:
            self._settings.listener(records)
        except Exception as error:
            self._runtime.errors("audit").record("listener", error)

    def _seal(self, state: State, accounts: list[bytes]) -> bytes:
        checkpoint = Checkpoint(
            stream=self._stream.id,
            number=self.checkpoints,
            size=self._stream.size,
            root=self._stream.root(),
            time_ns=self._clock.time_ns(),
            interval_ns=self._interval_ns,
            state=state,
            key_id=self._settings.key.key_id,
            config_digest=self._runtime.config_digest,
            account_records=len(accounts),
            account_digest=account_digest(accounts),
        )
        note = sign(checkpoint, self._settings.key)
        self._stream.append_note(note)
        self.checkpoints += 1
        self._sealed_ns = checkpoint.time_ns
        self._sealed_monotonic_ns = self._attempted_monotonic_ns = self._clock.monotonic_ns()
        self._show(note)
        return note

    def _show(self, note: bytes) -> None:
        if self._settings.witness is None:
            return
        try:
            self._settings.witness(note)
        except Exception as error:
            self._runtime.errors("audit").record("witness", error)
