"""`/api/chat`: the AI SDK's UI message stream, version 1, for ``useChat`` as it is.

A chat is the stream of its id, so others can follow it. What a person says is appended as a
message, and the model is sent exactly the messages of the request.

==============================  ==============================================================
``POST /api/chat``              say something (``trigger: submit-message``) or ask for another
                                answer (``regenerate-message``); the response is the answer in
                                UI message chunks. ``model``, ``upstream`` and ``options`` are
                                those of `/v1/generations`, in the body or (the first two) the
                                query
``GET  …/{id}/stream``          the running answer, from its start; 204 if there is none
``POST …/{id}/stop``            stop it. Closing the connection, as ``stop()`` of `useChat` does,
                                leaves the answer running for others, unless the question had
                                the header ``X-On-Disconnect: cancel``
``GET  …/{id}/stream/{gen}``    an answer as a JSON Durable Stream of such chunks, closed at
                                its end; with ``whole=true`` from the start of its message
==============================  ==============================================================

Every answer names its Durable Stream in ``Location``. The transport of
``@durable-streams/aisdk-transport`` reads that and not the body; `useChat`'s own reads the body
and no header. To spare the former an unread body, ``Accept: application/json`` (an entry of its
``headers``) asks for the address alone, with 201 or 200.

Editing a question, or asking for another answer, begins a branch of the conversation: the event
that begins it names the message it follows (`hub.domain.conversation`).

A message that is sent twice has one effect. An error before the first word is plain text, which
``useChat`` shows; a later one is an ``error`` chunk, after which the body is cut.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final, NamedTuple
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
from hub.domain.records import Record
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.http.json_models import fail_fast
from hub.hub import Hub
from hub.protocols.aisdk.chunks import UIChunks
from hub.protocols.conversation import messages as ui_messages
from hub.protocols.conversation import view_reading
from hub.protocols.conversation.checkpoints import Checkpoints
from hub.protocols.conversation.one_request import Replies, generation_headers, resolve
from hub.protocols.conversation.stream_indexes import Indexes, key_of, note
from hub.protocols.conversation.view_reading import Viewed, ViewPace
from hub.protocols.durable.headers import named
from hub.protocols.standing import stand_open
from hub.streams.followed import FollowedStream

__all__ = ["AISDK", "ChatAsked"]

VERSION: Final = {"x-vercel-ai-ui-message-stream": "v1"}


class ChatAsked(BaseModel):
    """The body of a POST; fields that an application adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    messages: Annotated[tuple[dict[str, Any], ...], fail_fast, Field(min_length=1)]
    trigger: str = "submit-message"
    messageId: str | None = None  # noqa: N815 - the AI SDK's name
    upstream: str | None = None
    model: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class AISDK:
    def __init__(self, hub: Hub, replies: Replies, *, pace: ViewPace) -> None:
        self._hub = hub
        self._replies = replies
        self._pace = pace
        self._views = _Views(hub)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/chat", self._answer),
            web.get("/api/chat/{id:[^/]+}/stream", self._resume, allow_head=False),
            web.post("/api/chat/{id:[^/]+}/stop", self._stop),
            web.get("/api/chat/{id:[^/]+}/stream/{generation:[^/]+}", self._read, allow_head=False),
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        chat = await read_json(request, ChatAsked)
        await self._hub.generations.check(
            chat.id, messages=len(chat.messages), by=request[PRINCIPAL], chat=True
        )
        ask = _generation_request(self._hub, request, chat)
        async with self._replies.begun(request, ask, outlives=True, chat=True) as (
            generation,
            stream,
        ):
            await self._replies.first_word(request, generation, stream)
            async with view_reading.turn(self._hub, stream, request):
                viewed = await self._views.find(stream, generation.id, request[PRINCIPAL])
            address = _address(request.rel_url.raw_path, generation)
            return await self._respond(request, generation, viewed, address, 201)

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        by = request[PRINCIPAL]
        generation = await self._hub.generations.running_in(request.match_info["id"], by=by)
        if generation is None:
            return web.Response(status=204, headers={"Cache-Control": "no-store"})
        stream = await self._hub.streams.open(generation.stream, by=by)
        stand_open(self._hub, request)
        # Its beginning may be written but not yet visible.
        await self._hub.streams.committed(stream.name)
        async with view_reading.turn(self._hub, stream, request):
            viewed = await self._views.find(stream, generation.id, by, whole=True)
        root = request.rel_url.raw_path.rsplit("/", 2)[0]
        address = f"{_address(root, generation)}?whole=true"
        return await self._respond(request, generation, viewed, address, 200)

    async def _respond(
        self,
        request: web.Request,
        generation: Generation,
        viewed: Viewed,
        address: str,
        status: int,
    ) -> web.StreamResponse:
        """Respond with the answer itself or, with ``status``, with its address."""
        headers = {"Location": address, **generation_headers(generation)}
        accepted = request.headers.get("Accept", "").lower()
        if "application/json" in accepted and "text/event-stream" not in accepted:
            headers["Cache-Control"] = "no-store"
            return web.json_response({"streamUrl": address}, status=status, headers=headers)
        headers |= VERSION
        return await view_reading.follow(request, self._hub, viewed, self._pace.pace, headers)

    async def _stop(self, request: web.Request) -> web.Response:
        by = request[PRINCIPAL]
        generation = await self._hub.generations.running_in(request.match_info["id"], by=by)
        if generation is None:
            return web.Response(status=204)
        stopped = await self._hub.generations.cancel(generation.id, by=by)
        return web.json_response(stopped.to_json(), headers={"Cache-Control": "no-store"})

    async def _read(self, request: web.Request) -> web.StreamResponse:
        name, by = request.match_info["generation"], request[PRINCIPAL]
        whole = request.query.get("whole") == "true"

        async def find(stream: FollowedStream) -> Viewed:
            return await self._views.find(stream, name, by, whole=whole)

        return await view_reading.read(
            request, self._hub, request.match_info["id"], find, self._pace
        )


