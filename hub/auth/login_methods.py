"""How people can sign in to the page, as its sign-in page offers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LoginMethod"]


@dataclass(frozen=True, slots=True)
class LoginMethod:
    """A way to sign in.

    ``label`` is what a person reads. ``href`` is where it begins, relative to the hub's root; it is
    ``None`` for what begins elsewhere, such as with a link that somebody was sent.
    """

    kind: Literal["link", "header", "oidc"]
    label: str
    href: str | None = None
