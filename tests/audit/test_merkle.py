from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelwarden.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash


def definition(records: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    n = len(records)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    return hashlib.sha256(b"\x01" + definition(records[:k]) + definition(records[k:])).digest()


def test_roots_of_all_sizes_are_those_of_the_definition() -> None:
    records = [b"record %d" % i for i in range(301)]
    tree = Frontier()
    for size in range(301):
        assert tree.size == size
        assert tree.root() == definition(records[:size])
        tree.extend([leaf_hash(records[size])])


@given(st.lists(st.lists(st.binary(max_size=40), max_size=70), max_size=6))
def test_batches_of_any_size_make_the_same_tree(batches: list[list[bytes]]) -> None:
    tree = Frontier()
    for batch in batches:
        tree.extend([leaf_hash(record) for record in batch])
    assert tree.root() == definition([record for batch in batches for record in batch])


def test_a_copy_grows_on_its_own() -> None:
    tree = Frontier()
    tree.extend([leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")])
    root = tree.root()
    other = tree.copy()
    other.extend([leaf_hash(b"d")])
    assert (tree.size, tree.root(), other.size) == (3, root, 4)


# The vectors of the RFC's reference implementation (certificate-transparency, merkle tree tests).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(1, 9))
def test_known_roots(size: int) -> None:
    tree = Frontier()
    tree.extend([leaf_hash(bytes.fromhex(each)) for each in INPUTS[:size]])
    assert tree.root().hex() == ROOTS[size - 1]


def test_the_empty_tree() -> None:
    assert Frontier().root() == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert node_hash(b"", b"") != leaf_hash(b"")
