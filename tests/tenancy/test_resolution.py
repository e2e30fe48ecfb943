"""Whose telemetry it is: ids, precedence, conflicts, hostile input. No SDK."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, create_key, set_value

from otelwarden.core import Identity, Runtime, TenantResolver
from otelwarden.core.context import TENANT_KEY
from otelwarden.tenancy import (
    ClaimedTenant,
    Tenancy,
    TenancyConfig,
    TenantRegistry,
    is_tenant_id,
    set_tenant,
)

ALLOWED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!-_.*'()"


class LyingText(str):
    """Claims to be whatever it is compared with."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return hash("acme")


class Hostile:
    def __eq__(self, other):
        raise RuntimeError

    def __hash__(self):
        raise RuntimeError

    def __str__(self):
        raise RuntimeError


class Shapeless:
    @property
    def __class__(self):
        raise RuntimeError


HOSTILE = [
    "acme\n",
    "\nacme",
    "acme\x00",
    "аcme",  # the first letter is Cyrillic
    "ａcme",  # the first letter is full-width
    "acme\u200b",
    "../acme",
    "..",
    ".",
    "",
    " acme",
    "a" * 151,
    "a" * 10_000,
    "<missing>",
    "<invalid>",
    "<unknown>",
    "\ud800",
    "acme/blue",
    "acme|blue",
    7,
    True,
    b"acme",
    ["acme"],
    ("acme",),
    {"acme": 1},
    1.5,
    object(),
    Hostile(),
]


@pytest.fixture
def make(registry, runtime):
    return lambda **options: Tenancy(registry, TenancyConfig(**options), runtime=runtime)


@given(st.one_of(st.text(ALLOWED + "/\n аЁ", max_size=155), st.binary(max_size=9), st.integers(), st.none()))
def test_an_id_is_what_the_rule_says(value):
    expected = (
        isinstance(value, str)
        and 1 <= len(value.encode()) <= 150
        and set(value) <= set(ALLOWED)
        and value not in (".", "..")
    )
    assert is_tenant_id(value) is expected


@pytest.mark.parametrize("claim", HOSTILE, ids=lambda claim: ascii(claim)[:20] if isinstance(claim, str) else None)
@pytest.mark.parametrize("unknown", ["reject", "quarantine", "pass"])
@pytest.mark.parametrize("source", ["context", "baggage", "resource", "attribute"])
def test_an_invalid_id_tags_and_charges_nobody(make, claim, unknown, source):
    tenancy = make(unknown=unknown, sources=("context", "baggage", "resource", "attribute"))
    context, resource, attributes = Context(), {}, {}
    if source == "context":
        context = set_value(TENANT_KEY, claim, context)
    elif source == "baggage":
        context = baggage.set_baggage("tenant.id", claim, context)
    elif source == "resource":
        resource = {"tenant.id": claim}
    else:
        attributes = {"tenant.id": claim}
    identity = tenancy.resolve(context, resource, attributes)
    verdict = tenancy.admit(identity.tenant)
    account, action = {
        "reject": ("<invalid>", "reject"),
        "quarantine": ("quarantine", "quarantine"),
        "pass": ("unattributed", "pass"),
    }[unknown]
    assert (identity.tenant, identity.source, verdict.action, verdict.tenant) == (account, source, action, account)
    assert set(verdict.tags.values()) <= {"quarantine", "unattributed"}
    assert tenancy.runtime.error_counts() == {"tenancy": {}}


def test_text_that_lies_is_taken_at_its_letters(make):
    identity = make().resolve(set_value(TENANT_KEY, LyingText("evil"), Context()))
    assert type(identity.tenant) is ClaimedTenant
    assert identity.tenant == "<unknown>"
    assert make().resolve(set_value(TENANT_KEY, LyingText("acme"), Context())) == Identity("acme", "context")


def test_what_cannot_even_be_asked_for_its_class_is_invalid(make):
    assert make().resolve(set_value(TENANT_KEY, Shapeless(), Context())).tenant == "<invalid>"


class BadContext(dict):
    def get(self, *_):
        raise KeyError


@pytest.mark.parametrize("context", [None, 5, BadContext(), {}], ids=repr)
@pytest.mark.parametrize("mapping", [None, {}, 7], ids=repr)
def test_it_answers_for_anything(make, context, mapping):
    identity = make(missing="reject").resolve(context, mapping, mapping)
    assert identity.source == "default"
    assert identity.tenant in ("unattributed", "<missing>")


@given(st.dictionaries(st.text(max_size=12) | st.just("tenant.id"), st.text(max_size=200) | st.just("acme")))
def test_no_baggage_header_breaks_it(entries):
    registry = TenantRegistry(runtime=Runtime())
    registry.create("acme", "Acme")
    tenancy = Tenancy(registry, runtime=registry._runtime)
    header = ",".join(f"{key}={value}" for key, value in entries.items())
    context = W3CBaggagePropagator().extract({"baggage": [header]}, Context())
    tenant = tenancy.resolve(context).tenant
    assert tenant in ("acme", "unattributed", "<unknown>", "<invalid>")
    if tenant == "acme":
        assert baggage.get_baggage("tenant.id", context) == "acme"


