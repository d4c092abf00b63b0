"""A hub from the outside: what its clients may do, each as one method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

from hub.client.appending import Appending
from hub.client.backoff import wait_before
from hub.client.errors import call, malformed
from hub.client.following import PASSING, Following, Reset, Value, hear
from hub.client.transport import Transport
from hub.domain.errors import HubError
from hub.domain.events import TERMINALS, Event, Message, Other, Usage, encode

__all__ = ["Generation", "Hub", "StreamInfo"]

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:7000"
TRIES: Final = 5
PAGE: Final = 1000
"""Streams asked for at a time."""

WRITERS: Final = 1000
"""Streams whose idempotent producers are remembered; beyond, the oldest begin anew."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One run of an upstream, as the hub described it when it was asked.

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
    """A stream, as a list shows it; ``running`` is the generation that is running in it."""

    name: str
    content_type: str
    closed: bool
    tail: str
    running: str | None = None


class Hub:
    """The hub at a URL, while the context lasts; one event loop uses it.

    ::

        async with Hub("http://127.0.0.1:7000") as hub:
            generation = await hub.generate("Tell me everything", stream="first")
            async for event in hub.follow("first"):
                ...

    Whatever can be repeated without harm is tried again over a lost connection, a few times
    with growing waits: generations and appends carry keys that give them one effect.
    ``headers`` go with every request, for a proxy that wants to know who asks.

    Raises:
        RequestError: the URL is none.
        HubError: of every method: what the hub refuses, by its code and as the class it has
            in `hub.domain.errors`; or ``hub_unreachable``, ``hub_lost``, ``hub_malformed``.
    """

    def __init__(self, url: str = DEFAULT_URL, *, headers: Mapping[str, str] | None = None) -> None:
        self.wire = Transport(url, headers)
        self._writers: dict[str, Appending] = {}

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.wire.__aexit__(kind, exc, at)

    # Reading

    def follow(self, stream: str, *, from_: str = "start", wait: bool = False) -> Following:
        """The events of a stream as they come, over any number of connections, until it closes.

        ``from_`` is ``"start"``, ``"now"`` or a position. With ``wait`` the stream need not
        exist yet. Gives `hub.domain.events`, `Reset` where it had to jump, `Value` for a record
        that is no JSON object.
        """
        return Following(hear(self.wire, stream, from_, wait=wait), from_)

    async def answer(self, generation: Generation) -> AsyncGenerator[Event | Reset, None]:
        """What one generation says, from its start to its terminal event."""
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
        raise HubError("the stream closed before the answer was whole", code="stream_closed")

    async def streams(self, prefix: str = "") -> AsyncIterator[StreamInfo]:
        """The streams whose names begin so, by name."""
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
        """What can be asked, the default first."""
        listed = await self._ask("GET", "/v1/models")
        return _read(listed, lambda held: [str(model["id"]) for model in held["data"]])

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
        """Begin a generation: a ``prompt`` in a conversation, or exactly these ``messages``.

        It goes on whether anybody follows it or not. Without a ``stream`` it gets one of its
        own. ``options`` go to the upstream (``temperature``, ``max_tokens`` …). A ``key``
        makes asking twice one generation; one is made for the tries of this call alone.
        """
        asked = {
            "prompt": prompt,
            "messages": messages,
            "stream": stream,
            "upstream": upstream,
            "model": model,
            "author": author,
            "options": options,
            "key": key or uuid4().hex,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return _read(await self._ask("POST", "/v1/generations", body), _generation)

    async def generation(self, generation: str) -> Generation:
        """How a generation is now."""
        return _read(await self._ask("GET", _path(generation)), _generation)

    async def cancel(self, generation: str) -> Generation:
        """Stop a generation; one that has ended stays as it is."""
        return _read(await self._ask("DELETE", _path(generation)), _generation)

    # Writing

    async def append(self, stream: str, event: Event | Mapping[str, Any]) -> str:
        """Append an event, or any other JSON object, to a stream, which begins with its first.

        Gives the position after it, once the hub has it as safe as its store makes it.
        """
        held = event if not isinstance(event, Mapping) else Other(event)
        writer = self._writers.pop(stream, None) or Appending(self.wire, stream)
        self._writers[stream] = writer
        if len(self._writers) > WRITERS:
            del self._writers[next(iter(self._writers))]
        return await writer.append(encode(held))

    async def fork(self, stream: str, source: str, position: str | None = None) -> None:
        """Begin ``stream`` with what ``source`` holds before ``position``, its tail if none."""
        headers = {"Stream-Forked-From": f"/v1/stream/{quote(source)}"}
        if position is not None:
            headers["Stream-Fork-Offset"] = position
        await self._ask("PUT", f"/v1/stream/{quote(stream)}", headers=headers)

    async def delete(self, stream: str) -> None:
        """Remove a stream, and cancel what is generated in it."""
        await call(self.wire, "DELETE", f"/v1/stream/{quote(stream)}")

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """What may be asked twice, asked again when the connection is lost."""
        for attempt in range(1, TRIES):
            try:
                return await call(self.wire, method, path, body, headers=headers)
            except HubError as error:
                if error.code not in PASSING - {"hub_unreachable"}:
                    raise
            await asyncio.sleep(wait_before(attempt))
        return await call(self.wire, method, path, body, headers=headers)


def _path(generation: str) -> str:
    return f"/v1/generations/{quote(generation, safe='')}"


def _read(held: Any, make: Callable[[Any], T]) -> T:
    """What an answer says, as long as it is a hub's.

    Raises:
        HubError: ``hub_malformed``.
    """
    try:
        return make(held)
    except (AttributeError, IndexError, KeyError, TypeError):
        raise malformed("it answers with other JSON") from None


def _generation(held: Any) -> Generation:
    known = {field.name for field in fields(Generation)}
    shown = {name: value for name, value in held.items() if name in known}
    if (usage := held.get("usage")) is not None:
        counts = {field.name for field in fields(Usage)}
        shown["usage"] = Usage(**{n: value for n, value in usage.items() if n in counts})
    return Generation(**shown)


def _page(held: Any) -> tuple[list[StreamInfo], bool]:
    streams = [_info(stream) for stream in held["streams"]]
    return streams, bool(held["more"] and streams)


def _info(held: Any) -> StreamInfo:
    known = {field.name for field in fields(StreamInfo)}
    return StreamInfo(**{name: value for name, value in held.items() if name in known})
