"""Who may do what: the one place that each operation asks before it does anything."""

from __future__ import annotations

from typing import Literal

from hub.domain.principal import Principal

__all__ = ["Permission", "Permissions"]

Permission = Literal[
    "read",
    "append",
    "generate",
    "cancel",
    "fork",
    "close",
    "delete",
    "presence",
    "list",
    "admin",
]
"""What can be allowed. A fork needs ``read`` and ``fork`` on its source, and ``append`` on the
stream that it begins."""


class Permissions:
    """What each principal may do; everything, until there is authentication."""

    def check(self, by: Principal, permission: Permission, stream: str | None = None) -> None:
        """Return if a principal may do this, and refuse it otherwise; today nothing is refused.

        It never waits: an operation that asks and then acts in the same step acts on what it
        was told.

        ``stream`` is the name of the stream it is done to; ``None`` for what concerns no single
        stream, and for a generation that begins a stream of its own.
        """
