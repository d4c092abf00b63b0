"""The asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote, urlencode
from uuid import uuid4

from hub.client.appending import Appending
from hub.client.backoff import PASSING, retried
from hub.client.errors import call, malformed
from hub.client.following import Following, Reset, Value, hear
from hub.client.tokens import Token
from hub.client.transport import Transport
from hub.domain.errors import HubError
from hub.domain.events import (
    TERMINALS,
    Dropped,
    Event,
    Message,
    Other,
    Queued,
    Usage,
    encode,
    from_json,
)
from hub.domain.generation_request import WhenBusy

__all__ = ["Generation", "Hub", "Queue", "ShareLink", "StreamInfo", "Ticket"]

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:7000"
PAGE: Final = 1000
"""Streams in one page of a list."""

WRITERS: Final = 1000
"""Streams whose idempotent producers are remembered; the oldest ones are replaced."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One run of an upstream, as described by the hub at the time of the call.

    ``state`` is ``queued`` until its turn comes, ``asked``, ``waiting`` or ``streaming`` while it
    runs, then ``finished``, ``failed``, ``cancelled`` or ``interrupted``; ``dropped`` if its turn
    never came. ``position`` is where it begins in ``stream``.
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
class Queue:
    """The prompts that wait in a stream, the next one first.

    If ``held``, they wait until somebody sends one or another answer finishes.
    """

    prompts: tuple[Queued, ...]
    held: bool


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream in a list; ``running`` is the id of the generation that runs in it."""

    name: str
    content_type: str
    closed: bool
    tail: str
    running: str | None = None


@dataclass(frozen=True, slots=True)
class ShareLink:
    """A link by which anybody may read a stream.

    ``until`` is ``"live"`` or the position up to which it shows the stream. Only a new link has a
    ``url``.
    """

    id: str
    stream: str
    until: str
    created_at: str
    title: str | None = None
    created_by: str | None = None
    expires_at: str | None = None
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A credential to read one stream with, also in a URL; ``url`` is that of the live stream."""

    ticket: str = field(repr=False)
    expires_at: str
    url: str = field(repr=False)


