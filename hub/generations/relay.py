"""The relay: reads one upstream once, into a generation, into a stream.

::

    bytes ──framing──▶ chunks ──dialect──▶ events ──generation──▶ stream

The relay itself decides three things. Only the provider's word ends a reply well: a body that stops
without it is `upstream_truncated`, however politely the socket was closed.

Two clocks end a reply as `upstream_stalled`: ``stall_timeout`` seconds without a byte, and
``content_timeout`` seconds in which only keep-alives came (comments, pings, progress).

A failure is tried again, here or with another upstream (see `hub.upstreams.fallback`), only while
no content has come, so that no reader ever sees two beginnings. Many providers refuse under HTTP
200, after some first chunks, so neither the status nor the first chunk is the beginning. A refusal
that other request fields avoid (see `hub.upstreams.field_negotiation`) does not count as an
attempt.

This is the one place that reads without `hub.pipeline`, whose steps frames, timeout and events
would say the same in one line: most reads of a live reply hold one chunk, and from such a read to
its record plain loops take 26 µs where the chain of steps took 31.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from contextlib import closing
from typing import Any, Final

from hub.dialects import Reasoning, Stopping
from hub.domain.errors import FramingError, UpstreamError
from hub.domain.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Other,
    Terminal,
)
from hub.domain.failures import REFUSES_KEY, raised, too_long
from hub.domain.generation import Generation
from hub.domain.prompt import Prompt
from hub.framing import Chunk, Framing
from hub.generations.read_deadline import ReadDeadline
from hub.generations.steering import STEERED, ends_sentence
from hub.stores.writer import Appender
from hub.upstreams.fallback import is_no_answer, stand_ins
from hub.upstreams.field_negotiation import FieldNegotiation
from hub.upstreams.upstream import Body, Upstream

__all__ = ["relay", "within"]

log = logging.getLogger("hub.relay")

TRAILERS: Final = 5.0
"""Seconds to wait for what may follow a complete text: usage, an error, the terminator."""


async def relay(
    upstream: Upstream,
    prompt: Prompt,
    generation: Generation,
    stream: Appender,
    fallbacks: frozenset[str] | None = None,
) -> Terminal:
    """Read a reply into ``stream``, except for its terminal event, which is returned.

    Of the upstream's fallbacks only those named in ``fallbacks`` are asked; ``None``: all.

    Raises:
        UpstreamError: there is no whole reply.
    """
    others = stand_ins(upstream, prompt, fallbacks)
    attempts = 0
    while True:
        try:
            return await _answer(upstream, prompt, generation, stream)
        except _NotBegun as nothing:
            error = nothing.error
            error.attempts = attempts = attempts + error.attempts
            found = next(others, None) if is_no_answer(error) else None
        if found is None:
            raise error
        upstream, prompt = found
        stream.append(generation.apply(_retrying(generation, error, upstream=upstream.name)))
        generation.hand_on(upstream.name, prompt.model)


async def within(seconds: float, reading: Coroutine[Any, Any, Terminal]) -> Terminal:
    """What `relay` returns, or that it took longer than ``seconds``, and was stopped."""
    try:
        async with asyncio.timeout(seconds) as longest:
            return await reading
    except TimeoutError:
        if not longest.expired():
            raise
        return too_long(seconds)


async def _answer(
    upstream: Upstream, prompt: Prompt, generation: Generation, stream: Appender
) -> Terminal:
    """Ask one upstream, as often as it may be asked.

    Raises:
        UpstreamError: the reply broke off.
        _NotBegun: no content has come.
    """
    fields = upstream.negotiation(prompt)
    attempt = 1
    while True:
        reading = _Reading(upstream, prompt, fields, generation, stream)
        try:
            return await reading.run()
        except UpstreamError as error:
            if reading.begun:
                raise
            if fields.try_alternative(reading.dialect, error):
                stream.append(generation.apply(_retrying(generation, error, attempt)))
                continue
            wait = error.retry_after
            if wait is None:
                wait = random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1)  # noqa: S311 - jitter
            if not error.retryable or attempt > upstream.retries or wait > upstream.max_retry_wait:
                error.attempts = attempt
                raise _NotBegun(error) from None
            stream.append(generation.apply(_retrying(generation, error, attempt, wait)))
            await asyncio.sleep(wait)
            attempt += 1


class _NotBegun(Exception):  # not an error: whoever catches it decides which error it is
    """No content has come from an upstream, and it is not asked again."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(error)
        self.error = error


