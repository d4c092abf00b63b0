"""The spine: one upstream read once, into a generation, into a stream.

::

    bytes ──framing──▶ chunks ──dialect──▶ events ──generation──▶ stream

The relay itself decides three things. Only what the provider says ends a reply well: a body
that stops without it is `upstream_truncated`, however politely the socket was closed. A
silence between chunks of ``stall_timeout`` seconds is `upstream_stalled`; a keep-alive
comment is not a chunk. And a failure is tried again, here or with another upstream (see
`hub.fallback`), only while no chunk has come, so that no reader ever sees two beginnings; one
that another manner of asking avoids (see `hub.manner`) is no attempt that counts.

It is the one place that reads without `hub.pipeline`, whose steps frames, timeout and events
say the same in one line: most reads of a live reply hold one chunk, and from such a read to
its record plain loops take 26 µs where the chain of steps took 31.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import closing
from typing import Final

from hub.alarm import Alarm
from hub.errors import FramingError, UpstreamError
from hub.events import TERMINALS, Event, Other, Terminal
from hub.fallback import is_no_answer, stand_ins
from hub.framing import Chunk, Framing
from hub.generation import Generation
from hub.manner import Manner
from hub.prompt import Prompt
from hub.stream import Stream
from hub.upstream import Body, Upstream

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
    manner = upstream.manner(prompt)
    attempt = 1
    while True:
        reading = _Reading(upstream, prompt, manner, generation, stream)
        try:
            return await reading.end()
        except UpstreamError as error:
            if reading.begun:
                raise
            if reading.yields(error):
                stream.append(generation.apply(_retrying(generation, error, attempt)))
                continue
            wait = error.retry_after
            if wait is None:
                wait = random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1)  # noqa: S311 - jitter
            if not error.retryable or attempt > upstream.retries or wait > upstream.max_retry_wait:
                raise _Unbegun(error) from None
            stream.append(generation.apply(_retrying(generation, error, attempt, wait)))
            await asyncio.sleep(wait)
            attempt += 1


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

    def __init__(
        self,
        upstream: Upstream,
        prompt: Prompt,
        manner: Manner,
        generation: Generation,
        stream: Stream,
    ) -> None:
        self.begun = False
        """A chunk has come: from here on nothing is tried again."""
        self._upstream = upstream
        self._prompt = prompt
        self._manner = manner
        self._dialect = upstream.dialect()
        self._generation = generation
        self._stream = stream
        self._terminal: Terminal | None = None

    async def end(self) -> Terminal:
        """Append what comes, up to the terminal event, which is returned.

        Raises:
            UpstreamError: the reply was cut off, or cannot be understood.
        """
        dialect, upstream = self._dialect, self._upstream
        try:
            async with upstream.open(dialect, self._prompt, self._manner) as body:
                self._manner.taken()
                broken = await self._read(body, dialect.framing(upstream.chunk_limit))
                body.over = self._terminal is not None
                if not body.over:
                    # What broke off is whole all the same if the provider has said so.
                    self._append(dialect.close(clean=broken is None and body.delimited))
        finally:
            self._generation.usage = dialect.usage
        if self._terminal is None:
            raise broken or UpstreamError(
                "the upstream's reply ended before it was complete", code="upstream_truncated"
            )
        return upstream.discreet(self._terminal)

    def yields(self, error: UpstreamError) -> bool:
        """Whether the same can be asked in another manner, after this refusal."""
        return self._manner.yields(self._dialect, error)

    async def _read(self, body: Body, framing: Framing) -> UpstreamError | None:
        """Append what the body says, up to the terminal event; what broke it off, if it did."""
        with closing(Alarm()) as alarm:
            alarm.set(seconds := self._patience())
            while True:
                try:
                    data = await body.read()
                except UpstreamError as error:
                    return error
                except asyncio.CancelledError:
                    if not alarm.stop():
                        raise
                    message = f"nothing came from the upstream for {seconds:g} s"
                    return UpstreamError(message, code="upstream_stalled")
                try:
                    came = self._take(framing.feed(data) if data else framing.flush())
                except FramingError as error:
                    return error
                if not data or self._terminal is not None:
                    return None
                if came:
                    if self._stream.full:
                        alarm.stop()
                        await self._stream.space()
                    alarm.set(seconds := self._patience())

    def _take(self, chunks: Iterable[Chunk]) -> bool:
        """Append what the chunks say, up to the terminal event; whether there were any."""
        came = False
        for chunk in chunks:
            came = self.begun = True
            self._append(self._dialect.events(chunk))
            # Whoever ends the generation does not wait for this task to unwind.
            self._generation.usage = self._dialect.usage
            if self._terminal is not None:
                break
        return came

    def _append(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TERMINALS):
                self._terminal = event
                return
            self._stream.append(self._generation.apply(event))

    def _patience(self) -> float:
        """Seconds that the next chunk may take."""
        stall = self._upstream.stall_timeout
        return min(TRAILERS, stall) if self._dialect.ending else stall
