"""When another process that says nothing is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

__all__ = ["sign_of_life"]

STEPS: Final = 3
"""In how many steps a sign is waited for; a pause of this process is one of them at most."""


async def sign_of_life(sign: Awaitable[object], *, within: float) -> None:
    """Wait for a sign of life.

    A process that stands still, or whose machine does, hears nothing meanwhile. What came in the
    pause is read first, and what could not be answered has the rest of the time.

    Raises:
        TimeoutError: it has not come in so many seconds.
    """
    coming = asyncio.ensure_future(sign)
    try:
        for _ in range(STEPS):
            if (await asyncio.wait([coming], timeout=within / STEPS))[0]:
                await coming
                return
    finally:
        coming.cancel()
        await asyncio.wait([coming])
    raise TimeoutError