class _Begun(NamedTuple):
    """Where a generation starts, and the message that it is a part of, if it is one of several."""

    offset: int
    message: str | None


class StartIndex:
    """Where generations, and the messages that they are parts of, start in a conversation."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}
        self._parts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._begun) + len(self._parts)

    def add(self, record: Record) -> None:
        event = record.event
        if not isinstance(event, Started):
            return
        message = event.extra.get("message")
        part_of = message if isinstance(message, str) else None
        if (key := key_of(event.generation)) not in self._begun:
            note(self._begun, key, _Begun(record.offset, part_of))
        if part_of is not None and (key := key_of(part_of)) not in self._parts:
            note(self._parts, key, record.offset)

    def find(self, name: str) -> _Begun | None:
        """The start of a generation."""
        return self._begun.get(key_of(name))

    def first(self, name: str, message: str) -> int:
        """The start of the first generation that is a part of a message, as this one is."""
        begun = (self.find(name), self.find(message))
        places = [one.offset for one in begun if one is not None]
        part = self._parts.get(key_of(message))
        return min(places if part is None else [*places, part])


class _Views:
    """Finds answers in the streams of a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._checkpoints = Checkpoints()
        self._indexes = Indexes(StartIndex)

    async def find(
        self, stream: FollowedStream, name: str, by: Principal, *, whole: bool = False
    ) -> Viewed:
        """A generation, or the ``whole`` message that it is the end of, in UI message chunks.

        Raises:
            GenerationNotFound: it is not in the stream.
        """
        begin: int | None = None
        # It may be one from before the hub was restarted.
        with suppress(GenerationNotFound):
            generation = await self._hub.generations.find(name, by=by)
            if generation.stream == stream.name and generation.position is not None:
                begin = generation.position.offset
        if begin is None or whole:
            first, message = await self._start(stream, name, whole=whole)
            if message is not None:
                view = name, message
                return Viewed(stream, first, partial(UIChunks, *view), self._checkpoints, view)
            begin = first if begin is None else begin
        return Viewed(stream, begin, partial(UIChunks, name), self._checkpoints, (name,))

    async def _start(self, stream: FollowedStream, name: str, *, whole: bool) -> _Begun:
        """Where a generation starts, or the ``whole`` message that it is a part of, if it is.

        Raises:
            GenerationNotFound: it is not in the stream.
        """
        for anew in (False, True):
            index = await self._indexes.of(stream, anew=anew)
            begun = index.find(name)
            if begun is None or begun.offset >= stream.tail:
                raise GenerationNotFound(f'no generation is called "{name[:100]}"')
            if begun.message is None or not whole:
                found = _Begun(begun.offset, None)
            else:
                found = _Begun(index.first(name, begun.message), begun.message)
            if found.offset >= stream.head:
                break  # else a later one may be the first that is kept
        return found


def _generation_request(hub: Hub, request: web.Request, chat: ChatAsked) -> GenerationRequest:
    if chat.trigger not in ("submit-message", "regenerate-message"):
        raise RequestError("trigger must be submit-message or regenerate-message")
    upstream, model = resolve(hub, request, (chat.upstream, chat.model))
    again = chat.trigger == "regenerate-message"
    key = named(request, "Idempotency-Key")
    return GenerationRequest(
        messages=ui_messages.chat_messages(chat.messages),
        stream=chat.id,
        upstream=upstream,
        model=model,
        key=_key(chat) if key is None else key,
        options=chat.options,
        said=() if again else _new_messages(chat),
        beside=ui_messages.reply_fields(chat.messages, again=again),
    )


def _new_messages(chat: ChatAsked) -> tuple[Message, ...]:
    """What the request adds to the conversation, maybe replacing an earlier message."""
    new = ui_messages.new_messages(chat.messages)
    *before, last = chat.messages
    if chat.messageId is None or last.get("role") == "assistant":
        return new
    after = ui_messages.message_id(before[-1]) if before else None
    return tuple(replace(one, extra={**one.extra, AFTER: after}) for one in new)


def _key(chat: ChatAsked) -> str | None:
    """A key under which two equal requests are one.

    ``None`` if another answer is wanted. A request to regenerate is taken for a repetition only
    if it names an answer that is not among its messages.
    """
    names = map(ui_messages.message_id, chat.messages)
    if chat.trigger == "regenerate-message" and (chat.messageId is None or chat.messageId in names):
        return None
    content = orjson.dumps([chat.id, chat.trigger, chat.messageId, *chat.messages])
    return f"ui-{hashlib.sha256(content).hexdigest()}"


def _address(root: str, generation: Generation) -> str:
    """The address of an answer; ``root`` is that of all chats, with any prefix."""
    return f"{root}/{quote(generation.stream, safe='')}/stream/{generation.id}"
