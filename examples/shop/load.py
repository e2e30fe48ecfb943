"""Customers of several tenants at work: a seeded load whose every request carries personal data that occurs only once.

What was sent is remembered here, so that what the receivers got can be held against it: the canaries, and which trace
belongs to which tenant.
"""

from __future__ import annotations

import json
import random
import string
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

CORE: Final = 12
"""Bytes by which a canary is searched for; enough to be unique, short enough to survive a mask that keeps an end."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One tenant's traffic."""

    tenant: str
    rate: float
    """Requests per second."""
    note: str
    """What it is in the demo for."""
    passes: bool = True
    """Whether its telemetry may leave at all."""
    account: str = ""
    """The account its items are on, where that is not its own: strangers share one."""


VISITORS: Final = (
    Visitor("acme", 8, "quiet"),
    Visitor("globex", 5, "quiet"),
    Visitor("initech", 24, "noisy"),
    Visitor("umbrella", 3, "suspended", passes=False),
    Visitor("hooli", 3, "unknown", passes=False, account="<unknown>"),
)


@dataclass(slots=True)
class Sent:
    """What the load sent; filled by many threads, one at a time."""

    requests: dict[str, int] = field(default_factory=lambda: {visitor.tenant: 0 for visitor in VISITORS})
    """Requests answered, by tenant."""
    statuses: dict[int, int] = field(default_factory=dict)
    """Answers, by HTTP status."""
    pieces: int = 0
    """Pieces of personal data that went into requests, each unique."""
    canaries: dict[bytes, str] = field(default_factory=dict)
    """First bytes of every form of every such piece -> what it was, and whose."""
    traces: dict[bytes, str] = field(default_factory=dict)
    """Trace id -> tenant."""
    errors: list[str] = field(default_factory=list)
    """Requests without an answer."""

    @property
    def total(self) -> int:
        """Requests answered."""
        return sum(self.requests.values())


class Person:
    """Somebody invented for one request, whose data pass the detectors' checksums and occur nowhere else."""

    def __init__(self, rng: random.Random) -> None:
        letters = string.ascii_lowercase + string.digits
        self.email = f"{''.join(rng.choices(letters, k=14))}@mail.example.com"
        self.errand = rng.choices(("login", "search", "orders", "order", "checkout"), weights=(2, 2, 2, 1, 3))[0]
        self.card = _card(rng) if self.errand == "checkout" else ""
        self.phone = _phone(rng) if self.errand == "login" else ""
        self.token = "ghp_" + "".join(rng.choices(string.ascii_letters + string.digits, k=36))
        self.customer = f"C-{''.join(rng.choices(string.ascii_uppercase + string.digits, k=12))}"

    def canaries(self) -> Iterator[tuple[str, list[str]]]:
        """Each piece of data, and the forms in which it might turn up without what all of them have in common."""
        yield "e-mail address", [self.email]
        yield "session token", [self.token.removeprefix("ghp_")]
        yield "customer number", [self.customer.removeprefix("C-")]
        if self.phone:
            yield "phone number", [self.phone, self.phone.replace("-", "")]
        if self.card:
            groups = [self.card[start : start + 4] for start in range(0, 16, 4)]
            yield "card number", [separator.join(groups) for separator in ("", " ", "-", "%20", "+")]


def _phone(rng: random.Random) -> str:
    return f"+1-{rng.randint(200, 989)}-{rng.randint(200, 989)}-{rng.randint(0, 9999):04}"


def _card(rng: random.Random) -> str:
    """A card number of the kind that passes the Luhn check (ISO/IEC 7812-1)."""
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    doubled = sum(sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits))
    return "".join(map(str, digits)) + str(-doubled % 10)


class Load:
    """The traffic of all visitors against one shop, from threads of this process.

    Args:
        url: of the shop.
        seed: the same seed, the same people doing the same things in the same order.
    """

    def __init__(self, url: str, *, seed: int) -> None:
        self.sent = Sent()
        self._lock = threading.Lock()
        self._url = url
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=16, retries=False, timeout=20)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._visit, args=(visitor, random.Random(f"{seed}/{visitor.tenant}/{lane}"), lanes), daemon=True
            )
            for visitor in VISITORS
            for lanes in (1 + int(visitor.rate // 8),)
            for lane in range(lanes)
        ]

    def start(self) -> None:
        """Opens the doors."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits for the requests under way; nothing is sent afterwards."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, visitor: Visitor, rng: random.Random, lanes: int) -> None:
        pause = lanes / visitor.rate
        due = time.monotonic() + rng.uniform(0, pause)
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            try:
                self._send(visitor.tenant, rng)
            except urllib3.exceptions.HTTPError as error:
                self.sent.errors.append(f"{visitor.tenant}: {error}")
            # One that comes late is not made up for: a slow machine shall see less load, not a queue of it.
            due = max(due + pause, time.monotonic())

    def _send(self, tenant: str, rng: random.Random) -> None:
        person = Person(rng)
        method, path, body = _request(person, rng)
        with self._lock:
            for kind, forms in person.canaries():
                self.sent.pieces += 1
                for form in forms:
                    self.sent.canaries[form[:CORE].encode()] = f"{kind} of a customer of {tenant}"
        headers = {
            "X-Tenant": tenant,
            "X-Store": f"{tenant}-{rng.randint(1, 3)}",
            "X-User-Email": person.email,
            "X-Customer": person.customer,
            "Authorization": f"Bearer {person.token}",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        encoded = json.dumps(body) if body is not None else None
        answer = self._pool.request(method, self._url + path, body=encoded, headers=headers)
        with self._lock:
            if trace_id := answer.headers.get("X-Trace-Id"):
                self.sent.traces[bytes.fromhex(trace_id)] = tenant
            self.sent.requests[tenant] += 1
            self.sent.statuses[answer.status] = self.sent.statuses.get(answer.status, 0) + 1


def _request(person: Person, rng: random.Random) -> tuple[str, str, dict[str, Any] | None]:
    """What a person's errand takes: method, path with query, body."""
    if person.errand == "login":
        return "POST", "/login", {"email": person.email, "phone": person.phone, "token": person.token}
    if person.errand == "search":
        return "GET", "/search?" + urlencode({"q": person.email}), None
    if person.errand == "orders":
        return "GET", "/orders?" + urlencode({"email": person.email, "token": person.token}), None
    if person.errand == "order":
        return "GET", f"/orders/{rng.randint(1, 200)}", None
    grouped = rng.choice(("", " ", "-")).join(person.card[start : start + 4] for start in range(0, 16, 4))
    return "POST", "/checkout", {"email": person.email, "card": grouped, "cents": rng.randint(500, 50_000)}
