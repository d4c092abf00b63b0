"""Retries, with waits that grow, are bounded, and random.

The randomness keeps the clients of a restarting hub from reconnecting all at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Set
from typing import Final, TypeVar

from hub.domain.errors import HubError

__all__ = ["FIRST_WAIT", "LONGEST_WAIT", "PASSING", "TOKEN_LATE", "retried", "wait_before"]

T = TypeVar("T")

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 15.0
TRIES: Final = 5

PASSING: Final = frozenset({"hub_lost", "hub_unreachable", "draining", "limit_exceeded"})
"""Codes of errors that may pass: no connection, or a hub that stops or is full."""

TOKEN_LATE: Final = frozenset({"token_expired", "token_unavailable"})
"""Codes of errors that may pass if a function returns the tokens: the next one is not there yet."""


async def retried(request: Callable[[], Awaitable[T]], passing: Set[str] = PASSING) -> T:
    """The result of a request, which is repeated after errors whose code is in ``passing``.

    Raises:
        HubError: another error, or that of the last try.
    """
    for attempt in range(1, TRIES):
        try:
            return await request()
        except HubError as error:
            if error.code not in passing:
                raise
        await asyncio.sleep(wait_before(attempt))
    return await request()


def wait_before(attempt: int) -> float:
    """Seconds to wait after the ``attempt``-th failure, counted from 1."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311  # no secret depends on it
