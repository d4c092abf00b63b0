"""Several bodies as one string: each with its length before it, 4 bytes, big-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

__all__ = ["Damaged", "pack", "unpack"]

_LENGTH: Final = struct.Struct(">I")


class Damaged(ValueError):
    """Bytes that this hub did not write."""


def pack(bodies: Iterable[bytes]) -> bytes:
    """Bodies as one string."""
    return b"".join([part for body in bodies for part in (_LENGTH.pack(len(body)), body)])


def unpack(blob: bytes) -> list[bytes]:
    """The bodies in a string that `pack` made.

    Raises:
        Damaged: it made no such string.
    """
    bodies: list[bytes] = []
    at = 0
    while at < len(blob):
        start = at + _LENGTH.size
        if start > len(blob):
            raise Damaged("a length is cut off")
        at = start + _LENGTH.unpack_from(blob, at)[0]
        if at > len(blob):
            raise Damaged("a body is cut off")
        bodies.append(blob[start:at])
    return bodies
