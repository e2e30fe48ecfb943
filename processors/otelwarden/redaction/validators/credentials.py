"""What tells a secret from a placeholder, a word, a name or an identifier."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final

from otelwarden.redaction.validators.base import ALL_DIGITS
from otelwarden.redaction.validators.randomness import has_entropy

_NO_SECRET: Final = re.compile(
    rb"(?i)(?:[?*#.\-_]|x{3}|\xe2\x80\xa2)+|\$\d+|\$?\{.*\}?|%\(?\w*\)?s|:\w+|@\w+|<.*>?|\[.*\]?|(?:\[?redacted\]?[:@]?)+|"
    rb"null|none|nil|undefined|true|false|yes|no|on|off|required|missing|empty|invalid|incorrect|wrong|hidden|masked|"
    rb"filtered|str|string|text|bytes|varchar"
)
_TEMPLATE: Final = re.compile(rb"(?i)\$\(|\$\{|\{\{|\}\}|\A`|<[a-z _\-]+>|\*{3}|\.{3}|\.\.\Z|\.\.\[")
_NO_TEMPLATE: Final = bytes({*range(256)} - {*b"$}`<*."})
_SAID: Final = re.compile(rb"change[_\-]?me|your[_\-]|placeholder|redacted|abcdefghijkl")
_RUN: Final = re.compile(rb"([B-Za-z0-9])\1{7}|[xX]{6}")
_CODE: Final = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?:\(.*)?|[a-z]+(?:[A-Z][a-z]+)+[0-9]?")
_WORDS: Final = re.compile(rb"[A-Za-z]+(?:[_\-./:][A-Za-z]+)*[_\-./:]?[0-9]{0,4}")
_PATH: Final = re.compile(rb"\.{0,2}/?[\w\-]+(?:/[\w\-]+)*\.[a-z][a-z0-9]{1,4}|/[\w\-./]*|\w+:/.*")
_VERSION: Final = re.compile(rb"(?:[A-Za-z][\w\-]*-|[a-z]{0,3})[0-9]+(?:\.[0-9]+){1,3}(?:[.\-_+][\w.\-+]*)?")
_UUID: Final = re.compile(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SECRET_NAME: Final = re.compile(
    rb"(?i)(?:api|access|auth|client|private|secret|app|service|user|admin|root|db|bearer|refresh|signing|master|license)"
    rb"[_\-. ]{0,2}(?:key|token|secret)|secret|token|passw|pwd|credential|apikey|authorization"
)
_ID_NAMES: Final = (
    *(b"id", b"ids", b"name", b"file", b"path", b"url", b"uri", b"length", b"size", b"type", b"version", b"alias"),
    *(b"count", b"ttl"),
)
_NAME_REACH: Final = 24
_MAX_SIGNS: Final = 7
_NO_WORD: Final = bytes(byte for byte in range(256) if not (chr(byte).isalnum() and byte < 0x80) and byte != 0x5F)
_FORMS: Final = (_CODE, _WORDS, _PATH, _VERSION)
_NO_SIGN: Final = bytes({*range(256)} - {*b"./:"})
_BASE62: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _is_template(value: bytes) -> bool:
    """Whether something stands where a secret would: a variable, a command, one sign over and over."""
    if value.translate(None, _NO_TEMPLATE) and _TEMPLATE.search(value):
        return True
    return _SAID.search(value.lower()) is not None or _RUN.search(value) is not None


def secret_value(text: bytes, start: int, end: int) -> int:
    """Something that is not a placeholder, a bind variable, or a word that says there is none."""
    return 0 if _NO_SECRET.fullmatch(text, start, end) else end


def stated_secret(text: bytes, start: int, end: int) -> int:
    """A secret after a colon and a blank, where prose looks alike (`password: too short`): a word is none."""
    value = text[start:end]
    if text[max(0, start - 2) : start] in (b": ", b":\t") and value.islower() and value.isalpha():
        return 0
    if _is_template(value) or (b"." in value and _CODE.fullmatch(value)):
        return 0
    return secret_value(text, start, end)


def token_like(text: bytes, start: int, end: int) -> int:
    """Something random: letters of both cases or digits among letters, and 3 bits of entropy a character or more."""
    value = text[start:end]
    mixed = _digits_in(value) or (value.lower() != value and value.upper() != value)
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
    digits = _digits_in(value)
    if not digits or digits == len(value) or _is_identifier(text, start) or _is_template(value):
        return 0
    # Words have four digits at most, and the other forms a sign.
    if (digits <= 4 or value.translate(None, _NO_SIGN)) and any(form.fullmatch(value) for form in _FORMS):
        return 0
    if len(value) == 36 and _UUID.fullmatch(value):
        return end if _SECRET_NAME.search(text, max(0, start - 48), start) else 0
    return secret_value(text, start, end) if has_entropy(value, 2.8) else 0


def _digits_in(value: bytes) -> int:
    return len(value) - len(value.translate(None, ALL_DIGITS))


def _is_identifier(text: bytes, start: int) -> bool:
    """Whether the name that a value is given to says that it is an identifier, a path or a measure."""
    before = text[max(0, start - _NAME_REACH) : start]
    name = before.rstrip(_NO_WORD)
    return len(before) - len(name) <= _MAX_SIGNS and name.lower().endswith(_ID_NAMES)


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
    value = text[start:end]
    parts = value.split(b"-")
    if not _digits_in(value) or max(map(len, parts[1:])) < 10:
        return 0
    return secret_value(text, start, end) if has_entropy(value, 2.7) and b"xxxxxx" not in value else 0


def vault_token(text: bytes, start: int, end: int) -> int:
    """A Vault token; the old ones, `s.` and 24 signs, must have digits and letters in both cases."""
    value = text[start:end]
    if value[:2] == b"hv":
        return issued_token(text, start, end)
    body = value[2:]
    cases = body.lower() != body and body.upper() != body
    return issued_token(text, start, end) if cases and _digits_in(body) else 0


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
