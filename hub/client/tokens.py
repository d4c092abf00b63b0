"""The credential of a client: a token, or a function that returns one.

A function is called before every request and connection, so that a client that has slept does not
come back with an old token, and once more when the hub refuses what it returned. An API key, a JSON
Web Token and any other credential that a hub takes as ``Authorization: Bearer`` are all tokens.

Tokens are in no message, log or ``repr`` of the client.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Final

from hub.domain.errors import HubError, RequestError, Unavailable

__all__ = ["Token", "Tokens", "in_thread"]

Token = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A function that is not a coroutine runs in the event loop and must not block it."""

SECONDS: Final = 30.0
"""The longest that a function may take."""

# RFC 6750 section 2.1. Anything else in a header could end it.
_FORM: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class Tokens:
    """Where the tokens of one client come from.

    Raises:
        RequestError: ``bad_token``: it cannot be a token.
    """

    def __init__(self, token: Token) -> None:
        self._token = _checked(token) if isinstance(token, str) else token

    @property
    def fixed(self) -> bool:
        """Whether it is always the same token."""
        return isinstance(self._token, str)

    async def get(self) -> str:
        """The token to present now.

        Raises:
            RequestError: ``bad_token``: the function returned something else.
            Unavailable: ``token_unavailable``: the function raised another error than a
                `HubError`, which is the cause, or took too long.
        """
        if isinstance(self._token, str):
            return self._token
        try:
            async with asyncio.timeout(SECONDS):
                found = self._token()
                token: object = await found if inspect.isawaitable(found) else found
        except HubError:
            raise
        except Exception as error:
            # The text of the error may hold a secret.
            said = f"the function that returns the token failed: {type(error).__name__}"
            raise Unavailable(said, code="token_unavailable") from error
        return _checked(token)

    async def renewed(self, refused: str) -> str | None:
        """Another token than one that the hub has refused; ``None`` if there is none.

        Raises:
            HubError: as `get`.
        """
        if self.fixed:
            return None
        token = await self.get()
        return None if token == refused else token


def in_thread(token: str | Callable[[], str]) -> Token:
    """The same token, but its function may block."""
    if isinstance(token, str):
        return token

    async def called() -> str:
        return await asyncio.to_thread(token)

    return called


def _checked(token: object) -> str:
    if not isinstance(token, str):
        raise RequestError(f"a token must be text, not {type(token).__name__}", code="bad_token")
    if _FORM.fullmatch(token) is None:
        raise RequestError(
            "the token is empty, or has a character that no token has, such as a space or a line "
            "break",
            code="bad_token",
        )
    return token
