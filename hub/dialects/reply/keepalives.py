"""Keep-alives that stand in ``data:``, where chunks do, and carry nothing.

Gateways put their heartbeats into the frames of whatever they pass on: ``data: null``, ``data:
{}``, ``data: []``, ``data: : keepalive`` and ``data: ping``. These are skipped; a chunk that looks
like content and cannot be read is not.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_padding"]

_EMPTY: Final = frozenset({b"", b"null", b"{}", b"[]", b'""', b"true", b"false", b"undefined"})
_LONGEST: Final = 200
_BEAT: Final = re.compile(rb"(?i)[\s\[(<\"':;#*-]*(?:keep[-_ ]?alive|heart-?beat|ping|pong|noop)\b")


def is_padding(body: bytes) -> bool:
    """Whether a chunk carries nothing; its data must have no white space around it."""
    if body[:1] == b"{" and body != b"{}":
        return False  # nearly every chunk
    return (
        body in _EMPTY
        or body[:1] == b":"
        or (len(body) <= _LONGEST and _BEAT.match(body) is not None)
    )
