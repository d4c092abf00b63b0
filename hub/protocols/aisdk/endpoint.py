"""`/api/chat`: the AI SDK's UI message stream, version 1, for ``useChat`` as it is.

A chat is the stream that its id names, so everybody else can follow it: what a person says
there is appended as a message, and the model is asked with exactly the messages sent.

==============================  ==============================================================
``POST /api/chat``              say something (``trigger: submit-message``) or have an answer
                                again (``regenerate-message``); the answer in UI message
                                chunks. ``model``, ``upstream`` and ``options`` as for
                                `/v1/generations`, in the body or (the first two) the query
``GET  …/{id}/stream``          the answer that is being given, from its start; 204 when none is
``POST …/{id}/stop``            stop it. Closing a connection does not: `useChat`'s own
                                ``stop()`` is that, and leaves the answer to others, unless
                                the question had the header ``X-On-Disconnect: cancel``
``GET  …/{id}/stream/{gen}``    an answer as a JSON Durable Stream of such chunks, closed at
                                its end; with ``whole=true`` from the start of its message
==============================  ==============================================================

Every answer names its Durable Stream in ``Location``: the transport of
``@durable-streams/aisdk-transport`` reads that and no body, `useChat`'s own reads the body and
no header. So that the first one need not leave a body unread, ``Accept: application/json`` (an
entry of its ``headers``) asks for the address alone, with 201 or 200.

A question that is put in other words, or answered again, begins another branch of the
conversation: the event that does so names the message it goes on from (`hub.domain.conversation`).

A message sent twice has one effect. An error before the first word is plain text, which is
what ``useChat`` shows; one after it is an ``error`` chunk, and then the body is cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.conversation import AFTER
from hub.domain.errors import GenerationNotFound, RequestError
from hub.domain.events import Message, Started
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import Principal
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.aisdk.chunks import UIChunks
from hub.protocols.conversation import messages as ui_messages
from hub.protocols.conversation import view_reading
from hub.protocols.conversation.one_request import Replies, names
from hub.protocols.conversation.view_reading import Viewed, ViewPace
from hub.protocols.durable.headers import named
from hub.streams.followed import FollowedStream

__all__ = ["AISDK", "ChatAsked"]

VERSION: Final = {"x-vercel-ai-ui-message-stream": "v1"}

READ_BYTES: Final = 256 * 1024


class ChatAsked(BaseModel):
    """The body of a POST; what an application adds of its own is not the hub's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    messages: tuple[dict[str, Any], ...] = Field(min_length=1)
    trigger: str = "submit-message"
    messageId: str | None = None  # noqa: N815 - the AI SDK's name
    upstream: str | None = None
    model: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class AISDK:
    """The AI SDK's chats of one hub."""

    def __init__(self, hub: Hub, replies: Replies, *, pace: ViewPace) -> None:
        self._hub = hub
        self._replies = replies
        self._pace = pace

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [
            web.post("/api/chat", self._answer),
            web.get("/api/chat/{id:[^/]+}/stream", self._resume, allow_head=False),
            web.post("/api/chat/{id:[^/]+}/stop", self._stop),
            web.get("/api/chat/{id:[^/]+}/stream/{generation:[^/]+}", self._read, allow_head=False),
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        chat = await read_json(request, ChatAsked)
        ask = _ask(self._hub, request, chat)
        async with self._replies.begun(request, ask, outlives=True) as (generation, stream):
            await self._replies.first_word(generation, stream)
            viewed = await _viewed(self._hub, stream, generation.id, request[PRINCIPAL])
            where = _where(request.rel_url.raw_path, generation)
            return await self._told(request, generation, viewed, where, 201)

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        by = request[PRINCIPAL]
        generation = self._hub.generations.running_in(request.match_info["id"], by=by)
        if generation is None:
            return web.Response(status=204, headers={"Cache-Control": "no-store"})
        stream = await self._hub.streams.open(generation.stream, by=by)
        self._hub.admit()
        # Its beginning may be written and not be shown yet.
        await stream.committed()
        viewed = await _viewed_whole(self._hub, stream, generation.id, by)
        root = request.rel_url.raw_path.rsplit("/", 2)[0]
        where = f"{_where(root, generation)}?whole=true"
        return await self._told(request, generation, viewed, where, 200)

    async def _told(
        self,
        request: web.Request,
        generation: Generation,
        viewed: Viewed,
        where: str,
        status: int,
    ) -> web.StreamResponse:
        """The answer itself, or where it is to be read; ``status`` is for the latter."""
        if _wants_address(request):
            headers = {"Location": where, "Cache-Control": "no-store", **names(generation)}
            return web.json_response({"streamUrl": where}, status=status, headers=headers)
        headers = {"Location": where, **VERSION, **names(generation)}
        return await view_reading.follow(request, self._hub, viewed, self._pace.pace, headers)

    async def _stop(self, request: web.Request) -> web.Response:
        by = request[PRINCIPAL]
        generation = self._hub.generations.running_in(request.match_info["id"], by=by)
        if generation is None:
            return web.Response(status=204)
        stopped = await self._hub.generations.cancel(generation.id, by=by)
        return web.json_response(stopped.to_json(), headers={"Cache-Control": "no-store"})

    async def _read(self, request: web.Request) -> web.StreamResponse:
        view = _viewed_whole if request.query.get("whole") == "true" else _viewed

        async def find(stream: FollowedStream) -> Viewed:
            return await view(
                self._hub, stream, request.match_info["generation"], request[PRINCIPAL]
            )

        name = request.match_info["id"]
        return await view_reading.read(request, self._hub, name, find, self._pace)


async def _viewed(hub: Hub, stream: FollowedStream, name: str, by: Principal) -> Viewed:
    """A generation in UI message chunks.

    Raises:
        GenerationNotFound: there is none of that name in the stream.
    """
    try:
        generation = await hub.generations.find(name, by=by)
    except GenerationNotFound:
        pass  # one of an earlier life of the hub, maybe
    else:
        if generation.stream == stream.name and generation.position is not None:
            return Viewed(stream, generation.position.offset, lambda: UIChunks(name))
    begin, _ = await _start(stream, stream.head, name)
    return Viewed(stream, begin, lambda: UIChunks(name))


async def _viewed_whole(hub: Hub, stream: FollowedStream, name: str, by: Principal) -> Viewed:
    """The message that a generation gives, or gives the end of, in UI message chunks.

    Raises:
        GenerationNotFound: there is none of that name in the stream.
    """
    part = await _viewed(hub, stream, name, by)
    _, started = await _start(stream, part.begin, name)
    message = started.extra.get("message")
    if not isinstance(message, str):
        return part
    begin, _ = await _start(stream, stream.head, name, message)
    return Viewed(stream, begin, lambda: UIChunks(name, message))


async def _start(
    stream: FollowedStream, at: int, name: str, message: str | None = None
) -> tuple[int, Started]:
    """Where a generation starts, or the first that gave a part of a message."""
    while at < stream.tail:
        batch = await stream.fetch(at, READ_BYTES)
        for record in batch.records:
            event = record.event
            if isinstance(event, Started) and (
                event.generation in (name, message)
                or (message is not None and event.extra.get("message") == message)
            ):
                return record.offset, event
        if not batch.records:
            break
        at = batch.position.offset
    raise GenerationNotFound(f'no generation is called "{name[:100]}"')


# Asking


def _ask(hub: Hub, request: web.Request, chat: ChatAsked) -> GenerationRequest:
    if chat.trigger not in ("submit-message", "regenerate-message"):
        raise RequestError("trigger is submit-message or regenerate-message")
    upstream = chat.upstream or request.query.get("upstream") or None
    model = chat.model or request.query.get("model") or None
    if model is not None and upstream is None:
        upstream, model = hub.upstreams.resolve(model)
    again = chat.trigger == "regenerate-message"
    given = named(request, "Idempotency-Key")
    return GenerationRequest(
        messages=ui_messages.asked(chat.messages),
        stream=chat.id,
        upstream=upstream,
        model=model,
        key=_key(chat) if given is None else given,
        options=chat.options,
        said=() if again else _said(chat),
        beside=ui_messages.beside(chat.messages, again=again),
    )


def _said(chat: ChatAsked) -> tuple[Message, ...]:
    """What is said that was not said before, maybe in the place of what was."""
    said = ui_messages.said(chat.messages)
    *before, last = chat.messages
    if chat.messageId is None or last.get("role") == "assistant":
        return said
    after = ui_messages.name_of(before[-1]) if before else None
    return tuple(replace(one, extra={**one.extra, AFTER: after}) for one in said)


def _key(chat: ChatAsked) -> str | None:
    """What makes a request sent twice one: the chat, the message and all that is asked.

    Whoever wants another answer to the same says so. Without the id of the answer that is to
    be replaced, that cannot be told from a repetition, and counts as wanting another.
    """
    if chat.trigger == "regenerate-message" and _is_among(chat.messages, chat.messageId):
        return None
    asked = orjson.dumps([chat.id, chat.trigger, chat.messageId, *chat.messages])
    return f"ui-{hashlib.sha256(asked).hexdigest()}"


def _is_among(messages: tuple[Mapping[str, Any], ...], name: str | None) -> bool:
    return name is None or name in map(ui_messages.name_of, messages)


def _where(root: str, generation: Generation) -> str:
    """The address of an answer; ``root`` is where the chats are, under whatever prefix."""
    return f"{root}/{quote(generation.stream, safe='')}/stream/{generation.id}"


def _wants_address(request: web.Request) -> bool:
    accepted = request.headers.get("Accept", "").lower()
    return "application/json" in accepted and "text/event-stream" not in accepted
