"""What tells a secret from a placeholder, a word, a name or an identifier."""

from __future__ import annotations

import base64
import binascii
import math
import string
import zlib
from collections.abc import Callable
from typing import Final, TypeAlias

from otelwarden.redaction.patterns import compile_pattern, find_by
from otelwarden.redaction.validators.base import before, digits_of

_Test: TypeAlias = Callable[[bytes], bool]


def _has(pattern: str) -> _Test:
    """Whether a pattern is in a value. By RE2, as `re` tries every alternative at every byte, which took 10 us."""
    find = find_by(compile_pattern(pattern))
    return lambda value: find(value, 0, len(value))[0][0] >= 0


def _is(pattern: str) -> _Test:
    """Whether a pattern is all of a value."""
    return _has(rf"\A(?:{pattern})\z")


_is_no_secret: Final = _is(
    r"(?i:(?:[?*#.\-_]|x{3}|\xe2\x80\xa2)+|\$\d+|\$?\{.*\}?|%\(?\w*\)?s|:\w+|@\w+|<.*>?|\[.*\]?|(?:\[?redacted\]?[:@]?)+|"
    r"null|none|nil|undefined|true|false|yes|no|on|off|required|missing|empty|invalid|incorrect|wrong|hidden|masked|"
    r"filtered|str|string|text|bytes|varchar)"
)
_RUNS: Final = "|".join(f"{sign}{{8}}" for sign in string.ascii_letters.replace("A", "") + string.digits)
_is_template: Final = _has(
    r"(?i:\$\(|\$\{|\{\{|\}\}|\A`|<[a-z _\-]+>|\*{3}|\.{3}|\.\.\z|\.\.\[|"
    rf"change[_\-]?me|your[_\-]|placeholder|redacted|abcdefghijkl|x{{6}})|{_RUNS}"
)
"""Whether something stands where a secret would: a variable, a command, one sign over and over."""
_CODE: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?:\(.*)?|[a-z]+(?:[A-Z][a-z]+)+[0-9]?"
_WORDS: Final = r"[A-Za-z]+(?:[_\-./:][A-Za-z]+)*[_\-./:]?[0-9]{0,4}"
_PATH: Final = r"\.{0,2}/?[\w\-]+(?:/[\w\-]+)*\.[a-z][a-z0-9]{1,4}|/[\w\-./]*|\w+:/.*"
_VERSION: Final = r"(?:[A-Za-z][\w\-]*-|[a-z]{0,3})[0-9]+(?:\.[0-9]+){1,3}(?:[.\-_+][\w.\-+]*)?"
_is_code: Final = _is(_CODE)
_is_name: Final = _is("|".join((_CODE, _WORDS, _PATH, _VERSION)))
_is_uuid: Final = _is("(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_has_secret_name: Final = _has(
    "(?i:(?:api|access|auth|client|private|secret|app|service|user|admin|root|db|bearer|refresh|signing|master|license)"
    r"[_\-. ]{0,2}(?:key|token|secret)|secret|token|passw|pwd|credential|apikey|authorization)"
)
_ends_as_id: Final = _has(
    r"(?i:(?:id|ids|name|file|path|url|uri|length|size|type|version|alias|count|ttl)[\"']?\W{0,6}\z)"
)
_N_LOG_N: Final = (0.0, *(n * math.log2(n) for n in range(1, 1025)))
_BASE62: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def entropy(value: bytes) -> float:
    """Shannon's entropy of the bytes, in bits a byte."""
    size = len(value)
    if size >= len(_N_LOG_N):
        return -sum(n / size * math.log2(n / size) for n in map(value.count, set(value)))
    return math.log2(size) - sum(map(_N_LOG_N.__getitem__, map(value.count, set(value)))) / size


def has_entropy(value: bytes, bits: float) -> bool:
    """Whether the entropy is that high, which the number of different bytes mostly tells alone."""
    size, kinds = len(value), len(set(value))
    alike = size - kinds + 1
    if alike < len(_N_LOG_N) and math.log2(size) - _N_LOG_N[alike] / size >= bits:
        return True  # even if all others were one
    return entropy(value) >= bits


def secret_value(text: bytes, start: int, end: int) -> int:
    """Something that is not a placeholder, a bind variable, or a word that says there is none."""
    return 0 if _is_no_secret(text[start:end]) else end


def stated_secret(text: bytes, start: int, end: int) -> int:
    """A secret after a colon and a blank, where prose looks alike (`password: too short`): a word is none."""
    value = text[start:end]
    if text[max(0, start - 2) : start] in (b": ", b":\t") and value.islower() and value.isalpha():
        return 0
    if _is_template(value) or (b"." in value and _is_code(value)):
        return 0
    return secret_value(text, start, end)