NAMED = {"context": "acme", "baggage": "blue", "resource": "late", "attribute": "gone"}


@pytest.mark.parametrize(
    ("sources", "missing_sources", "expected", "conflicts"),
    [
        (("context", "baggage", "resource"), (), ("acme", "context"), 2),
        (("baggage", "context", "resource"), (), ("blue", "baggage"), 2),
        (("context", "baggage", "resource"), ("context",), ("blue", "baggage"), 1),
        (("context", "baggage", "resource"), ("context", "baggage"), ("quarantine", "resource"), 0),
        (("attribute", "resource"), (), ("gone", "attribute"), 1),
        (("resource", "attribute"), ("resource",), ("gone", "attribute"), 0),
        (("context",), ("context",), ("unattributed", "default"), 0),
        (("context", "baggage", "resource", "attribute"), tuple(NAMED), ("unattributed", "default"), 0),
    ],
)
def test_the_first_source_that_names_anything_decides(make, events, sources, missing_sources, expected, conflicts):
    named = {source: tenant for source, tenant in NAMED.items() if source not in missing_sources}
    context = set_value(create_key("unrelated"), 1, Context())
    if "context" in named:
        context = set_tenant(named["context"], context)
    if "baggage" in named:
        context = baggage.set_baggage("tenant.id", named["baggage"], context)
    resource = {"tenant.id": named["resource"]} if "resource" in named else {}
    attributes = {"tenant.id": named["attribute"]} if "attribute" in named else {}
    tenancy: TenantResolver = make(sources=sources)
    assert tenancy.resolve(context, resource, attributes) == Identity(*expected)
    assert len([e for e in events if e.action == "conflict"]) == conflicts


def test_a_conflict_says_who_won_over_whom(make, events):
    context = set_tenant("acme", baggage.set_baggage("tenant.id", "blue", Context()))
    make().resolve(context, {"tenant.id": "acme"})
    (event,) = [e for e in events if e.action == "conflict"]
    assert (event.component, event.reason, event.tenant) == ("tenancy", "context_over_baggage", "acme")


def test_a_bad_claim_does_not_give_way_to_a_good_one(make):
    context = set_tenant("../x", baggage.set_baggage("tenant.id", "blue", Context()))
    assert make().resolve(context).tenant == "<invalid>"


def test_keys_are_configurable(make):
    tenancy = make(
        sources=("attribute", "baggage", "resource"), baggage_key="org", resource_key="service.owner", attribute_key="o"
    )
    assert tenancy.resolve(Context(), {}, {"o": "acme"}) == Identity("acme", "attribute")
    assert tenancy.resolve(baggage.set_baggage("org", "acme", Context())) == Identity("acme", "baggage")
    assert tenancy.resolve(Context(), {"service.owner": "acme"}) == Identity("acme", "resource")


@pytest.mark.parametrize("name", ["unattributed", "quarantine"])
def test_naming_our_own_tenants_is_worth_nothing(make, name):
    tenancy = make(missing="reject")
    tenant = tenancy.resolve(set_tenant(name, Context())).tenant
    assert tenant == "<unknown>"
    assert tenancy.admit(tenant).reason == "unknown_tenant"


@pytest.mark.parametrize(
    ("status_action", "expected"),
    [("pass", ("late", "pass")), ("quarantine", ("quarantine", "quarantine")), ("reject", ("late", "reject"))],
)
def test_what_a_status_does_is_configured(make, status_action, expected):
    verdict = make(statuses={"pending": status_action}).admit("late")
    assert (verdict.tenant, verdict.action) == expected
    assert verdict.drop is None or verdict.drop.reason == "tenant_pending"


def test_a_claim_is_judged_again_by_the_registry_as_it_is(make, registry):
    tenancy = make(unknown="quarantine")
    tenant = tenancy.resolve(set_tenant("newcomer", Context())).tenant
    assert tenant == "quarantine"
    registry.create("newcomer", "Newcomer")
    assert tenancy.admit(tenant).tenant == "newcomer"
    registry.suspend("newcomer", "abuse")
    assert tenancy.admit(tenant).reason == "tenant_suspended"
    registry.delete("newcomer")
    assert tenancy.admit(tenant).tenant == "quarantine"


def test_a_flood_of_made_up_ids_takes_no_memory(make):
    tenancy = make(unknown="pass")
    for number in range(5000):
        assert tenancy.resolve(set_tenant(f"ghost{number}", Context())).tenant == f"ghost{number}"
        assert tenancy.admit(f"ghost{number}").action == "pass"
    assert len(tenancy._verdicts) < 10


def test_a_claimed_tenant_survives_copies_and_pickles():
    tenant = ClaimedTenant("quarantine", "late")
    for same in (copy.copy(tenant), copy.deepcopy(tenant), pickle.loads(pickle.dumps(tenant))):
        assert (type(same), same, same.claim) == (ClaimedTenant, "quarantine", "late")
    assert {tenant: 1}["quarantine"] == 1