class Hub:
    """The hub at a URL, for an ``async with`` in one event loop.

    ::

        async with Hub("http://127.0.0.1:7000") as hub:
            generation = await hub.generate("Tell me everything", stream="first")
            async for event in hub.follow("first"):
                ...

    Requests that can be repeated safely are retried a few times after a lost connection, with
    growing waits; generations and appends carry keys so that they take effect once. ``token`` is
    the credential, or a function that returns it, see `hub.client.tokens`. ``headers`` are sent
    with every request, for example to authenticate to a proxy.

    A token goes to this URL only, over ``http`` as over ``https``: use ``https`` wherever others
    can read what you send.

    Raises:
        RequestError: it is not a URL, or not a token.
        HubError: from every method: the hub refuses, with the code and class that its error has
            in `hub.domain.errors`; or ``hub_unreachable``, ``hub_lost``, ``hub_malformed``.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.wire = Transport(url, headers, token)
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
        """The events of one generation, from its start to its terminal event.

        If it is queued, they begin with a `Queued`, and end with a `Dropped` if it never starts.
        """
        following = self.follow(generation.stream, from_=generation.position or "start")
        async with aclosing(following):
            async for event in following:
                if isinstance(event, Reset):
                    yield event
                elif isinstance(event, Value | Other | Message):
                    continue
                elif event.generation == generation.id:
                    yield event
                    if isinstance(event, (*TERMINALS, Dropped)):
                        return
        raise HubError("the stream closed before the answer was complete", code="stream_closed")

    async def streams(self, prefix: str = "") -> AsyncIterator[StreamInfo]:
        """The streams whose names begin with ``prefix``, by name."""
        query = {"limit": str(PAGE)} | ({"prefix": prefix} if prefix else {})
        while True:
            page = await self._ask("GET", f"/v1/streams?{urlencode(query)}")
            streams, following = _read(page, _page)
            for stream in streams:
                yield stream
            if following is None:
                return
            query["after"] = following

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
        when_busy: WhenBusy = "refuse",
        after: str | None = None,
        branch: str | None = None,
    ) -> Generation:
        """Start a generation: a ``prompt`` in a conversation, or exactly these ``messages``.

        It runs whether anybody follows it or not. Without a ``stream`` it gets one of its own.
        ``options`` are passed to the upstream (``temperature``, ``max_tokens`` …). Two calls with
        one ``key`` start one generation; by default each call has a key of its own.

        ``when_busy`` is what happens to a ``prompt`` while the stream answers another one: it is
        refused, waits for its turn (``queue``), or goes first: ``steer`` stops the answer where a
        sentence ends, ``replace`` at once.

        A conversation has branches. A prompt ``after`` a message or an answer, which an id or a
        position names (``""``: the beginning), begins one; without a prompt, that message is
        answered again. ``branch`` is any message of the branch that the prompt continues.
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
            "when_busy": None if when_busy == "refuse" else when_busy,
            "after": after,
            "branch": branch,
        }
        body = {name: value for name, value in request.items() if value is not None}
        return _read(await self._ask("POST", "/v1/generations", body), _generation)

    async def generation(self, generation: str) -> Generation:
        """The present state of a generation."""
        return _read(await self._ask("GET", _path(generation)), _generation)

    async def cancel(self, generation: str) -> Generation:
        """Cancel a generation, or drop a queued one; one that has ended is not changed."""
        return _read(await self._ask("DELETE", _path(generation)), _generation)

    async def queue(self, stream: str) -> Queue:
        """The prompts that wait in a stream. Those who follow it can use a `QueueView`."""
        return _read(await self._ask("GET", f"/v1/queue/{quote(stream)}"), _queue)

    async def requeue(
        self,
        generation: str,
        *,
        prompt: str | None = None,
        place: int | None = None,
        now: bool = False,
    ) -> Generation:
        """Change a queued prompt: its text, or its ``place``, which is 1 for the next one.

        ``now`` sends it at once, and stops the answer that runs. A prompt that waits no more is
        refused with the code ``not_queued``.
        """
        change = {"prompt": prompt, "place": place, "now": now or None}
        body = {name: value for name, value in change.items() if value is not None}
        return _read(await self._ask("PATCH", _path(generation), body), _generation)

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

    # Sharing

    async def share(
        self,
        stream: str,
        *,
        until: str = "live",
        expires_in: int | None = None,
        title: str | None = None,
    ) -> ShareLink:
        """A link by which anybody may read a stream; its `url` is told this once.

        ``until`` is ``"live"``, ``"now"`` or a position: how much the link shows. ``expires_in`` is
        in seconds; without it the link works until it is revoked. Not repeated if the connection is
        lost: then there may be a link that nobody has.
        """
        asked = {"stream": stream, "until": until, "expires_in": expires_in, "title": title}
        made = await call(self.wire, "POST", "/v1/shares", asked)
        link = _read(made, lambda answer: _known(ShareLink, answer))
        # Only its end: a proxy may have stripped a prefix that the hub does not know of.
        secret = (link.url or "").rpartition("/")[2]
        return replace(link, url=f"{self.wire.url}/s/{secret}")

    async def shares(self, stream: str | None = None) -> AsyncIterator[ShareLink]:
        """The links to a stream that work, by id; without a stream those that one has made."""
        query = {"limit": str(PAGE)} | ({} if stream is None else {"stream": stream})
        while True:
            page = await self._ask("GET", f"/v1/shares?{urlencode(query)}")
            links, more = _read(page, _links)
            for link in links:
                yield link
            if not more:
                return
            query["after"] = links[-1].id

    async def revoke_share(self, link: str) -> None:
        """Revoke a link, by its id; its readers end within two seconds."""
        await self._ask("DELETE", f"/v1/shares/{quote(link, safe='')}")

    async def ticket(self, stream: str, *, expires_in: int | None = None) -> Ticket:
        """A ticket to read a stream where no header can be sent, such as in an ``EventSource``.

        ``expires_in`` is in seconds, by default an hour.
        """
        asked = {"stream": stream} | ({} if expires_in is None else {"expires_in": expires_in})
        made = await self._ask("POST", "/v1/tickets", asked)
        ticket = _read(made, lambda answer: _known(Ticket, answer))
        return replace(
            ticket, url=f"{self.wire.url}/v1/live/{quote(stream)}?ticket={ticket.ticket}"
        )

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


def _queue(answer: Any) -> Queue:
    events = [from_json(prompt) for prompt in answer["prompts"]]
    return Queue(
        tuple(event for event in events if isinstance(event, Queued)), bool(answer["held"])
    )


def _page(answer: Any) -> tuple[list[StreamInfo], str | None]:
    """The streams of a page, and where the next one begins, if there is one."""
    streams = [_known(StreamInfo, stream) for stream in answer["streams"]]
    # An older hub does not say where, and has no empty pages before the last one.
    last = streams[-1].name if streams else None
    return streams, str(answer.get("next", last)) if answer["more"] else None


def _links(answer: Any) -> tuple[list[ShareLink], bool]:
    links = [_known(ShareLink, link) for link in answer["shares"]]
    return links, bool(answer["more"] and links)


def _known(kind: Callable[..., T], values: Mapping[str, Any]) -> T:
    """A dataclass of the fields that it knows: a newer hub may send more."""
    known = {field.name for field in fields(cast("Any", kind))}
    return kind(**{name: value for name, value in values.items() if name in known})
