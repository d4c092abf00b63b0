"""Validate the names of streams."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

from hub.domain.errors import InvalidName

__all__ = ["LISTS", "NAME_PATTERN", "RESERVED", "check_name", "is_list", "is_name", "list_of"]

# One or more segments of unreserved characters (RFC 3986 section 2.3) and a few more that need no
# escape in a path. No segment is empty or starts with a dot.
NAME_PATTERN: Final = (
    r"[A-Za-z0-9_~:@+-][A-Za-z0-9._~:@+-]*(?:/[A-Za-z0-9_~:@+-][A-Za-z0-9._~:@+-]*)*"
)
_NAME: Final = re.compile(NAME_PATTERN)
RESERVED: Final = "__ds"
"""The prefix of the Durable Streams Protocol's own addresses."""

LISTS: Final = "__lists"
"""What the names of the users' lists of conversations begin with, as a segment."""


def is_name(name: str) -> bool:
    """Whether this has the form of a stream's name, however long it is."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str, length: int) -> None:
    """Check that a stream can have this name, of at most ``length`` characters.

    Raises:
        InvalidName: it is too long, or has other characters or segments.
    """
    if len(name) > length:
        raise InvalidName(f"a stream name has at most {length} characters")
    if _NAME.fullmatch(name) is None or name.split("/")[0] == RESERVED:
        raise InvalidName(
            "a stream name consists of letters, digits and . _ ~ : @ + - in segments separated by /"
        )


@lru_cache(maxsize=1024)
def list_of(subject: str) -> str:
    """The name of the stream in which a subject keeps its list of conversations.

    It says nothing about who the subject is, and has the same length whatever they are called.
    """
    return f"{LISTS}/{hashlib.sha256(subject.encode()).hexdigest()[:32]}"


def is_list(name: str) -> bool:
    """Whether this is the name of somebody's list of conversations."""
    return name.startswith(f"{LISTS}/")
