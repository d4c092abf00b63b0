"""`/api/chat/{id}`: a conversation for TanStack AI, through ``durableStreamConnection``.

And for AG-UI's own client, ``HttpAgent``, which reads the answer in the response to its question.

===========================  =================================================================
``POST /api/chat/{id}``      say something: ``{messages, data}``; 202 once it is being answered
``POST /api/agent``          the same for ``HttpAgent``, in the conversation ``threadId``: with a
                             ``runId`` and ``Accept: text/event-stream`` the answer is the run's
                             events, from RUN_STARTED to RUN_FINISHED or RUN_ERROR. So it is at
                             ``/api/chat/{id}``
``GET  /api/chat/{id}``      the conversation as a JSON Durable Stream of AG-UI events: what
                             everybody says and what is answered, open for ever
===========================  =================================================================

So ``durableStreamConnection({ sendUrl: "/api/chat/ID" })`` is all there is to configure. The
conversation is the stream that the id names; one that has not begun is empty. The answer
comes to all who read, the asker too. ``model``, ``upstream`` and ``options`` stand in the body
or in ``data``, the first two also in the query.

A message that is being answered and comes again changes nothing. One that has been answered
and comes again is answered again (TanStack AI's ``reload``), and not repeated; that answer
takes the place of the former in what a model is told later (`hub.domain.conversation`).
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.errors import StreamNotFound
from hub.domain.events import Message
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import Principal
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.agui import messages as agui_messages
from hub.protocols.agui.chunks import AGUIChunks, AGUIRun
from hub.protocols.conversation import messages as ui_messages
from hub.protocols.conversation import view_reading
from hub.protocols.conversation.one_request import Replies, names
from hub.protocols.conversation.view_reading import Viewed, ViewPace
from hub.protocols.durable.headers import named
from hub.streams.followed import FollowedStream

__all__ = ["ConversationAsked", "RunAsked", "TanStack"]


class _Wanted(BaseModel):
    """Who is to answer, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    upstream: str | None = None
    model: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ConversationAsked(_Wanted):
    """The body of a POST."""

    messages: tuple[dict[str, Any], ...] = Field(min_length=1)
    data: _Wanted | None = None


