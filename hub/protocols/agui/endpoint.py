"""`/api/chat/{id}`: a conversation for TanStack AI, through ``durableStreamConnection``.

It also serves AG-UI's own client, ``HttpAgent``, which reads the answer in the response to its
question.

===========================  =================================================================
``POST /api/chat/{id}``      say something: ``{messages, data}``; 202 once the answer has begun
``POST /api/agent``          the same for ``HttpAgent``, in the conversation ``threadId``: with a
                             ``runId`` and ``Accept: text/event-stream`` the response is the
                             events of the run, from RUN_STARTED to RUN_FINISHED or RUN_ERROR.
                             ``/api/chat/{id}`` accepts this too
``GET  /api/chat/{id}``      the conversation as a JSON Durable Stream of AG-UI events: all
                             messages and replies, open for ever
===========================  =================================================================

So ``durableStreamConnection({ sendUrl: "/api/chat/ID" })`` is all the configuration there is. The
conversation is the stream of that id; if there is none yet, it is empty. The answer reaches
everyone who reads it, including who asked. ``model``, ``upstream`` and ``options`` are in the body
or in ``data``, the first two also in the query.

A message that is sent again while it is being answered changes nothing. One that is sent again
later is answered again (TanStack AI's ``reload``) and not repeated. That answer replaces the
former one in what a model is shown later (`hub.domain.conversation`).
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.errors import StreamNotFound
from hub.domain.events import Message
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.records import Record
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.http.json_models import fail_fast
from hub.hub import Hub
from hub.protocols.agui import messages as agui_messages
from hub.protocols.agui.chunks import AGUIChunks, AGUIRun
from hub.protocols.conversation import messages as ui_messages
from hub.protocols.conversation import view_reading
from hub.protocols.conversation.checkpoints import Checkpoints
from hub.protocols.conversation.one_request import Replies, generation_headers, resolve
from hub.protocols.conversation.stream_indexes import Indexes, key_of, note
from hub.protocols.conversation.view_reading import Viewed, ViewPace
from hub.protocols.durable.headers import named
from hub.streams.followed import FollowedStream

__all__ = ["ConversationAsked", "RunAsked", "TanStack"]


RUN_LENGTH: Final = 200
"""Characters of the name of a run, which is kept for as long as its answer lasts."""


class _Choice(BaseModel):
    """Which model is to answer, and its options."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    upstream: str | None = None
    model: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ConversationAsked(_Choice):
    """The body of a POST."""

    messages: Annotated[tuple[dict[str, Any], ...], fail_fast, Field(min_length=1)]
    data: _Choice | None = None


