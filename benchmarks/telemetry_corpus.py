"""A labelled corpus of telemetry: spans of about 12 text attributes (1 kB), in some of which a secret is planted.

Deterministic: one seed, one corpus. A label says where the planted text stands in its attribute. Beside the secrets
stand the things that look like them: UUIDs, trace ids, timestamps, order ids, browser versions, article numbers.

    python benchmarks/telemetry_corpus.py OUT.jsonl [--spans 10000] [--seed 20261124] [--dirty 0.107]
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

_T = TypeVar("_T")

SEED: Final = 20261124
DIRTY: Final = 0.107
"""Chance of a secret in a value that may carry one; 0.107 makes 46 % of the spans and 5 % of the values dirty."""


def _list(words: str) -> list[str]:
    return words.split()


ALPHANUMERIC: Final = string.ascii_letters + string.digits
FIRST_NAMES: Final = [
    "anna",
    "bob",
    "carla",
    "dmitri",
    "elena",
    "frank",
    "grace",
    "hiro",
    "ines",
    "joao",
    "karen",
    "liam",
    "maria",
    "noah",
    "olga",
    "pavel",
    "quinn",
    "rosa",
    "sven",
    "tara",
    "umar",
    "vera",
    "wei",
    "xena",
    "yuki",
    "zoe",
]
LAST_NAMES: Final = [
    "smith",
    "jones",
    "garcia",
    "mueller",
    "rossi",
    "tanaka",
    "kim",
    "novak",
    "silva",
    "brown",
    "ivanov",
    "chen",
    "dubois",
    "khan",
    "okafor",
    "lopez",
    "olsen",
    "patel",
]
MAIL_DOMAINS: Final = [
    "example.com",
    "gmail.com",
    "acme-corp.io",
    "mail.ru",
    "uni-bonn.de",
    "yahoo.co.uk",
    "contoso.onmicrosoft.com",
    "proton.me",
]
SERVICES: Final = [
    f"{area}-{kind}"
    for area in ["cart", "checkout", "payment", "catalog", "search", "user", "auth", "mail", "ship", "price"]
    for kind in ("api", "worker", "svc")
]
HOSTS: Final = [
    *(f"{service}.prod.svc.cluster.local" for service in SERVICES[:20]),
    "api.example-shop.net",
    "cdn.example-shop.net",
    "www.partner-site.org",
]
USER_AGENTS: Final = [
    *(
        f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version} Safari/537.36"
        for system in (
            "Windows NT 10.0; Win64; x64",
            "Macintosh; Intel Mac OS X 10_15_7",
            "X11; Linux x86_64",
            "Linux; Android 13; SM-S901B",
        )
        for version in ("120.0.6099.109", "119.0.6045.199", "118.0.5993.88", "131.0.6778.85")
    ),
    "python-requests/2.31.0",
    "okhttp/4.12.0",
    "Go-http-client/2.0",
    "curl/8.4.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "kube-probe/1.28",
    "axios/1.6.2",
    "grpc-python/1.59.3 grpc-c/36.0.0 (linux; chttp2)",
]
ROUTES: Final = [
    "/api/v1/users/{id}",
    "/api/v1/orders/{id}/items",
    "/api/v2/search",
    "/checkout",
    "/healthz",
    "/api/v1/catalog/{sku}",
    "/login",
    "/static/{path}",
    "/api/v1/payments/{id}/capture",
    "/graphql",
]
QUERY_KEYS: Final = [
    "page",
    "limit",
    "sort",
    "q",
    "utm_source",
    "sku",
    "lang",
    "ts",
    "rid",
    "cursor",
    "category",
    "in_stock",
]
WORDS: Final = [
    "red",
    "blue",
    "shoes",
    "winter",
    "jacket",
    "order",
    "retry",
    "timeout",
    "upstream",
    "cache",
    "miss",
    "hit",
    "warehouse",
    "invoice",
    "shipping",
    "label",
    "customer",
    "cart",
    "total",
    "discount",
    "applied",
    "failed",
    "because",
    "connection",
    "reset",
    "by",
    "peer",
    "while",
    "reading",
    "response",
    "from",
    "backend",
    "service",
    "please",
    "try",
    "again",
    "later",
]
MODULES: Final = [
    "flask/app.py",
    "django/core/handlers/base.py",
    "sqlalchemy/engine/base.py",
    "psycopg2/extensions.py",
    "requests/adapters.py",
    "urllib3/connectionpool.py",
    "celery/app/trace.py",
    "app/services/cart.py",
    "app/services/payment.py",
    "app/repo/users.py",
]
FUNCTIONS: Final = ["handle", "dispatch", "_execute", "get_response", "__call__", "send", "urlopen"]
LINES: Final = [
    "return self.full_dispatch_request()",
    "response = get_response(request)",
    "cursor.execute(statement, parameters)",
    "raise ConnectionError(e, request=request)",
    "result = fn(*args, **kwargs)",
]
ERRORS: Final = [
    "ConnectionError: HTTPConnectionPool(host='inventory', port=8080): Max retries exceeded with url: /v1/stock",
    "KeyError: 'sku'",
    "TimeoutError: timed out after 3000 ms",
    "ValueError: invalid literal for int() with base 10: 'abc'",
    "sqlalchemy.exc.OperationalError: server closed the connection unexpectedly",
]
SPAN_NAMES: Final = [f"{method} {route}" for method in ("GET", "POST", "PUT") for route in ROUTES]
PLANTABLE: Final = (
    "url.full",
    "db.statement",
    "log.message",
    "messaging.body",
    "exception.stacktrace",
    "enduser.note",
)
QUERY_KEY_OF: Final = {
    "EMAIL": "email",
    "PAN": "card",
    "SSN": "ssn",
    "IBAN": "iban",
    "IPV4": "ip",
    "PHONE": "phone",
    "JWT": "token",
    "AWS_KEY": "AWSAccessKeyId",
    "GITHUB_TOKEN": "access_token",
    "KV_PASSWORD": "password",
    "GOOGLE_API_KEY": "key",
}
"""Under which key an entity is planted in a query string; others are not planted there."""
NOT_IN_SQL: Final = ("PRIVATE_KEY", "BEARER", "URL_PASSWORD", "KV_PASSWORD", "AWS_SECRET")


class Label(NamedTuple):
    """A planted secret."""

    key: str
    """The attribute it stands in."""
    entity: str
    start: int
    """Where it begins in the attribute, in characters."""
    end: int
    value: str


class SpanData(NamedTuple):
    """One span of the corpus."""

    name: str
    attributes: dict[str, str]
    labels: list[Label]


class Entity(NamedTuple):
    """A kind of secret: how often it is planted, how one is made, and what may stand before it."""

    weight: int
    make: Callable[[], str]
    prefixes: tuple[str, ...]
    suffix: str = ""


def with_check_digit(payload: str) -> str:
    """A number with its Luhn check digit."""
    total = 0
    for index, char in enumerate(reversed(payload)):
        digit = int(char) * (2 if index % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return payload + str(-total % 10)


def base64url(text: str) -> str:
    """Base64 as in a JWT."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class Corpus:
    """Makes spans; the same seed makes the same spans.

    Args:
        dirty: chance of a secret in a value that may carry one; 0 plants nothing.
    """

    def __init__(self, seed: int = SEED, *, dirty: float = DIRTY) -> None:
        self._random = random.Random(seed)
        self._dirty = dirty
        self._entities = {
            "EMAIL": Entity(22, self.email, ("", "user ", "contact=", "email: ")),
            "PAN": Entity(9, self.card, ("card ", "pan=", "cc: ", "")),
            "SSN": Entity(5, self.ssn, ("ssn ", "SSN: ", "")),
            "IBAN": Entity(4, self.iban, ("iban ", "IBAN=", "account ")),
            "IPV4": Entity(14, self.ipv4, ("from ", "client ", "ip=", "peer ")),
            "IPV6": Entity(4, self.ipv6, ("from ", "peer ")),
            "PHONE": Entity(8, self.phone, ("phone ", "tel: ", "call ", "")),
            "JWT": Entity(7, self.jwt, ("token ", "jwt=", "")),
            "AWS_KEY": Entity(3, self.aws_key, ("key ", "AWSAccessKeyId=", "")),
            "AWS_SECRET": Entity(
                2, lambda: self._text(40, ALPHANUMERIC + "/+"), ("aws_secret_access_key=", "aws_secret_access_key: ")
            ),
            "GITHUB_TOKEN": Entity(3, lambda: self._choice(["ghp_", "gho_", "ghs_"]) + self._text(36), ("token ", "")),
            "SLACK_TOKEN": Entity(2, self.slack_token, ("slack ", "")),
            "BEARER": Entity(
                5,
                lambda: self._text(40, ALPHANUMERIC + "-_"),
                ("Authorization: Bearer ", "authorization=bearer "),
            ),
            "URL_PASSWORD": Entity(
                4,
                lambda: self._text(self._int(8, 16), ALPHANUMERIC + "!$*_"),
                ("postgres://app:", "https://svc:", "redis://default:", "amqp://guest:"),
                "@db.internal:5432/x",
            ),
            "KV_PASSWORD": Entity(
                5,
                lambda: self._text(self._int(8, 16), ALPHANUMERIC + "!#*_"),
                ("password=", "passwd=", '"password":"', "pwd="),
            ),
            "STRIPE_KEY": Entity(1, lambda: "sk_live_" + self._text(24), ("key ",)),
            "GOOGLE_API_KEY": Entity(1, lambda: "AIza" + self._text(35, ALPHANUMERIC + "-_"), ("key=",)),
            "PRIVATE_KEY": Entity(1, self.private_key, ("pem ",)),
            "OPENAI_KEY": Entity(1, lambda: "sk-proj-" + self._text(48), ("key ",)),
        }
        self._weights = [entity.weight for entity in self._entities.values()]

    def spans(self, count: int) -> Iterator[SpanData]:
        """The next `count` spans."""
        for _ in range(count):
            attributes = self._attributes()
            labels = [
                self._plant(attributes, key)
                for key in list(attributes)
                if key in PLANTABLE and self._random.random() < self._dirty * 1.29
            ]
            yield SpanData(self._choice(SPAN_NAMES), attributes, labels)

    # What is planted.

    def email(self) -> str:
        first, last = self._choice(FIRST_NAMES), self._choice(LAST_NAMES)
        tail = self._choice(["", str(self._int(1, 99)), "+news"])
        return f"{first}.{last}{tail}@{self._choice(MAIL_DOMAINS)}"

    def card(self) -> str:
        network = self._random.random()
        if network < 0.5:
            payload = "4" + self._text(14, string.digits)
        elif network < 0.8:
            payload = "5" + self._choice("12345") + self._text(13, string.digits)
        elif network < 0.9:
            payload = self._choice(["34", "37"]) + self._text(12, string.digits)
        else:
            payload = "6011" + self._text(11, string.digits)
        number = with_check_digit(payload)
        form = self._random.random()
        if len(number) == 16 and form < 0.45:
            return (" " if form < 0.3 else "-").join(number[i : i + 4] for i in range(0, 16, 4))
        return number

    def ssn(self) -> str:
        area = self._choice([area for area in range(1, 900) if area != 666])
        return f"{area:03d}-{self._int(1, 99):02d}-{self._int(1, 9999):04d}"

    def iban(self) -> str:
        country, digits = self._choice([("DE", 18), ("GB", 14), ("FR", 23), ("NL", 10), ("ES", 20)])
        bank = {"GB": "NWBK", "NL": "ABNA"}.get(country, "")
        account = bank + self._text(digits, string.digits)
        remainder = int("".join(str(int(char, 36)) for char in account + country + "00")) % 97
        number = f"{country}{98 - remainder:02d}{account}"
        if self._random.random() < 0.3:
            return " ".join(number[i : i + 4] for i in range(0, len(number), 4))
        return number

    def ipv4(self) -> str:
        first = self._choice([10, 52, 81, 172, 192, 203])
        return f"{first}.{self._int(0, 255)}.{self._int(0, 255)}.{self._int(1, 254)}"

    def ipv6(self) -> str:
        if self._random.random() < 0.5:
            return ":".join(f"{self._int(0x1000, 0xFFFF):x}" for _ in range(8))
        return f"2001:db8:{self._int(1, 0xFFFF):x}::{self._int(1, 0xFFFF):x}"

    def phone(self) -> str:
        forms: list[Callable[[], str]] = [
            lambda: f"+1-{self._int(201, 989)}-555-{self._int(100, 199):04d}",
            lambda: f"({self._int(201, 989)}) 555-{self._int(100, 199):04d}",
            lambda: f"+44 20 7946 {self._int(0, 999):04d}",
            lambda: f"+49 30 {self._int(1000000, 9999999)}",
            lambda: f"{self._int(201, 989)}-555-{self._int(100, 199):04d}",
        ]
        return self._choice(forms)()

    def jwt(self) -> str:
        header = base64url('{"alg":"HS256","typ":"JWT"}')
        claims = {
            "sub": str(self._int(10**9, 10**10)),
            "name": self._choice(FIRST_NAMES),
            "iat": 1700000000 + self._int(0, 10**7),
        }
        return f"{header}.{base64url(json.dumps(claims))}.{self._text(43, ALPHANUMERIC + '-_')}"

    def aws_key(self) -> str:
        return self._choice(["AKIA", "ASIA"]) + self._text(16, string.ascii_uppercase + "234567")

    def slack_token(self) -> str:
        return f"xoxb-{self._text(12, string.digits)}-{self._text(12, string.digits)}-{self._text(24)}"

    def private_key(self) -> str:
        lines = "\n".join(self._text(64, ALPHANUMERIC + "+/") for _ in range(6))
        return f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----"

    # What it is planted in.

    def url(self) -> str:
        host, route, number = self._choice(HOSTS), self._choice(ROUTES), str(self._int(1, 99999))
        # Numbers are drawn whether the route has a place for them or not.
        article, script = str(self._int(1, 9999)), f"js/app.{self._hex(8)}.js"
        path = route.replace("{id}", number).replace("{sku}", article).replace("{path}", script)
        keys = self._random.sample(QUERY_KEYS, self._int(1, 5))
        return f"https://{host}{path}?" + "&".join(f"{key}={self.query_value(key)}" for key in keys)

    def query_value(self, key: str) -> str:
        forms: dict[str, Callable[[], str]] = {
            "page": lambda: str(self._int(1, 50)),
            "limit": lambda: self._choice(["10", "20", "50", "100"]),
            "sort": lambda: self._choice(["price_asc", "name", "-created"]),
            "q": lambda: "+".join(self._choice(WORDS) for _ in range(self._int(1, 3))),
            "utm_source": lambda: self._choice(["newsletter", "google", "direct"]),
            "sku": lambda: f"SKU-{self._int(10000, 99999)}-{self._text(2, 'ABCDE')}",
            "lang": lambda: self._choice(["en-US", "de-DE", "fr"]),
            "ts": lambda: str(1700000000000 + self._int(0, 10**10)),
            "rid": lambda: self.uuid("a"),
            "cursor": lambda: self._text(24),
            "category": lambda: self._choice(["shoes", "jackets", "sale"]),
            "in_stock": lambda: self._choice(["true", "false"]),
        }
        return forms[key]()

    def uuid(self, variant: str) -> str:
        return f"{self._hex(8)}-{self._hex(4)}-4{self._hex(3)}-{variant}{self._hex(3)}-{self._hex(12)}"

    def sql(self) -> str:
        forms: list[Callable[[], str]] = [
            lambda: (
                "SELECT id, sku, qty, price FROM order_items WHERE order_id = "
                f"{self._int(1, 10**6)} AND status = 'open' ORDER BY created_at DESC LIMIT {self._choice([10, 20, 50])}"
            ),
            lambda: (
                "SELECT u.id, u.created_at, p.plan FROM users u JOIN plans p ON p.user_id = u.id "
                "WHERE u.id = $1 AND p.active = true"
            ),
            lambda: (
                f"INSERT INTO audit_log (trace_id, action, at) VALUES ('{self._hex(32)}', 'update', "
                f"'2024-0{self._int(1, 9)}-1{self._int(0, 9)} 1{self._int(0, 9)}:0{self._int(0, 9)}:21."
                f"{self._int(100, 999)}')"
            ),
            lambda: "UPDATE carts SET total_cents = ?, updated_at = now() WHERE id = ? AND version = ?",
            lambda: f"DELETE FROM sessions WHERE expires_at < {1700000000 + self._int(0, 10**6)}",
            lambda: (
                f"SELECT count(*) FROM events WHERE tenant = 't-{self._int(1, 200)}' AND ts BETWEEN "
                f"'2024-01-0{self._int(1, 9)}' AND '2024-02-1{self._int(0, 9)}' GROUP BY kind, region "
                f"HAVING count(*) > {self._int(1, 99)}"
            ),
        ]
        return self._choice(forms)()

    def stack_trace(self) -> str:
        lines = ["Traceback (most recent call last):"]
        for _ in range(self._int(7, 11)):
            module, number = self._choice(MODULES), self._int(10, 2200)
            place = f'  File "/usr/local/lib/python3.11/site-packages/{module}", line {number}'
            lines.append(f"{place}, in {self._choice(FUNCTIONS)}\n    {self._choice(LINES)}")
        lines.append(self._choice(ERRORS))
        return "\n".join(lines)

    def body(self) -> str:
        if self._random.random() >= 0.5:
            return self.words(self._int(20, 90)).capitalize() + "."
        order: int | str
        order = str(self._int(10**15, 10**16 - 1)) if self._random.random() < 0.1 else self._int(1, 10**7)
        return json.dumps(
            {
                "order_id": order,
                "currency": self._choice(["EUR", "USD"]),
                "total": round(self._random.random() * 500, 2),
                "items": [
                    {"sku": f"SKU-{self._int(10000, 99999)}", "qty": self._int(1, 5), "name": self.words(2)}
                    for _ in range(self._int(1, 5))
                ],
                "trace": self._hex(32),
                "note": self.words(self._int(3, 15)),
            }
        )

    def log_line(self) -> str:
        level, service = self._choice(["INFO", "WARN", "ERROR"]), self._choice(SERVICES)
        return f"{level} {service} {self.words(self._int(4, 14))} in {self._int(1, 3000)}ms id={self._hex(16)}"

    def words(self, count: int) -> str:
        return " ".join(self._choice(WORDS) for _ in range(count))

    # How it is put together.

    def _attributes(self) -> dict[str, str]:
        chance = self._random.random
        attributes = {
            "service.name": self._choice(SERVICES),
            "http.request.method": self._choice(["GET", "GET", "GET", "POST", "PUT", "DELETE"]),
            "http.route": self._choice(ROUTES),
            "url.full": self.url(),
            "server.address": self._choice(HOSTS),
            "user_agent.original": self._choice(USER_AGENTS),
            "db.system": self._choice(["postgresql", "mysql", "redis"]),
            "db.statement": self.sql(),
            "thread.name": f"worker-{self._int(1, 16)}",
            "code.function": self._choice(["handle", "dispatch", "get_response", "run", "process_order"]),
            "log.message": self.log_line(),
        }
        if chance() < 0.5:
            attributes["messaging.body"] = self.body()
        if chance() < 0.25:
            attributes["exception.stacktrace"] = self.stack_trace()
        if chance() < 0.4:
            attributes["enduser.note"] = self.words(self._int(2, 8))
        if chance() < 0.3:
            attributes["deployment.id"] = self.uuid("9")
        return attributes

    def _plant(self, attributes: dict[str, str], key: str) -> Label:
        entity, prefix, secret, suffix = self._secret()
        text = attributes[key]
        if key == "url.full":
            while entity not in QUERY_KEY_OF:
                entity, prefix, secret, suffix = self._secret()
            secret = secret.replace(" ", "" if entity == "IBAN" else "-")
            before = f"{text}&{QUERY_KEY_OF[entity]}="
            attributes[key], start = before + secret, len(before)
        elif key == "db.statement":
            while entity in NOT_IN_SQL:
                entity, prefix, secret, suffix = self._secret()
            before = f"{text} /* c */ AND x = '"
            attributes[key], start = f"{before}{secret}'", len(before)
        else:
            at, attributes[key] = self._insert(text, prefix + secret + suffix)
            start = at + len(prefix)
        assert attributes[key][start : start + len(secret)] == secret
        return Label(key, entity, start, start + len(secret), secret)

    def _secret(self) -> tuple[str, str, str, str]:
        (name,) = self._random.choices(list(self._entities), self._weights)
        entity = self._entities[name]
        secret, prefix = entity.make(), self._choice(entity.prefixes)
        return name, prefix, secret, '"' if prefix == '"password":"' else entity.suffix

    def _insert(self, text: str, piece: str) -> tuple[int, str]:
        """Puts a piece between two words, or at the end; where it begins."""
        blanks = [index for index, char in enumerate(text) if char == " "]
        if blanks and self._random.random() < 0.7:
            at = self._choice(blanks) + 1
            return at, f"{text[:at]}{piece} {text[at:]}"
        return len(text) + 1, f"{text} {piece}"

    def _choice(self, options: Sequence[_T]) -> _T:
        return self._random.choice(options)

    def _int(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def _text(self, length: int, alphabet: str = ALPHANUMERIC) -> str:
        return "".join(self._random.choice(alphabet) for _ in range(length))

    def _hex(self, length: int) -> str:
        return self._text(length, "0123456789abcdef")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--dirty", type=float, default=DIRTY)
    arguments = parser.parse_args()
    with arguments.out.open("w") as file:
        for span in Corpus(arguments.seed, dirty=arguments.dirty).spans(arguments.spans):
            labels = [label._asdict() for label in span.labels]
            file.write(json.dumps({"name": span.name, "attributes": span.attributes, "labels": labels}) + "\n")


if __name__ == "__main__":
    main()
