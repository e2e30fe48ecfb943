from __future__ import annotations

import asyncio

import pytest
from opentelemetry.context import Context, get_current, set_value

from otelwarden.core import ContextResolver, Identity, get_tenant, set_tenant, use_tenant


def test_a_tenant_is_set_in_a_context_and_nothing_is_attached() -> None:
    context = set_tenant("acme")
    assert get_tenant(context) == "acme"
    assert get_tenant() is None


def test_a_context_that_is_given_is_built_upon() -> None:
    context = set_tenant("acme", set_value("other", 1, Context()))
    assert (context["other"], get_tenant(context)) == (1, "acme")


def test_a_block_belongs_to_a_tenant_and_blocks_nest() -> None:
    before = get_current()
    with use_tenant("outer"):
        with use_tenant("inner"):
            assert get_tenant() == "inner"
        assert get_tenant() == "outer"
    assert get_current() == before


def test_a_block_ends_however_it_is_left() -> None:
    with pytest.raises(KeyError), use_tenant("acme"):
        raise KeyError
    assert get_tenant() is None


def test_what_is_no_text_is_no_tenant() -> None:
    assert get_tenant(set_tenant(7)) is None  # type: ignore[arg-type]


def test_tasks_have_tenants_of_their_own() -> None:
    async def task(tenant: str) -> str | None:
        with use_tenant(tenant):
            await asyncio.sleep(0)
            return get_tenant()

    async def both() -> list[str | None]:
        return await asyncio.gather(task("a"), task("b"))

    assert asyncio.run(both()) == ["a", "b"]


def test_the_plain_resolver_knows_the_context_and_the_default() -> None:
    resolver = ContextResolver("fallback")
    assert resolver.resolve(set_tenant("acme")) == Identity("acme", "context")
    assert resolver.resolve(Context(), {"tenant": "r"}, {"tenant.id": "a"}) == Identity("fallback", "default")
