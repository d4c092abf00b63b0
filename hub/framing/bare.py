"""A JSON object that stands bare among server-sent events, without ``data:``.

Google's servers put an error so into a body that has begun as an event stream, on several
lines. The standard has such lines ignored; an error that is ignored would be told as
nothing but a cut reply.
"""

from __future__ import annotations

from typing import Final

import orjson

__all__ = ["Bare"]

LONGEST: Final = 65_536
"""Bytes that are held; a longer object is no error that somebody wants to read."""


class Bare:
    """Gathers the lines of one object, from the one that opens it to the one that ends it."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def open(self) -> bool:
        """An object has begun and not ended."""
        return bool(self._held)

    def takes(self, line: bytes) -> bool:
        """Whether the line begins such an object or goes on with one."""
        return self.open or line.startswith(b"{")

    def take(self, line: bytes) -> bytes | None:
        """The whole object, if it is one that holds an ``error`` and this line ends it."""
        self._held += line + b"\n"
        if len(self._held) > LONGEST:
            self.drop()
        # An indented brace ends an inner object: only the last is worth a parse.
        elif line.endswith(b"}") and (line == b"}" or self._held.count(b"\n") == 1):
            held, self._held = self._held.rstrip(b"\n"), b""
            return held if _is_error(held) else None
        return None

    def drop(self) -> None:
        """It was none: what stood there is ignored, as the standard says."""
        self._held = b""


def _is_error(held: bytes) -> bool:
    try:
        found = orjson.loads(held)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and "error" in found
