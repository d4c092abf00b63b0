"""The asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote, urlencode
from uuid import uuid4

from hub.client.appending import Appending
from hub.client.backoff import PASSING, retried
from hub.client.errors import call, malformed
from hub.client.following import Following, Reset, Value, hear
from hub.client.transport import Transport
from hub.domain.errors import HubError
from hub.domain.events import TERMINALS, Event, Message, Other, Usage, encode

__all__ = ["Generation", "Hub", "StreamInfo"]

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:7000"
PAGE: Final = 1000
"""Streams in one page of a list."""

WRITERS: Final = 1000
"""Streams whose idempotent producers are remembered; the oldest ones are replaced."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One run of an upstream, as described by the hub at the time of the call.

    ``state`` is ``asked``, ``waiting`` or ``streaming`` while it runs, then ``finished``,
    ``failed``, ``cancelled`` or ``interrupted``. ``position`` is where it begins in ``stream``.
    """

    id: str
    stream: str
    state: str
    upstream: str
    position: str | None = None
    model: str | None = None
    reason: str | None = None
    code: str | None = None
    message: str | None = None
    usage: Usage | None = None
    started_at: str | None = None
    ended_at: str | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream in a list; ``running`` is the id of the generation that runs in it."""

    name: str
    content_type: str
    closed: bool
    tail: str
    running: str | None = None


class Hub:
    """The hub at a URL, for an ``async with`` in one event loop.

    ::

        async with Hub("http://127.0.0.1:7000") as hub:
            generation = await hub.generate("Tell me everything", stream="first")
            async for event in hub.follow("first"):
                ...

    Requests that can be repeated safely are retried a few times after a lost connection, with
    growing waits; generations and appends carry keys so that they take effect once. ``headers``
    are sent with every request, for example to authenticate to a proxy.

    Raises:
        RequestError: it is not a URL.
        HubError: from every method: the hub refuses, with the code and class that its error has
            in `hub.domain.errors`; or ``hub_unreachable``, ``hub_lost``, ``hub_malformed``.
    """

    def __init__(self, url: str = DEFAULT_URL, *, headers: Mapping[str, str] | None = None) -> None:
        self.wire = Transport(url, headers)
        self._writers: dict[str, Appending] = {}

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wire.__aexit__()

    # Reading

    def follow(self, stream: str, *, from_: str = "start", wait: bool = False) -> Following:
        """The events of a stream as they come, until it closes; reconnects as often as needed.

        ``from_`` is ``"start"``, ``"now"`` or a position. With ``wait`` the stream need not
        exist yet. Yields `hub.domain.events`, a `Reset` where the stream had to jump, and a
        `Value` for a record that is not a JSON object.
        """
        return Following(hear(self.wire, stream, from_, wait=wait), from_)

    async def answer(self, generation: Generation) -> AsyncGenerator[Event | Reset, None]:
        """The events of one generation, from its start to its terminal event."""
        following = self.follow(generation.stream, from_=generation.position or "start")
        async with aclosing(following):
            async for event in following:
                if isinstance(event, Reset):
                    yield event
                elif isinstance(event, Value | Other | Message):
                    continue
                elif event.generation == generation.id:
                    yield event
                    if isinstance(event, TERMINALS):
                        return
        raise HubError("the stream closed before the answer was complete", code="stream_closed")

    async def streams(self, prefix: str = "") -> AsyncIterator[StreamInfo]:
        """The streams whose names begin with ``prefix``, by name."""
        query = {"limit": str(PAGE)} | ({"prefix": prefix} if prefix else {})
        while True:
            page = await self._ask("GET", f"/v1/streams?{urlencode(query)}")
            streams, more = _read(page, _page)
            for stream in streams:
                yield stream
            if not more:
                return
            query["after"] = streams[-1].name

    async def models(self) -> list[str]:
        """The models that can be used, the default first."""
        listed = await self._ask("GET", "/v1/models")
        return _read(listed, lambda answer: [str(model["id"]) for model in answer["data"]])

    # Generating

    async def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        stream: str | None = None,
        upstream: str | None = None,
        model: str | None = None,
        author: str | None = None,
        options: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Generation:
        """Start a generation: a ``prompt`` in a conversation, or exactly these ``messages``.

        It runs whether anybody follows it or not. Without a ``stream`` it gets one of its own.
        ``options`` are passed to the upstream (``temperature``, ``max_tokens`` …). Two calls with
        one ``key`` start one generation; by default each call has a key of its own.
        """
        request = {
            "prompt": prompt,
            "messages": messages,
            "stream": stream,
            "upstream": upstream,
            "model": model,
            "author": author,
            "options": options,
            "key": key or uuid4().hex,
        }
        body = {name: value for name, value in request.items() if value is not None}
        return _read(await self._ask("POST", "/v1/generations", body), _generation)

    async def generation(self, generation: str) -> Generation:
        """The present state of a generation."""
        return _read(await self._ask("GET", _path(generation)), _generation)

    async def cancel(self, generation: str) -> Generation:
        """Cancel a generation; one that has ended is not changed."""
        return _read(await self._ask("DELETE", _path(generation)), _generation)

    # Writing

    async def append(self, stream: str, event: Event | Mapping[str, Any]) -> str:
        """Append an event, or any other JSON object, to a stream, creating it if needed.

        Returns the position after it, once it is as safe as the hub's store makes it.
        """
        writer = self._writers.pop(stream, None) or Appending(self.wire, stream)
        self._writers[stream] = writer
        if len(self._writers) > WRITERS:
            del self._writers[next(iter(self._writers))]
        return await writer.append(encode(Other(event) if isinstance(event, Mapping) else event))

    async def fork(self, stream: str, source: str, position: str | None = None) -> None:
        """Create ``stream`` with the records of ``source`` before ``position``, by default all."""
        headers = {"Stream-Forked-From": f"/v1/stream/{quote(source)}"}
        if position is not None:
            headers["Stream-Fork-Offset"] = position
        await self._ask("PUT", f"/v1/stream/{quote(stream)}", headers=headers)

    async def delete(self, stream: str) -> None:
        """Delete a stream, and cancel the generation in it."""
        await call(self.wire, "DELETE", f"/v1/stream/{quote(stream)}")

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send a request that may be repeated if the connection is lost."""
        request = partial(call, self.wire, method, path, body, headers=headers)
        return await retried(request, PASSING - {"hub_unreachable"})


def _path(generation: str) -> str:
    return f"/v1/generations/{quote(generation, safe='')}"


def _read(answer: Any, parse: Callable[[Any], T]) -> T:
    """Parse the JSON of an answer.

    Raises:
        HubError: ``hub_malformed``.
    """
    try:
        return parse(answer)
    except (AttributeError, IndexError, KeyError, TypeError):
        raise malformed("its JSON is not as expected") from None


def _generation(answer: Any) -> Generation:
    generation = _known(Generation, answer)
    usage = answer.get("usage")
    return generation if usage is None else replace(generation, usage=_known(Usage, usage))


def _page(answer: Any) -> tuple[list[StreamInfo], bool]:
    streams = [_known(StreamInfo, stream) for stream in answer["streams"]]
    return streams, bool(answer["more"] and streams)


def _known(kind: Callable[..., T], values: Mapping[str, Any]) -> T:
    """A dataclass of the fields that it knows: a newer hub may send more."""
    known = {field.name for field in fields(cast("Any", kind))}
    return kind(**{name: value for name, value in values.items() if name in known})