class RunAsked(BaseModel):
    """The body of a POST by AG-UI's own client, its ``RunAgentInput``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    threadId: str = Field(min_length=1)  # noqa: N815 - AG-UI's name
    runId: str = Field(min_length=1, max_length=RUN_LENGTH)  # noqa: N815 - AG-UI's name
    messages: Annotated[tuple[dict[str, Any], ...], fail_fast, Field(min_length=1)]
    tools: Annotated[tuple[dict[str, Any], ...], fail_fast] = ()
    forwardedProps: _Choice | None = None  # noqa: N815 - AG-UI's name


class TanStack:
    def __init__(self, hub: Hub, replies: Replies, *, pace: ViewPace) -> None:
        self._hub = hub
        self._replies = replies
        self._pace = pace
        self._checkpoints = Checkpoints()
        self._indexes = Indexes(MessageIndex)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/chat/{id:[^/]+}", self._say),
            web.post("/api/agent", self._run),
            web.get("/api/chat/{id:[^/]+}", self._read, allow_head=False),
        ]

    async def _say(self, request: web.Request) -> web.StreamResponse:
        if "text/event-stream" in request.headers.get("Accept", "").lower():
            return await self._run(request)  # AG-UI's client, which reads only the response
        body = await read_json(request, ConversationAsked)
        name, by = request.match_info["id"], request[PRINCIPAL]
        await self._hub.generations.check(name, messages=len(body.messages), by=by, chat=True)
        last = ui_messages.new_messages(body.messages)
        known = await self._known(request, name)
        new = _unknown(last, known)
        running = await self._hub.generations.running_in(name, by=by)
        if running is not None and last and not new and known.newest == _key_of(last[-1]):
            return _accepted(running)
        messages = ui_messages.chat_messages(body.messages)
        beside = ui_messages.reply_fields(body.messages, again=not new)
        choices = [body, body.data or _Choice()]
        ask = self._generation_request(request, name, new, messages, beside, choices)
        async with self._replies.begun(request, ask, outlives=True, chat=True) as (
            generation,
            stream,
        ):
            await self._replies.first_word(request, generation, stream)
            return _accepted(generation)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        """Answer AG-UI's client with the events of its run."""
        body = await read_json(request, RunAsked)
        name = request.match_info.get("id", body.threadId)
        by = request[PRINCIPAL]
        await self._hub.generations.check(name, messages=len(body.messages), by=by, chat=True)
        known = await self._known(request, name)
        new = _unknown(agui_messages.new_messages(body.messages), known)
        messages = agui_messages.chat_messages(body.messages)
        beside = ui_messages.reply_fields(body.messages, again=not new)
        tools = {"tools": agui_messages.chat_tools(body.tools)} if body.tools else {}
        choices = [body.forwardedProps or _Choice(), _Choice(options=tools)]
        ask = self._generation_request(request, name, new, messages, beside, choices)
        run = body.runId
        async with self._replies.begun(request, ask, outlives=True, chat=True) as (
            generation,
            stream,
        ):
            await self._replies.first_word(request, generation, stream)
            start = generation.position
            begin = stream.head if start is None else start.offset
            view = generation.id, run
            translate = partial(AGUIRun, name, *view)
            viewed = Viewed(stream, begin, translate, self._checkpoints, view)
            # RUN_ERROR says what is wrong and is an end; a body that is cut would say less.
            return await view_reading.follow(
                request,
                self._hub,
                viewed,
                self._pace.pace,
                generation_headers(generation),
                done=b"",
            )

    async def _known(self, request: web.Request, name: str) -> _Known:
        """The messages in a conversation."""
        try:
            stream = await self._hub.streams.open(name, by=request[PRINCIPAL])
            stream.expect_events()
            async with view_reading.turn(self._hub, stream, request):
                return _Known(await self._indexes.of(stream), stream.head)
        except StreamNotFound:
            return _Known(MessageIndex(), 0)

    def _generation_request(
        self,
        request: web.Request,
        name: str,
        new: tuple[Message, ...],
        messages: tuple[dict[str, Any], ...],
        beside: dict[str, Any],
        choices: list[_Choice],
    ) -> GenerationRequest:
        """A request for a generation; the first of ``choices`` takes precedence."""
        pairs = [(choice.upstream, choice.model) for choice in choices]
        upstream, model = resolve(self._hub, request, *pairs)
        options: dict[str, Any] = {}
        for choice in reversed(choices):
            options |= choice.options
        key = named(request, "Idempotency-Key")
        return GenerationRequest(
            messages=messages,
            stream=name,
            upstream=upstream,
            model=model,
            key=_key(name, new) if key is None else key,
            options=options,
            said=new,
            beside=beside,
        )

    async def _read(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]

        async def find(stream: FollowedStream) -> Viewed:
            return Viewed(stream, stream.head, lambda: AGUIChunks(name), self._checkpoints, ())

        return await view_reading.read(
            request, self._hub, name, find, self._pace, unbegun=lambda: AGUIChunks(name)
        )


class MessageIndex:
    """Where each message was last in a conversation, by its identity."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.places)

    def add(self, record: Record) -> None:
        if isinstance(record.event, Message):
            note(self.places, _key_of(record.event), record.offset)


class _Known:
    """The messages of a conversation from its head on."""

    def __init__(self, index: MessageIndex, head: int) -> None:
        self._places = index.places
        self._head = head

    def __contains__(self, key: str) -> bool:
        return self._places.get(key, -1) >= self._head

    @property
    def newest(self) -> str | None:
        """The newest one; ``None`` if there is none."""
        newest = next(reversed(self._places), None)
        return newest if newest is not None and newest in self else None


def _accepted(generation: Generation) -> web.Response:
    headers = {"Cache-Control": "no-store", **generation_headers(generation)}
    return web.Response(status=202, headers=headers)


def _identity(message: Message) -> str:
    """The id of a message, or of the call whose result it is."""
    return str(message.extra.get("id") or message.extra.get("tool_call_id") or "")


def _key_of(message: Message) -> str:
    """The identity of a message in a `MessageIndex`."""
    return key_of(_identity(message))


def _unknown(messages: tuple[Message, ...], known: _Known) -> tuple[Message, ...]:
    """The messages that are not in the conversation; one without an identity never is."""
    return tuple(m for m in messages if not (one := _key_of(m)) or one not in known)


def _key(name: str, new: tuple[Message, ...]) -> str | None:
    """A key under which two equal requests are one; ``None`` if a message has no identity."""
    identities = [_identity(message) for message in new]
    if not all(identities) or not identities:
        return None
    texts = [[message.role, message.text] for message in new]
    return f"agui-{hashlib.sha256(orjson.dumps([name, identities, texts])).hexdigest()}"
