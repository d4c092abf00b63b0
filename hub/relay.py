"""The spine: one upstream read once, into a generation, into a stream.

::

    bytes ──framing──▶ chunks ──dialect──▶ events ──generation──▶ stream

The relay itself decides three things. Only what the provider says ends a reply well: a body
that stops without it is `upstream_truncated`, however politely the socket was closed. A
silence between chunks of ``stall_timeout`` seconds is `upstream_stalled`; a keep-alive
comment is not a chunk. And a failure is tried again, here or with another upstream (see
`hub.fallback`), only while no chunk has come, so that no reader ever sees two beginnings.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from itertools import count
from typing import Final

from hub.errors import UpstreamError
from hub.events import TERMINALS, Event, Other, Terminal
from hub.fallback import is_no_answer, stand_ins
from hub.framing import Chunk
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
    others = stand_ins(upstream, prompt)
    while True:
        try:
            return await _answer(upstream, prompt, generation, stream)
        except _Unbegun as nothing:
            error = nothing.error
            found = next(others, None) if is_no_answer(error) else None
        if found is None:
            raise error
        upstream, prompt = found
        stream.append(generation.apply(_retrying(generation, error, other=upstream)))
        generation.hand_on(upstream.name, prompt.model)


async def _answer(
    upstream: Upstream, prompt: Prompt, generation: Generation, stream: Stream
) -> Terminal:
    """Ask one upstream as often as it may be asked.

    Raises:
        UpstreamError: the reply broke off.
        _Unbegun: there was none.
    """
    for attempt in count(1):
        reading = _Reading(upstream, prompt)
        try:
            return await reading.into(generation, stream)
        except UpstreamError as error:
            if reading.begun:
                raise
            wait = error.retry_after
            if wait is None:
                wait = random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1)  # noqa: S311 - jitter
            if not error.retryable or attempt > upstream.retries or wait > upstream.max_retry_wait:
                raise _Unbegun(error) from None
            stream.append(generation.apply(_retrying(generation, error, attempt, wait)))
            await asyncio.sleep(wait)
    raise AssertionError("unreachable: the loop above has no end")


class _Unbegun(Exception):  # not an error: which it is, is decided by whoever catches it
    """No chunk has come from an upstream, and it is not asked again."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(error)
        self.error = error


def _retrying(
    generation: Generation,
    error: UpstreamError,
    attempt: int = 1,
    wait: float = 0.0,
    *,
    other: Upstream | None = None,
) -> Other:
    """What followers see of a failure after which somebody is asked once more.

    ``other`` is the upstream that is asked instead.
    """
    told = {
        "type": "retrying",
        "generation": generation.id,
        "attempt": attempt,
        "after": round(wait, 3),
        "code": error.code,
        "message": error.message,
    }
    return Other(told if other is None else {**told, "upstream": other.name})


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
                .events(self) as events,
            ):
                async for lot in events.lots():
                    await stream.space()
                    for event in lot:
                        if isinstance(event, TERMINALS):
                            return event
                        stream.append(generation.apply(event))
        finally:
            generation.usage = dialect.usage
        raise AssertionError("unreachable: a pipeline of events ends in a terminal or an error")

    def events(self, chunk: Chunk) -> Iterable[Event]:
        """What a chunk means; there is one, so nothing is tried again from here on."""
        self.begun = True
        return self._dialect.events(chunk)

    def close(self, *, clean: bool) -> Iterable[Event]:
        """What the end of the chunks means."""
        return self._dialect.close(clean=clean)

    def _patience(self) -> float:
        """Seconds that the next chunk may take."""
        stall = self._upstream.stall_timeout
        return min(TRAILERS, stall) if self._dialect.ending else stall
