"""JSON from outside: read as tolerantly as is safe, and asked for what should be in it.

orjson reads nearly everything. What it refuses is tried once more with the standard
library, which also takes the two things that real servers send and RFC 8259 discourages
or forbids: strings holding half of a surrogate pair (section 8.2; see `hub.domain.surrogates`
for what becomes of them) and ``NaN`` or ``Infinity`` among numbers.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import ijson
import orjson

from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING
from hub.domain.surrogates import whole, with_cut_bytes, without_halves

__all__ = [
    "as_count",
    "as_list",
    "as_object",
    "as_plain",
    "as_string",
    "as_text",
    "malformed",
    "parse",
]

# Whole numbers up to here are the same in every reader of JSON (RFC 8259, section 6).
EXACT: Final = 2**53


def parse(body: bytes) -> Any:
    """The value that the bytes hold. Its strings may hold lone surrogates.

    Raises:
        UpstreamError: ``upstream_truncated``: the bytes are the beginning of a value;
            ``upstream_malformed``: not JSON, not UTF-8 or nested too deeply.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_tolerantly(body)


def _parse_tolerantly(body: bytes) -> Any:
    try:
        # A server that cuts UTF-16 may also have written each half as three bytes,
        # or by bytes have left part of a character at the end of a string.
        return json.loads(with_cut_bytes(body).decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise malformed("JSON nested too deeply") from None
    except ValueError as error:
        if _is_beginning(body):
            raise UpstreamError(
                "the upstream stopped in the middle of a JSON value", code="upstream_truncated"
            ) from None
        text = not isinstance(error, UnicodeDecodeError)
        raise malformed("text that is not JSON" if text else "bytes that are not UTF-8") from None


def _is_beginning(body: bytes) -> bool:
    """Whether more bytes could have made it JSON; ijson complains at the first wrong one."""
    parser = ijson.basic_parse_coro(_Unheard(maxlen=0))
    try:
        parser.send(without_halves(body))
    except (ijson.JSONError, ValueError, ArithmeticError, SystemError):
        return False  # SystemError: what its C part makes of a number of over 4300 digits
    return True


class _Unheard(deque[Any]):
    """Takes what ijson finds, and keeps nothing."""

    send = deque.append


def as_text(value: Any) -> str:
    """A parsed value as JSON text without white space, lone surrogates replaced.

    Raises:
        UpstreamError: ``upstream_malformed``: nested too deeply to be written.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # Lone surrogates, whole numbers of more than 64 bits, more than 254 levels.
        pass
    try:
        return whole(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except RecursionError:
        raise malformed("JSON nested too deeply") from None


def as_plain(value: Any) -> Any:
    """The value as an event can hold it; ``None`` for one that none can.

    Lone surrogates are replaced, and whole numbers of more than 64 bits are floats.
    """
    try:
        orjson.dumps({"": [{"": value}]})  # an event is no deeper around it
    except orjson.JSONEncodeError:
        try:
            value = orjson.loads(as_text(value))
            orjson.dumps({"": [{"": value}]})
        except (UpstreamError, orjson.JSONEncodeError, orjson.JSONDecodeError):
            return None
    return value


def as_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, an empty one for anything else."""
    return value if isinstance(value, dict) else NOTHING


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_string(value: Any) -> str:
    """The value if it is a string, lone surrogates replaced; an empty one for anything else."""
    return whole(value) if isinstance(value, str) else ""


def as_count(*values: Any) -> int | None:
    """The first of the values that can be a number of tokens; 9.0 is one, too."""
    whole = (int(v) if type(v) is float and v.is_integer() else v for v in values)
    return next((value for value in whole if type(value) is int and 0 <= value < EXACT), None)


def malformed(what: str) -> UpstreamError:
    """The error for an upstream that sent this."""
    return UpstreamError(f"the upstream sent {what}", code="upstream_malformed")
