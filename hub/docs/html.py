"""Build HTML from elements; everything that is not `Markup` is escaped."""

from __future__ import annotations

import re
from html import escape
from typing import Final

__all__ = ["Markup", "el", "joined", "prose"]

_VOID: Final = frozenset({"link", "meta", "br"})
_CODE: Final = re.compile(r"`([^`]+)`")


class Markup(str):
    """HTML that needs no escaping."""

    __slots__ = ()


def el(element: str, /, *inner: str, **attributes: str) -> Markup:
    """An element; ``class_`` is the attribute ``class``, and empty attributes are left out."""
    tag = element + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    if element in _VOID:
        return Markup(f"<{tag}>")
    return Markup(f"<{tag}>{joined(*inner)}</{element}>")


def joined(*inner: str) -> Markup:
    """Concatenate pieces."""
    return Markup("".join(one if isinstance(one, Markup) else escape(one) for one in inner))


def prose(text: str) -> Markup:
    """Text in which backticks mark code."""
    parts = _CODE.split(text)
    return joined(*(el("code", part) if n % 2 else part for n, part in enumerate(parts)))
