"""Parse upstreams' JSON as tolerantly as is safe, and take values of the expected type from it.

orjson reads nearly everything. What it refuses is parsed again with the standard library, which
also accepts two things that real servers send and RFC 8259 discourages or forbids: lone surrogates
in strings (section 8.2; `hub.domain.surrogates` deals with them) and ``NaN`` or ``Infinity``.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import ijson
import orjson

from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING
from hub.domain.integers import as_integer
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


def parse(body: bytes) -> Any:
    """Parse JSON bytes. The strings of the value may contain lone surrogates.

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
        # A server that cuts UTF-16 may also have written each half as three bytes, and one that
        # cuts bytes may have left part of a character at the end of a string.
        return json.loads(with_cut_bytes(body).decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise malformed("JSON nested too deeply") from None
    except ValueError as error:
        if _is_prefix(body):
            raise UpstreamError(
                "the upstream stopped in the middle of a JSON value", code="upstream_truncated"
            ) from None
        text = not isinstance(error, UnicodeDecodeError)
        raise malformed("text that is not JSON" if text else "bytes that are not UTF-8") from None


def _is_prefix(body: bytes) -> bool:
    """Whether the bytes are the beginning of JSON; ijson reports the first wrong byte."""
    parser = ijson.basic_parse_coro(_Discard(maxlen=0))
    try:
        parser.send(without_halves(body))
    except (ijson.JSONError, ValueError, ArithmeticError, SystemError):
        return False  # SystemError: from its C code, for a number of over 4300 digits
    return True


class _Discard(deque[Any]):
    """Receives what ijson finds, and keeps nothing."""

    send = deque.append


def as_text(value: Any) -> str:
    """A parsed value as JSON text without white space and with lone surrogates replaced.

    Raises:
        UpstreamError: ``upstream_malformed``: it is nested too deeply.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        pass  # lone surrogates, integers of more than 64 bits, more than 254 levels
    try:
        return whole(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except RecursionError:
        raise malformed("JSON nested too deeply") from None


def as_plain(value: Any) -> Any:
    """The value in a form that an event can hold, or ``None`` if there is none.

    Lone surrogates are replaced, and integers of more than 64 bits become floats.
    """
    try:
        orjson.dumps({"": [{"": value}]})  # an event nests it no deeper
    except orjson.JSONEncodeError:
        try:
            value = orjson.loads(as_text(value))
            orjson.dumps({"": [{"": value}]})
        except (UpstreamError, orjson.JSONEncodeError, orjson.JSONDecodeError):
            return None
    return value


def as_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else NOTHING


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_string(value: Any) -> str:
    """The value if it is a string, lone surrogates replaced; an empty one for anything else."""
    return whole(value) if isinstance(value, str) else ""


def as_count(*values: Any) -> int | None:
    """The first of the values that can be a token count, or ``None``."""
    integers = (as_integer(value) for value in values)
    return next((value for value in integers if value is not None and value >= 0), None)


def malformed(what: str) -> UpstreamError:
    """The error for an upstream that sent ``what``."""
    return UpstreamError(f"the upstream sent {what}", code="upstream_malformed")