class RunAsked(BaseModel):
    """The body of a POST by AG-UI's own client, its ``RunAgentInput``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    threadId: str = Field(min_length=1)  # noqa: N815 - AG-UI's name
    runId: str = Field(min_length=1)  # noqa: N815 - AG-UI's name
    messages: tuple[dict[str, Any], ...] = Field(min_length=1)
    tools: tuple[dict[str, Any], ...] = ()
    forwardedProps: _Wanted | None = None  # noqa: N815 - AG-UI's name


class TanStack:
    """TanStack AI's conversations of one hub."""

    def __init__(self, hub: Hub, replies: Replies, *, pace: ViewPace) -> None:
        self._hub = hub
        self._replies = replies
        self._pace = pace

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [
            web.post("/api/chat/{id:[^/]+}", self._say),
            web.post("/api/agent", self._run),
            web.get("/api/chat/{id:[^/]+}", self._read, allow_head=False),
        ]

    async def _say(self, request: web.Request) -> web.StreamResponse:
        if _is_run(request):
            return await self._run(request)
        body = await read_json(request, ConversationAsked)
        name, by = request.match_info["id"], request[PRINCIPAL]
        said = ui_messages.said(body.messages)
        known = await self._known(name, by)
        # Without an id nobody can say that it is the same.
        new = tuple(m for m in said if _identity(m) not in known or not _identity(m))
        running = self._hub.generations.running_in(name, by=by)
        if running is not None and said and not new and known[-1] == _identity(said[-1]):
            return _taken(running)
        ask = self._ask(request, name, body, new)
        async with self._replies.begun(request, ask, outlives=True) as (generation, stream):
            await self._replies.first_word(generation, stream)
            return _taken(generation)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        """The answer to a client of AG-UI, as the events of its run."""
        body = await read_json(request, RunAsked)
        name = request.match_info.get("id", body.threadId)
        known = await self._known(name, request[PRINCIPAL])
        said = agui_messages.said(body.messages)
        new = tuple(m for m in said if _identity(m) not in known or not _identity(m))
        wanted = body.forwardedProps or _Wanted()
        given = {"tools": agui_messages.tools(body.tools)} if body.tools else {}
        ask = self._ask_of(
            request,
            name,
            new,
            messages=agui_messages.asked(body.messages),
            wanted=(wanted,),
            options={**given, **wanted.options},
            beside=ui_messages.beside(body.messages, again=not new),
        )
        run = body.runId
        async with self._replies.begun(request, ask, outlives=True) as (generation, stream):
            await self._replies.first_word(generation, stream)
            start = generation.position
            begin = stream.head if start is None else start.offset
            viewed = Viewed(stream, begin, lambda: AGUIRun(name, generation.id, run))
            headers = names(generation)
            # RUN_ERROR says what is wrong, and is an end; a body that is cut would say less.
            return await view_reading.follow(
                request, self._hub, viewed, self._pace.pace, headers, done=b""
            )

    async def _known(self, name: str, by: Principal) -> list[str]:
        """What has been said in a conversation, oldest first."""
        try:
            stream = await self._hub.streams.open(name, by=by)
        except StreamNotFound:
            return []
        stream.expect_events()
        messages = [event async for event in stream.events() if isinstance(event, Message)]
        return [_identity(message) for message in messages]

    def _ask(
        self, request: web.Request, name: str, body: ConversationAsked, new: tuple[Message, ...]
    ) -> GenerationRequest:
        more = body.data or _Wanted()
        return self._ask_of(
            request,
            name,
            new,
            messages=ui_messages.asked(body.messages),
            wanted=(body, more),
            options={**more.options, **body.options},
            beside=ui_messages.beside(body.messages, again=not new),
        )

    def _ask_of(
        self,
        request: web.Request,
        name: str,
        new: tuple[Message, ...],
        *,
        messages: tuple[dict[str, Any], ...],
        wanted: tuple[_Wanted, ...],
        options: dict[str, Any],
        beside: dict[str, Any],
    ) -> GenerationRequest:
        """What is asked; the first of ``wanted`` that names an upstream or a model does so."""
        upstreams = (*(one.upstream for one in wanted), request.query.get("upstream"))
        models = (*(one.model for one in wanted), request.query.get("model"))
        upstream, model = next(filter(None, upstreams), None), next(filter(None, models), None)
        if model is not None and upstream is None:
            upstream, model = self._hub.upstreams.resolve(model)
        given = named(request, "Idempotency-Key")
        return GenerationRequest(
            messages=messages,
            stream=name,
            upstream=upstream,
            model=model,
            key=_key(name, new) if given is None else given,
            options=options,
            said=new,
            beside=beside,
        )

    async def _read(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]

        async def find(stream: FollowedStream) -> Viewed:
            return Viewed(stream, stream.head, lambda: AGUIChunks(name))

        return await view_reading.read(
            request, self._hub, name, find, self._pace, unbegun=lambda: AGUIChunks(name)
        )


def _is_run(request: web.Request) -> bool:
    """Whether it is AG-UI's own client that asks, which reads nothing but the answer."""
    return "text/event-stream" in request.headers.get("Accept", "").lower()


def _taken(generation: Generation) -> web.Response:
    headers = {"Cache-Control": "no-store", **names(generation)}
    return web.Response(status=202, headers=headers)


def _identity(message: Message) -> str:
    """What tells a message from another: its own id, or the call whose result it is."""
    return str(message.extra.get("id") or message.extra.get("tool_call_id") or "")


def _key(name: str, new: tuple[Message, ...]) -> str | None:
    """What makes one of two requests that come at once; none without an id to tell it by."""
    identities = [_identity(message) for message in new]
    if not all(identities) or not identities:
        return None
    said = [[message.role, message.text] for message in new]
    return f"agui-{hashlib.sha256(orjson.dumps([name, identities, said])).hexdigest()}"