def token_like(text: bytes, start: int, end: int) -> int:
    """Something random: letters of both cases or digits among letters, and 3 bits of entropy a character or more."""
    value = text[start:end]
    mixed = digits_of(value) or (value.lower() != value and value.upper() != value)
    return secret_value(text, start, end) if mixed and has_entropy(value, 3.0) else 0


def issued_token(text: bytes, start: int, end: int) -> int:
    """What stands behind an issuer's prefix: not one sign over and over, nor a template."""
    value = text[start:end]
    if _is_template(value) or not has_entropy(value, 2.7):
        return 0
    return secret_value(text, start, end)


def assigned_secret(text: bytes, start: int, end: int) -> int:
    """A random value given to a name that says it is secret: no word, path, version, code or identifier."""
    value = text[start:end]
    if _is_template(value) or _is_name(value) or _ends_as_id(before(text, start, 24)):
        return 0
    if len(value) == 36 and _is_uuid(value):
        return end if _has_secret_name(before(text, start, 48)) else 0
    digits = len(digits_of(value))
    if not digits or digits == len(value) or not has_entropy(value, 2.8):
        return 0
    return secret_value(text, start, end)


def mixed_token(text: bytes, start: int, end: int) -> int:
    """As `issued_token`, of letters in both cases: a name of that form has one."""
    value = text[start:end]
    body = value[value.rfind(b"_") + 1 :]
    if body.lower() == body or body.upper() == body:
        return 0
    return issued_token(text, start, end)


def lone_token(text: bytes, start: int, end: int) -> int:
    """As `issued_token`, which does not go on."""
    after = text[end : end + 1]
    return 0 if after.isalnum() or after in (b"_", b"~", b"-") else issued_token(text, start, end)


def slack_token(text: bytes, start: int, end: int) -> int:
    """A Slack token: a digit, and a random part of 10 signs or more."""
    parts = text[start:end].split(b"-")
    if not digits_of(text[start:end]) or max(map(len, parts[1:])) < 10 or b"xxxxxx" in text[start:end]:
        return 0
    return secret_value(text, start, end) if has_entropy(text[start:end], 2.7) else 0


def vault_token(text: bytes, start: int, end: int) -> int:
    """A Vault token; the old ones, `s.` and 24 signs, must have digits and letters in both cases."""
    value = text[start:end]
    if value[:2] == b"hv":
        return issued_token(text, start, end)
    body = value[2:]
    cases = body.lower() != body and body.upper() != body
    return issued_token(text, start, end) if cases and digits_of(body) else 0


def option_value(text: bytes, start: int, end: int) -> int:
    """The value of an option on a command line, not the name of something: it has a digit or a sign."""
    value = text[start:end]
    if value.startswith((b"-", b"/", b"{", b"%", b"`")) or value.isalpha() or b"=" in value[:-2]:
        return 0
    return stated_secret(text, start, end)


def github_token(text: bytes, start: int, end: int) -> int:
    """A GitHub token: the CRC-32 of its 30 random characters in base62 at its end, or random enough without.

    Older ones and those of Enterprise Server have no checksum (GitHub blog, authentication token formats, 2021).
    """
    value = text[start:end]
    body, check = value[value.index(b"_") + 1 : -6], value[-6:]
    number, digits = zlib.crc32(body), bytearray()
    while number:
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return end if bytes(reversed(digits)).rjust(6, b"0") == check else issued_token(text, start, end)


def basic_credentials(text: bytes, start: int, end: int) -> int:
    """The base64 of `user:password` (RFC 7617)."""
    value = text[start:end]
    try:
        decoded = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return 0
    return end if b":" in decoded and not decoded.startswith(b"{") else 0


def command_line_credentials(text: bytes, start: int, end: int) -> int:
    """`user:password` on a command line, not variables of the shell, nor what a manual calls them."""
    user, _, password = text[start:end].strip(b"'\"").partition(b":")
    if not user or not password or password.lower() in (b"password", b"pass", b"passwd", b"pw", b"yyy", b"xxx"):
        return 0
    if user.startswith((b"$", b"{", b"<", b"%")) or password.startswith((b"$", b"{", b"<", b"%", b'"$', b"'$")):
        return 0
    return secret_value(text, end - len(password), end)


VALIDATORS: Final = (
    assigned_secret,
    basic_credentials,
    command_line_credentials,
    github_token,
    issued_token,
    lone_token,
    mixed_token,
    option_value,
    secret_value,
    slack_token,
    stated_secret,
    token_like,
    vault_token,
)
