"""Verified tokens: real keys, real forgeries. No SDK."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context

from otelwarden.core import MAX_TOKEN, ConfigError, Identity, Runtime, Token
from otelwarden.tenancy import (
    Tenancy,
    TenancyConfig,
    TenantRegistry,
    TokenConfig,
    set_tenant,
    set_token,
)
from otelwarden.tenancy.tokens import TokenVerifier
from otelwarden.testing import FakeClock

from .waiting import until

ISSUER, AUDIENCE = "https://issuer.example", "shop"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
OTHER_P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SECRET = "a secret of thirty-two bytes at least, here sixty-four, as HS512 needs"


def pem(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def jwk(key, algorithm: str, **more) -> dict:
    kind = {"R": jwt.algorithms.RSAAlgorithm, "E": jwt.algorithms.ECAlgorithm}[algorithm[0]]
    if algorithm == "EdDSA":
        kind = jwt.algorithms.OKPAlgorithm
    return {**json.loads(kind.to_jwk(key)), **more}


def claims(**changes) -> dict:
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, "tenant": "acme", **changes}
    return {key: value for key, value in made.items() if value is not None}


def signed(key=P256, algorithm="ES256", headers=None, **changes) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers=headers)


def segment(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "p256.pem").write_bytes(pem(P256))
    (tmp_path / "rsa.pem").write_bytes(pem(RSA))
    (tmp_path / "ed.pem").write_bytes(pem(ED))
    (tmp_path / "secret").write_text(SECRET + "\n")
    both = [jwk(P256.public_key(), "ES256", kid="a", alg="ES256", use="sig"), jwk(RSA.public_key(), "RS256", kid="b")]
    unused = {"kty": "oct", "use": "enc", "kid": "c"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [*both, unused]}))
    return tmp_path


@pytest.fixture
def make(registry, runtime, keys):
    def build(*, sources=("token", "context", "baggage", "resource"), runtime=runtime, unknown="reject", **changes):
        options = {"algorithms": ("ES256",), "issuer": ISSUER, "audience": AUDIENCE}
        if not changes.keys() & {"jwks_file", "secret_file", "secret_env", "public_key_file"}:
            options["public_key_file"] = str(keys / "p256.pem")
        token = TokenConfig(**options | changes)
        config = TenancyConfig(sources=sources, token=token, unknown=unknown, reload_interval=0.02)
        return Tenancy(registry, config, runtime=runtime)

    return build


def refusals(events) -> list[str]:
    return [event.reason for event in events if event.action == "refuse_token"]


def test_a_verified_token_names_the_tenant(make, keys, monkeypatch):
    monkeypatch.setenv("TOKEN_SECRET", SECRET)
    for options, token in (
        ({}, signed()),
        ({"algorithms": ("RS256", "PS384"), "public_key_file": str(keys / "rsa.pem")}, signed(RSA, "PS384")),
        ({"algorithms": ("EdDSA",), "public_key_file": str(keys / "ed.pem")}, signed(ED, "EdDSA")),
        ({"algorithms": ("HS256",), "secret_file": str(keys / "secret")}, signed(SECRET, "HS256")),
        ({"algorithms": ("HS512",), "secret_env": "TOKEN_SECRET"}, signed(SECRET, "HS512")),
        ({"jwks_file": str(keys / "keys.json")}, signed(headers={"kid": "a"})),
        ({"algorithms": ("ES256", "RS256"), "jwks_file": str(keys / "keys.json")}, signed(RSA, "RS256", {"kid": "b"})),
        ({"tenant_claim": ("org", "id")}, signed(tenant=None, org={"id": "acme"})),
        ({"tenant_claim": "https://shop.example/tenant"}, signed(**{"https://shop.example/tenant": "acme"})),
        ({"audience": "shop"}, signed(aud=["other", "shop"])),
    ):
        assert make(**options).resolve(set_token(token, Context())) == Identity("acme", "token"), options


FORGED = {
    "another's key": (lambda: signed(OTHER_P256), "signature"),
    "no algorithm": (lambda: jwt.encode(claims(), None, "none"), "algorithm"),
    "no signature": (lambda: signed().rpartition(".")[0] + ".", "signature"),
    "the public key as a secret": (
        lambda: f"{(head := segment({'alg': 'HS256'}) + '.' + segment(claims()))}."
        + segment(jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(head.encode(), pem(P256))),
        "algorithm",
    ),
    "another algorithm": (lambda: signed(RSA, "RS256"), "algorithm"),
    "another tenant in it": (
        lambda: ".".join(
            (signed().split(".")[0], segment(claims(tenant="blue")), signed().split(".")[2]),
        ),
        "signature",
    ),
    "a key that comes along": (
        lambda: signed(OTHER_P256, headers={"jwk": jwk(OTHER_P256.public_key(), "ES256")}),
        "signature",
    ),
    "expired": (lambda: signed(exp=int(time.time()) - 31), "expired"),
    "for ever": (lambda: signed(exp=None), "claim"),
    "infinite": (lambda: f"{segment({'alg': 'ES256'})}.{segment(b'{}')}.AAAA", "signature"),
    "expires never": (lambda: jwt.encode({**claims(), "exp": float("inf")}, P256, "ES256"), "malformed"),
    "expires as text": (
        lambda: jwt.api_jws.encode(json.dumps({**claims(), "exp": "x"}).encode(), P256, "ES256"),
        "malformed",
    ),
    "not yet": (lambda: signed(nbf=int(time.time()) + 60), "not_yet_valid"),
    "another issuer": (lambda: signed(iss="https://evil.example"), "issuer"),
    "no issuer": (lambda: signed(iss=None), "claim"),
    "another audience": (lambda: signed(aud="bank"), "audience"),
    "no audience": (lambda: signed(aud=None), "claim"),
    "no tenant": (lambda: signed(tenant=None), "tenant"),
    "tenant of another type": (lambda: signed(tenant=["acme"]), "tenant"),
    "tenant that is no id": (lambda: signed(tenant="../acme"), "tenant"),
    "tenant with a line feed": (lambda: signed(tenant="acme\n"), "tenant"),
    "tenant in Cyrillic": (lambda: signed(tenant="\u0430cme"), "tenant"),
    "tenant too long": (lambda: signed(tenant="a" * 151), "tenant"),
    "an extension": (lambda: signed(headers={"crit": ["exp"]}), "malformed"),
    "oversize": (lambda: signed(more="x" * 8192), "oversize"),
    "far too large": (lambda: "a" * (MAX_TOKEN + 1), "malformed"),
    "nothing": (lambda: "", "malformed"),
    "one segment": (lambda: "acme", "malformed"),
    "a list for a header": (lambda: f"{segment(['alg'])}.{segment({})}.x", "malformed"),
    "deep": (lambda: f"{segment(b'[' * 3000)}.e30.x", "malformed"),
    "not ASCII": (lambda: signed() + "\u0130", "malformed"),
    "no text": (lambda: 5, "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("unknown", ["reject", "quarantine", "pass"])
def test_what_proves_nothing_tags_and_charges_nobody(make, events, name, unknown):
    forge, reason = FORGED[name]
    tenancy = make(unknown=unknown)
    context = set_token(forge(), Context())
    identity = tenancy.resolve(context)
    verdict = tenancy.admit(identity.tenant)
    account = {"reject": "<invalid>", "quarantine": "quarantine", "pass": "unattributed"}[unknown]
    assert (identity.tenant, identity.source, verdict.tenant) == (account, "token", account)
    assert "acme" not in verdict.tags.values()
    assert tenancy.resolve(context) == identity
    assert refusals(events) == [reason], "told once, not for each span"
    assert tenancy.runtime.error_counts() == {"tenancy": {}}


def test_a_key_is_chosen_by_its_id_and_its_type(make, events, keys):
    tenancy = make(algorithms=("ES256", "RS256"), jwks_file=str(keys / "keys.json"))
    for token in (
        signed(headers={"kid": "b"}),
        signed(headers={"kid": "z"}),
        signed(headers={"kid": "c"}),
        signed(RSA, "RS256", {"kid": "a"}),
    ):
        assert tenancy.resolve(set_token(token, Context())).tenant == "<invalid>"
    assert refusals(events) == ["key"] * 4
    assert tenancy.resolve(set_token(signed(), Context())).tenant == "acme", "one key fits the algorithm"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_a_token_is_accepted(data):
    runtime = Runtime()
    registry = TenantRegistry(runtime=runtime)
    for tenant in ("acme", "blue"):
        registry.create(tenant, tenant)
    verifier = VERIFIERS["ES256"]
    token = TOKENS["ES256"]
    assert verifier.tenant_of(Token(token)) == "acme"
    place = data.draw(st.integers(0, len(token) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    how = data.draw(st.sampled_from(["replace", "insert", "delete", "cut", "header", "payload"]))
    if how == "replace":
        changed = token[:place] + data.draw(st.sampled_from(alphabet)) + token[place + 1 :]
    elif how == "insert":
        changed = token[:place] + data.draw(st.text(alphabet, min_size=1, max_size=5)) + token[place:]
    elif how == "delete":
        changed = token[:place] + token[place + data.draw(st.integers(1, 8)) :]
    elif how == "cut":
        changed = token[:place]
    else:
        parts = token.split(".")
        names = st.sampled_from(["alg", "kid", "tenant", "exp", "aud", "iss", "typ", "x5c", "jku"])
        values = st.sampled_from(["none", "HS256", "None", "", "blue", "acme", 0, 1e300, None, [], {}, "ES384"])
        content = data.draw(st.dictionaries(names, values, max_size=4))
        parts[0 if how == "header" else 1] = segment(content)
        changed = ".".join(parts)
    if verifier.tenant_of(Token(changed)) != "<invalid>":
        # The last character of base64 has bits that mean nothing: another text of the very same token.
        assert decoded(changed) == decoded(token)


def decoded(token: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_it(text):
    verifier = VERIFIERS["ES256"]
    assert verifier.tenant_of(Token(text)) == "<invalid>"


@pytest.fixture(scope="module", autouse=True)
def fuzzed(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "p256.pem"
    path.write_bytes(pem(P256))
    config = TokenConfig(algorithms=("ES256",), issuer=ISSUER, audience=AUDIENCE, public_key_file=str(path))
    VERIFIERS["ES256"] = TokenVerifier(config, runtime=Runtime(), interval=60.0)
    TOKENS["ES256"] = signed()


VERIFIERS: dict[str, TokenVerifier] = {}
TOKENS: dict[str, str] = {}


def test_a_verified_id_wins_wherever_it_stands(make, events):
    context = set_tenant("blue", set_token(signed(), Context()))
    for sources in (("token", "context"), ("context", "token")):
        assert make(sources=sources).resolve(context) == Identity("acme", "token")
    conflicts = [(e.reason, e.tenant) for e in events if e.action == "conflict"]
    assert conflicts == [("token_over_context", "acme")] * 2
    agreed = set_tenant("acme", set_token(signed(), Context()))
    assert make(sources=("context", "token")).resolve(agreed) == Identity("acme", "token")
    assert len([e for e in events if e.action == "conflict"]) == 2


def test_a_bad_token_wins_nothing(make, events):
    context = set_tenant("blue", set_token(signed(OTHER_P256), Context()))
    assert make(sources=("context", "token")).resolve(context) == Identity("blue", "context")
    assert make(sources=("token", "context")).resolve(context).tenant == "<invalid>"
    assert [e.reason for e in events if e.action == "conflict"] == ["context_over_token", "token_over_context"]


def test_it_is_remembered_until_it_expires_and_no_longer(registry, keys):
    clock = FakeClock()
    clock.advance(time.time() - clock.time_ns() / 1e9)
    config = TokenConfig(
        algorithms=("ES256",), issuer=ISSUER, audience=AUDIENCE, public_key_file=str(keys / "p256.pem"), leeway=0.0
    )
    verifier = TokenVerifier(config, runtime=Runtime(clock=clock), interval=60.0)
    token = Token(signed(exp=int(clock.time_ns() / 1e9) + 100))
    assert verifier.tenant_of(token) == "acme"
    clock.advance(98)
    assert verifier.tenant_of(token) == "acme"
    clock.advance(3)
    assert verifier.tenant_of(token) == "<invalid>"


def test_what_is_remembered_is_bounded(make, keys, registry):
    config = TokenConfig(
        algorithms=("HS256",), issuer=ISSUER, audience=AUDIENCE, secret_file=str(keys / "secret"), max_cached=50
    )
    verifier = TokenVerifier(config, runtime=Runtime(), interval=60.0)
    for number in range(200):
        assert verifier.tenant_of(Token(signed(SECRET, "HS256", jti=str(number)))) == "acme"
    assert len(verifier._proven) == 50
    for number in range(2000):
        assert verifier.tenant_of(Token(f"forged{number}")) == "<invalid>"
    assert (len(verifier._proven), len(verifier._refused)) == (50, 1024)


def test_keys_are_rotated_while_it_runs(make, events, keys):
    tenancy = make()
    old, new = set_token(signed(), Context()), set_token(signed(OTHER_P256), Context())
    assert tenancy.resolve(old).tenant == "acme"
    (keys / "p256.pem").write_text("no key at all")
    until(lambda: [e.reason for e in events if e.action == "reload"] == ["refused"])
    assert tenancy.resolve(old).tenant == "acme", "the last good key stays"
    (keys / "p256.pem").write_bytes(pem(OTHER_P256))
    until(lambda: [e.reason for e in events if e.action == "reload"] == ["refused", "ok"])
    assert tenancy.resolve(old).tenant == "<invalid>", "what the old key proved is forgotten"
    until(lambda: tenancy.resolve(new).tenant == "acme")


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("gone.pem", None, {}, "cannot be read"),
        ("private.pem", P256.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()), {}, "not a public key in PEM"),
        ("rsa.pem", pem(RSA), {}, "a key for none of the algorithms"),
        ("p384.pem", pem(ec.generate_private_key(ec.SECP384R1())), {}, "a key for none of the algorithms"),
        ("short.pem", pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
         {"algorithms": ("RS256",)}, "a key for none of the algorithms"),
        ("short", b"hunter2", {"algorithms": ("HS256",)}, "too short"),
        ("public", pem(RSA), {"algorithms": ("HS256",)}, "is the text of a key pair"),
        ("list.json", b"[]", {}, "not a set of keys"),
        ("empty.json", b'{"keys": []}', {}, "no key for any"),
        ("same.json", json.dumps({"keys": [jwk(P256.public_key(), "ES256", kid="a")] * 2}).encode(), {}, "told apart"),
        ("other.json", json.dumps({"keys": [jwk(RSA.public_key(), "RS256")]}).encode(), {}, "no key for any"),
        ("oct.json", json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).encode(), {}, "not a public key"),
        ("private.json", json.dumps({"keys": [jwk(P256, "ES256")]}).encode(), {}, "not a public key"),
        ("odd.json", b'{"keys": [{"kty": "RSA", "n": 5}]}', {}, "not a public key"),
        ("kid.json", json.dumps({"keys": [jwk(P256.public_key(), "ES256", kid=7)]}).encode(), {}, "wrong type"),
    ],
)  # fmt: skip
def test_a_bad_key_is_refused_at_the_start(make, keys, name, content, options, message):
    path = keys / f"bad-{name}"
    if content is not None:
        path.write_bytes(content)
    kind = "jwks_file" if name.endswith(".json") else "secret_file" if "HS256" in str(options) else "public_key_file"
    with pytest.raises(ConfigError, match=message) as refused:
        make(**{kind: str(path)}, **options)
    assert [fault.file for fault in refused.value.faults] == [str(path)]
    assert content is None or content.decode()[-20:].strip() not in str(refused.value), "it tells what it read"


def test_a_variable_that_is_not_set_is_no_secret(make):
    with pytest.raises(ConfigError, match="NO_SUCH_SECRET"):
        make(algorithms=("HS256",), secret_env="NO_SUCH_SECRET")


def test_a_token_does_not_show_itself():
    text = signed()
    token = Token(text)
    for shown in (repr(token), str(token), f"{set_token(text, Context())}"):
        assert text not in shown
        assert text.split(".")[2] not in shown
    import copy
    import pickle

    assert pickle.loads(pickle.dumps(token)).text == ""
    assert copy.deepcopy(token).text == ""


def test_a_token_may_be_taken_away(make):
    context = set_tenant("blue", set_token(signed(), Context()))
    assert make().resolve(set_token(None, context)) == Identity("blue", "context")
