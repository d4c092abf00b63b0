"""The spine: one upstream read once, into a generation, into a stream.

::

    bytes ──framing──▶ chunks ──dialect──▶ events ──generation──▶ stream

The relay itself decides three things. Only what the provider says ends a reply well: a body
that stops without it is `upstream_truncated`, however politely the socket was closed. A
silence between chunks of ``stall_timeout`` seconds is `upstream_stalled`; a keep-alive
comment is not a chunk. And a failure is tried again only while no chunk has come, so that
no reader ever sees two beginnings.
"""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import Final

from hub.errors import UpstreamError
from hub.events import TERMINALS, Other, Terminal
from hub.generation import Generation
from hub.pipeline import Pipeline
from hub.prompt import Prompt
from hub.stream import Stream
from hub.upstream import Upstream

__all__ = ["relay"]

TRAILERS: Final = 5.0
"""Seconds to wait for what may follow a finished text: usage, an error, the terminator."""


async def relay(
    upstream: Upstream, prompt: Prompt, generation: Generation, stream: Stream
) -> Terminal:
    """Read a reply into ``stream``, all but its terminal event, which is returned.

    Raises:
        UpstreamError: there is no whole reply; its code and message say why.
    """
    for attempt in count(1):
        reading = _Reading(upstream, prompt)
        try:
            return await reading.into(generation, stream)
        except UpstreamError as error:
            if reading.begun or not error.retryable or attempt > upstream.retries:
                raise
            wait = error.retry_after
            if wait is None:
                wait = random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1)  # noqa: S311 - jitter
            if wait > upstream.max_retry_wait:
                raise
            stream.append(generation.apply(_retrying(generation, attempt, wait, error)))
            await asyncio.sleep(wait)
    raise AssertionError("unreachable: the loop above has no end")


def _retrying(generation: Generation, attempt: int, wait: float, error: UpstreamError) -> Other:
    """What followers see of a failure that is tried again."""
    return Other(
        {
            "type": "retrying",
            "generation": generation.id,
            "attempt": attempt,
            "after": round(wait, 3),
            "code": error.code,
            "message": error.message,
        }
    )


class _Reading:
    """One attempt at one reply."""

    def __init__(self, upstream: Upstream, prompt: Prompt) -> None:
        self.begun = False
        """A chunk has come: from here on nothing is tried again."""
        self._upstream = upstream
        self._prompt = prompt
        self._dialect = upstream.dialect()

    async def into(self, generation: Generation, stream: Stream) -> Terminal:
        """Append what comes; return the terminal event, which is always the last."""
        dialect, upstream = self._dialect, self._upstream
        try:
            async with (
                upstream.open(dialect, self._prompt) as body,
                Pipeline(body)
                .frames(dialect.framing(upstream.chunk_limit))
                .timeout(self._patience)
                .tap(self._begin)
                .events(dialect) as events,
            ):
                async for event in events:
                    if isinstance(event, TERMINALS):
                        return event
                    await stream.space()
                    stream.append(generation.apply(event))
        finally:
            generation.usage = dialect.usage
        raise AssertionError("unreachable: a pipeline of events ends in a terminal or an error")

    def _begin(self, _: object) -> None:
        self.begun = True

    def _patience(self) -> float:
        """Seconds that the next chunk may take."""
        stall = self._upstream.stall_timeout
        return min(TRAILERS, stall) if self._dialect.ending else stall
