"""A bare JSON object among server-sent events, on lines without ``data:``.

Google's servers send errors like this in a body that began as an event stream, on several
lines. The standard ignores such lines; without the error, the reply would only look cut off.
"""

from __future__ import annotations

from typing import Final

import orjson

__all__ = ["BareObject"]

LONGEST: Final = 65_536
"""Bytes that are held. Anything longer is not an error message."""


class BareObject:
    """Collects the lines of one object."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def open(self) -> bool:
        """An object has begun and not ended."""
        return bool(self._held)

    def accepts(self, line: bytes) -> bool:
        """Whether the line begins such an object or continues one."""
        return self.open or line.startswith(b"{")

    def add(self, line: bytes) -> bytes | None:
        """The whole object, if this line ends it and it has an ``error``."""
        self._held += line + b"\n"
        if len(self._held) > LONGEST:
            self.drop()
        # An indented brace ends an inner object: only the last is worth parsing.
        elif line.endswith(b"}") and (line == b"}" or self._held.count(b"\n") == 1):
            held, self._held = self._held.rstrip(b"\n"), b""
            return held if _is_error(held) else None
        return None

    def drop(self) -> None:
        """Forget the lines, which the standard ignores: they were not such an object."""
        self._held = b""


def _is_error(held: bytes) -> bool:
    try:
        value = orjson.loads(held)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and "error" in value
