"""Addresses of crypto currencies: their checksums, by the standards that define them."""

from __future__ import annotations

import hashlib
import threading
from functools import reduce
from operator import xor
from typing import Final

from otelwarden.redaction.validators.keccak import keccak_256

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE: Final = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_SIGNS: Final = frozenset(_BECH32)
_BECH32_VALUES: Final = {char: value for value, char in enumerate(_BECH32)}
_MONERO_SIZES: Final = {2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8}
"""Characters of a block -> bytes that they are."""

MAX_HASHED: Final = 4
"""Addresses of one text whose Keccak-256 is computed, which takes 0.4 ms; those behind are taken to be what they look
like. Otherwise a text of 32 kB that is full of them would take 0.3 s."""


class _Hashed(threading.local):
    """How many addresses of the text at hand were hashed. A text is known by its hash, which Python remembers."""

    text = 0
    last = 0
    count = 0

    def is_done_with(self, text: bytes, start: int) -> bool:
        """Whether this text has had its share; if not, the address that begins at `start` is counted."""
        if self.text != hash(text) or start <= self.last:  # another text, or another scan of it
            self.text, self.count = hash(text), 0
        self.last = start
        self.count += 1
        return self.count > MAX_HASHED


_hashed: Final = _Hashed()


def _generator(top: int) -> int:
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    chosen = (generator for bit, generator in enumerate(generators) if top >> bit & 1)
    return reduce(xor, chosen, 0)


_GENERATORS: Final = tuple(_generator(top) for top in range(32))


def _base58(text: str, alphabet: str) -> bytes | None:
    number = 0
    for char in text:
        digit = alphabet.find(char)
        if digit < 0:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base58_check(text: str, alphabet: str = _BASE58) -> bytes | None:
    data = _base58(text, alphabet)
    if data is None or len(data) < 5:
        return None
    body, check = data[:-4], data[-4:]
    twice = hashlib.sha256(hashlib.sha256(body).digest()).digest()
    return body if twice[:4] == check else None


def base58_address(text: bytes, start: int, end: int) -> int:
    """A Base58Check address of 20 or 32 bytes and a version: Bitcoin, Litecoin, Dogecoin, Dash, Tron (Bitcoin wiki)."""
    body = _base58_check(text[start:end].decode("ascii", "replace"))
    return end if body is not None and 21 <= len(body) <= 35 else 0


def ripple_address(text: bytes, start: int, end: int) -> int:
    """An address of the XRP Ledger: Base58Check in its own alphabet (xrpl.org, base58 encodings)."""
    body = _base58_check(text[start:end].decode("ascii", "replace"), _RIPPLE)
    return end if body is not None and len(body) == 21 else 0


def bech32_address(text: bytes, start: int, end: int) -> int:
    """A segregated witness address: Bech32 for version 0, Bech32m from 1 on, in one case (BIP 173, BIP 350)."""
    address = text[start:end].decode("ascii", "replace")
    if address not in (address.lower(), address.upper()):
        return 0
    prefix, _, data = address.lower().rpartition("1")
    if len(data) < 7 or not _BECH32_SIGNS.issuperset(data):
        return 0
    values = list(map(_BECH32_VALUES.__getitem__, data))
    check = 1
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    for value in expanded + values:
        check = (check & 0x1FFFFFF) << 5 ^ value ^ _GENERATORS[check >> 25]
    if check != (1 if values[0] == 0 else 0x2BC830A3):
        return 0
    size = (len(values) - 7) * 5 // 8
    return end if (size in (20, 32) if values[0] == 0 else 2 <= size <= 40) else 0


def ethereum_address(text: bytes, start: int, end: int) -> int:
    """An Ethereum address: in mixed case, the case is the checksum (EIP-55); in one case there is none."""
    digits = text[start:end].decode("ascii", "replace")[2:]
    if len(set(digits.lower())) < 6:
        return 0
    if digits in (digits.lower(), digits.upper()) or _hashed.is_done_with(text, start):
        return end
    hashed = keccak_256(digits.lower().encode()).hex()
    expected = "".join(
        char.upper() if int(nibble, 16) > 7 else char for char, nibble in zip(digits.lower(), hashed, strict=False)
    )
    return end if expected == digits else 0


def monero_address(text: bytes, start: int, end: int) -> int:
    """A Monero address: blocks of Base58, Keccak-256 for the checksum (monero.com, CryptoNote standard 7)."""
    address = text[start:end].decode("ascii", "replace")
    data = b""
    for at in range(0, len(address), 11):
        block = address[at : at + 11]
        number = _base58(block, _BASE58)
        size = _MONERO_SIZES.get(len(block))
        value = int.from_bytes(number, "big") if number is not None else -1
        if size is None or value < 0 or value >= 1 << 8 * size:
            return 0
        data += value.to_bytes(size, "big")
    return end if _hashed.is_done_with(text, start) or keccak_256(data[:-4])[:4] == data[-4:] else 0


VALIDATORS: Final = (base58_address, bech32_address, ethereum_address, monero_address, ripple_address)
