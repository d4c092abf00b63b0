"""Any JSON text that the hub takes in, read for what it says and not for its bytes.

A stream keeps JSON as it was written, and RFC 8259 lets more be written than a parser holds:
half of a surrogate pair (section 8.2) and numbers of any size (section 6). orjson refuses some
of it. Here a lone half becomes U+FFFD and a number that is too large infinity, so that nobody
can write what the hub does not see, and nothing in a stream stops a reader of it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final, NoReturn

import orjson

__all__ = ["loads", "member", "members"]

# A pair, half of one, or anything else that a backslash stands before.
_ESCAPED: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_OPENS: Final = re.compile(r"[ \t\r\n]*\{[ \t\r\n]*")
_COLON: Final = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_GOES_ON: Final = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_ENDS: Final = re.compile(r"[ \t\r\n]*\}[ \t\r\n]*\Z")

EXACT_DIGITS: Final = 18
"""So many digits always fit into 64 bits."""


def loads(text: bytes) -> Any:
    """The value of a JSON text; every string in it can be encoded again.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return _TOLERANT.decode(_ESCAPED.sub(_without_half, text.decode()))
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each value as the text that it was written in.

    Of members with one name the last is given.

    Raises:
        ValueError: it is not a JSON object, or nested too deeply.
    """
    found: dict[str, str] = {}
    at = _past(_OPENS, text, 0)
    if _ENDS.match(text, at):
        return found
    try:
        while True:
            name, at = _TOLERANT.raw_decode(text, at)
            if not isinstance(name, str):
                raise ValueError("the name of a member is a string")
            start = _past(_COLON, text, at)
            _, at = _TOLERANT.raw_decode(text, start)
            found[name] = text[start:at]
            if _ENDS.match(text, at):
                return found
            at = _past(_GOES_ON, text, at)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def member(text: str, name: str) -> str | None:
    """One member of a JSON object as `members` gives it, in nearly every text: ``None`` in others.

    ``text`` is a JSON object that orjson takes. The member is found without a parse of what
    stands before it: its name is the first there is, outside of any inner value, and no
    backslash is before it or behind its value, so that no string begins or ends unseen, and no
    other name is this one in disguise.
    """
    found = _before(name).match(text)
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
def _before(name: str) -> re.Pattern[str]:
    return re.compile(rf'[^{{\[\\]*\{{[^{{\[\\]*?"{name}"[ \t\r\n]*:[ \t\r\n]*')


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError("this is not a JSON object")
    return found.end()


def _without_half(escaped: re.Match[str]) -> str:
    return r"\ufffd" if escaped[1] else escaped[0]


def _whole_number(digits: str) -> int | float:
    """As orjson reads it, which holds 64 bits."""
    if len(digits) > EXACT_DIGITS and not -(2**63) <= float(digits) < 2**64:
        return float(digits)
    return int(digits)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_TOLERANT: Final = json.JSONDecoder(parse_int=_whole_number, parse_constant=_refuse)
_PLAIN: Final = json.JSONDecoder()
"""Quicker, as no number goes through Python."""
