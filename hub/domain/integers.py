"""Integers as JSON has them."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["EXACT", "as_integer"]

EXACT: Final = 2**53
"""Every JSON parser reads integers below this exactly (RFC 8259, section 6)."""


def as_integer(value: Any) -> int | None:
    """The value if it is an integer that every program reads alike, otherwise ``None``.

    In JSON 9.0 is one, too (JSON Schema 2020-12, validation, section 6.1.1), and true is none.
    """
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < EXACT else None
