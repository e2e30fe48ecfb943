"""Addresses: e-mail, Internet, hardware; and the credentials in a URL."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from otelwarden.redaction.validators.base import digits_go_on, digits_of, in_a_fraction
from otelwarden.redaction.validators.credentials import secret_value

_USERINFO: Final = re.compile(rb"//[^\s/?#@\0]*:[^\s/?#@\0]*\Z")
_IMAGE_SCALE: Final = re.compile(rb"@[0-9]x\.[a-z]")
_VERSION: Final = re.compile(rb"(?i)(?:version|release|ver|build|rev)[\"']?[=: ]{0,3}v?\Z")


def email(text: bytes, start: int, end: int) -> int:
    """An e-mail address, not the name of an image at twice its size (`logo@2x.png`), nor a URL's password and host."""
    if _IMAGE_SCALE.search(text, start, end):
        return 0
    return 0 if _USERINFO.search(text, max(0, start - 128), start) else end


def userinfo(text: bytes, start: int, end: int) -> int:
    """The `user:password` of a URL, unless the password is a placeholder."""
    return secret_value(text, text.index(b":", start, end) + 1, end)


def ipv4(text: bytes, start: int, end: int) -> int:
    """An IPv4 address of somebody: not the loopback, not part of a longer number, not a product's version."""
    if digits_go_on(text, end) or in_a_fraction(text, start):
        return 0
    before = text[max(0, start - 2) : start]
    if before[-1:] == b"/" and before[:1].isalpha() and text[end : end + 1] != b":":
        return 0  # Chrome/120.0.0.0
    if _VERSION.search(text, max(0, start - 16), start):
        return 0
    address = text[start:end]
    if address.startswith((b"127.", b"0.")) or address == b"255.255.255.255":
        return 0
    return end


def ipv6(text: bytes, start: int, end: int) -> int:
    """An IPv6 address of somebody (RFC 4291), not the loopback, not a time of day, not part of a longer run."""
    if not _stands_alone(text, start, end):
        return 0
    address = text[start:end]
    groups = [group for group in address.split(b":") if group]
    if address.count(b"::") > 1 or len(groups) > 8 or (b"::" not in address and len(groups) != 8):
        return 0
    if len(groups) < 3 and (len(groups[0]) < 3 or not digits_of(groups[0])):
        return 0  # the scope operator of C++ and Rust: `dad::add`
    return end


def _stands_alone(text: bytes, start: int, end: int) -> bool:
    """Whether neither a letter or digit nor a colon stands on either side."""
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return not any(chr(byte).isalnum() or byte == 0x3A for byte in around if byte < 0x80)


def _is_ipv6(address: bytes) -> bool:
    try:
        ipaddress.IPv6Address(address.decode("ascii", "replace"))
    except ValueError:
        return False
    return True


def ipv6_mixed(text: bytes, start: int, end: int) -> int:
    """An IPv6 address whose last 32 bits are written as IPv4."""
    alone = _stands_alone(text, start, end) and not digits_go_on(text, end)
    return end if alone and _is_ipv6(text[start:end]) else 0


def ipv6_prefix(text: bytes, start: int, end: int) -> int:
    """An IPv6 prefix that ends in `::`: with its length, or of groups that have digits."""
    address, slash, _ = text[start:end].partition(b"/")
    told = slash or digits_of(address)
    return end if told and _stands_alone(text, start, end) and _is_ipv6(address) else 0


def ip_special(text: bytes, start: int, end: int) -> int:
    """An address that is nobody's, by itself: the `::` of a scope has names on both sides."""
    return end if _stands_alone(text, start, end) and not digits_go_on(text, end) else 0


def mac_address(text: bytes, start: int, end: int) -> int:
    """A MAC address: six pairs and no more, not all alike (00:00:00:00:00:00 and the broadcast)."""
    if text[end : end + 1] in (b":", b"-") or (start and text[start - 1 : start] in (b":", b"-")):
        return 0
    pairs = re.split(rb"[:-]", text[start:end])
    return end if len(set(pairs)) > 1 else 0


def mac_address_dotted(text: bytes, start: int, end: int) -> int:
    """A MAC address as three groups of four (`0012.3456.789a`): with a letter, as three numbers look alike."""
    digits = text[start:end].replace(b".", b"")
    if digits_go_on(text, end) or in_a_fraction(text, start):
        return 0
    return end if not digits.isdigit() and len(set(digits)) > 1 else 0


VALIDATORS: Final = (email, ip_special, ipv4, ipv6, ipv6_mixed, ipv6_prefix, mac_address, mac_address_dotted, userinfo)
