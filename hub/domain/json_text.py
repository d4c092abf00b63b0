"""Parse any JSON text that a stream may hold.

A stream keeps JSON as it was written, and RFC 8259 allows more than a parser can represent: lone
surrogates (section 8.2) and numbers of any size (section 6), some of which orjson refuses. Here a
lone surrogate becomes U+FFFD and a number that is too large becomes infinity. So nobody can write
JSON that the hub cannot read, and no record can stop a reader.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final, NoReturn

import orjson

__all__ = ["loads", "member", "members"]

_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Half of a surrogate pair, in a text in which each backslash begins an escape.
_HALF: Final = re.compile(rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")
_BACKSLASH: Final = r"\\"
_NOT_IN_JSON: Final = "\0"
_OPENS: Final = re.compile(r"[ \t\r\n]*\{[ \t\r\n]*")
_COLON: Final = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_COMMA: Final = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_ENDS: Final = re.compile(r"[ \t\r\n]*\}[ \t\r\n]*\Z")

EXACT_DIGITS: Final = 18
"""A number of this many digits always fits into 64 bits."""


def loads(text: bytes) -> Any:
    """The value of a JSON text; every string in it can be encoded as UTF-8.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return _TOLERANT.decode(_without_halves(text.decode()))
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each value as its original text.

    If a name is repeated, its last member counts.

    Raises:
        ValueError: it is not a JSON object, or nested too deeply.
    """
    found: dict[str, str] = {}
    at = _skip(_OPENS, text, 0)
    if _ENDS.match(text, at):
        return found
    try:
        while True:
            name, at = _TOLERANT.raw_decode(text, at)
            if not isinstance(name, str):
                raise ValueError("the name of a member must be a string")
            start = _skip(_COLON, text, at)
            _, at = _TOLERANT.raw_decode(text, start)
            found[name] = text[start:at]
            if _ENDS.match(text, at):
                return found
            at = _skip(_COMMA, text, at)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def member(text: str, name: str) -> str | None:
    """A fast `members` for one member, or ``None`` if the fast way is not safe.

    ``text`` must be a JSON object that orjson accepts. The member is found without parsing what is
    before it: its name must be the first occurrence, outside any inner value, and there may be no
    backslash before it or after its value. So no string begins or ends unnoticed, and no other
    name is this one with escapes.
    """
    found = _up_to(name).match(text)
    if found is None:
        return None
    start = found.end()
    try:
        _, end = _PLAIN.raw_decode(text, start)
    except (RecursionError, ValueError):  # a number of more digits than Python converts
        return None
    if text.find("\\", end) >= 0 or text.find(f'"{name}"', end) >= 0:
        return None
    return text[start:end]


@cache
def _up_to(name: str) -> re.Pattern[str]:
    return re.compile(rf'[^{{\[\\]*\{{[^{{\[\\]*?"{name}"[ \t\r\n]*:[ \t\r\n]*')


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError("not a JSON object")
    return found.end()


def _without_halves(text: str) -> str:
    """The JSON text with U+FFFD for halves of surrogate pairs.

    Without a Python function for each escape, of which a body may have millions.

    Raises:
        ValueError: it is not JSON.
    """
    if _NOT_IN_JSON in text:
        raise ValueError("JSON holds no control character")
    # A backslash that is escaped begins no escape.
    marked = text.replace(_BACKSLASH, _NOT_IN_JSON)
    return _HALF.sub(r"\\ufffd", marked).replace(_NOT_IN_JSON, _BACKSLASH)


def _whole_number(digits: str) -> int | float:
    """An integer as orjson reads it, which has 64 bits."""
    if len(digits) > EXACT_DIGITS and not -(2**63) <= float(digits) < 2**64:
        return float(digits)
    return int(digits)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_TOLERANT: Final = json.JSONDecoder(parse_int=_whole_number, parse_constant=_refuse)
_PLAIN: Final = json.JSONDecoder()
"""Faster, because no Python function is called for numbers."""