def _retrying(
    generation: Generation, error: UpstreamError, attempt: int = 1, wait: float = 0.0, **beside: str
) -> Other:
    """The event for a failure after which this upstream or another is asked again."""
    return Other(
        {
            "type": "retrying",
            "generation": generation.id,
            "attempt": attempt,
            "after": round(wait, 3),
            "code": error.code,
            "message": error.message,
            **beside,
        }
    )


class _Reading:
    """One attempt at one reply.

    Once it has ``begun``, content has come, and nothing is tried again.
    """

    def __init__(
        self,
        upstream: Upstream,
        prompt: Prompt,
        fields: FieldNegotiation,
        generation: Generation,
        stream: Appender,
    ) -> None:
        self.begun = False
        self._upstream, self._prompt, self._fields = upstream, prompt, fields
        self._generation, self._stream = generation, stream
        self.dialect = upstream.dialect()
        self._said = False
        """The last read brought content."""
        self._terminal: Terminal | None = None

    async def run(self) -> Terminal:
        """Append events up to the terminal one, which is returned.

        Raises:
            UpstreamError: the reply was cut off, or cannot be understood.
        """
        dialect, upstream = self.dialect, self._upstream
        try:
            async with upstream.open(dialect, self._prompt, self._fields) as body:
                broken = await self._read(body, dialect.framing(upstream.chunk_limit))
                stopped = isinstance(dialect, Stopping) and dialect.stopped
                stopped |= isinstance(self._terminal, Cancelled)
                body.over = self._terminal is not None and not stopped
                if self._terminal is None:
                    # A reply that broke off is whole if the provider has said so.
                    self._append(dialect.close(clean=broken is None and body.delimited))
        finally:
            self._generation.usage = dialect.usage
        if self._terminal is None:
            raise broken or _truncated("the upstream's reply ended before it was complete")
        end = upstream.discreet(self._terminal)
        if isinstance(end, Failed) and end.code == REFUSES_KEY:
            # As `hub.upstreams.http_client` does for a status.
            log.warning('upstream "%s" refuses the key: %s', upstream.name, end.message)
        if not self.begun and isinstance(end, Failed):
            raise raised(end)
        if not self.begun and isinstance(dialect, Reasoning) and not dialect.reasoned:
            raise _truncated("the upstream ended its reply without any content")
        return end

    async def _read(self, body: Body, framing: Framing) -> UpstreamError | None:
        """Append events up to the terminal one; gives the error that broke the body off, if any."""
        time = asyncio.get_running_loop().time
        stall = self._upstream.stall_timeout
        due = time() + self._patience()
        with closing(ReadDeadline()) as deadline:
            deadline.set(min(stall, due - time()))
            while True:
                try:
                    data = await body.read()
                except UpstreamError as error:
                    return error
                except asyncio.CancelledError:
                    if not deadline.stop():
                        raise
                    seconds, said = stall, "nothing"
                    if time() >= due:
                        seconds = self._upstream.content_timeout
                        said = "nothing but keep-alives"
                    said = f"{said} came from the upstream for {seconds:g} s"
                    return UpstreamError(said, code="upstream_stalled")
                try:
                    came = self._take(framing.feed(data) if data else framing.flush())
                except FramingError as error:
                    return error
                if not data or self._terminal is not None:
                    return None
                if came:
                    if self._stream.full:
                        deadline.stop()
                        await self._stream.space()
                    due = time() + self._patience()
                deadline.set(min(stall, due - time()))

    def _take(self, chunks: Iterable[Chunk]) -> bool:
        """Append the events of chunks, up to the terminal one; gives whether there was content.

        The provider's word that its text is complete counts as content.
        """
        ending, self._said = self.dialect.ending, False
        for chunk in chunks:
            self._append(self.dialect.events(chunk))
            # Whoever ends the generation does not wait until this task has unwound.
            self._generation.usage = self.dialect.usage
            if self._terminal is not None:
                break
        return self._said or self.dialect.ending is not ending

    def _append(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TERMINALS):
                self._terminal = event
                if isinstance(event, Finished):
                    self._fields.accepted()
                return
            if not self.begun and isinstance(event, Delta):
                self.begun = True
                self._fields.accepted()
            self._said = True
            self._stream.append(self._generation.apply(event))
            if self._generation.yields and isinstance(event, Delta) and ends_sentence(event):
                self._terminal = Cancelled(extra=STEERED)
                return

    def _patience(self) -> float:
        """Seconds that the next content may take."""
        return TRAILERS if self.dialect.ending else self._upstream.content_timeout


def _truncated(said: str) -> UpstreamError:
    return UpstreamError(said, code="upstream_truncated", retryable=True)
