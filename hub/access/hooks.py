"""What an application decides itself, beyond grants: who may follow, generate, and go on.

Grants are checked first, so a hook can only refuse more. One object stands behind both ways to
decide: what `hub.setup` gets as ``authorize``, and ``[auth.webhook]`` (`hub.auth.webhook`).
"""

from __future__ import annotations

from hub.domain.principal import Principal

__all__ = ["Hooks"]


class Hooks:
    """Allows everything; an application overrides what it decides.

    Each method raises a `hub.domain.errors.HubError` to refuse: `Forbidden` for good, `Unavailable`
    if it cannot decide now.
    """

    async def subscribe(self, by: Principal, stream: str) -> None:
        """Asked before a principal reads or follows a stream, or waits for one."""

    async def generate(
        self, by: Principal, stream: str | None, upstream: str, model: str | None
    ) -> None:
        """Asked before a generation begins; ``stream`` is ``None`` for one of its own."""

    async def refresh(self, by: Principal) -> Principal:
        """Who a connection belongs to from now on, asked when ``by.refresh`` has come.

        Raises:
            Unauthorized: it must end. The same subject goes on, or else it ends as well.
        """
        return by
