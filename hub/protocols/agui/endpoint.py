"""`/api/chat/{id}`: a conversation for TanStack AI, through ``durableStreamConnection``.

===========================  =================================================================
``POST /api/chat/{id}``      say something: ``{messages, data}``; 202 once it is being answered
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
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.agui.chunks import AGUIChunks
from hub.protocols.conversation import messages as ui_messages
from hub.protocols.conversation import view_reading
from hub.protocols.conversation.model_names import resolve
from hub.protocols.conversation.one_request import Replies, names
from hub.protocols.conversation.view_reading import Viewed, ViewPace
from hub.protocols.durable.headers import named
from hub.streams.followed import FollowedStream

__all__ = ["ConversationAsked", "TanStack"]


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
            web.get("/api/chat/{id:[^/]+}", self._read, allow_head=False),
        ]

    async def _say(self, request: web.Request) -> web.Response:
        body = await read_json(request, ConversationAsked)
        name = request.match_info["id"]
        said = ui_messages.said(body.messages)
        known = await self._known(name)
        # Without an id nobody can say that it is the same.
        new = tuple(m for m in said if _identity(m) not in known or not _identity(m))
        running = self._hub.running(name)
        if running is not None and said and not new and known[-1] == _identity(said[-1]):
            return _taken(running)
        ask = self._ask(request, name, body, new)
        async with self._replies.begun(request, ask, outlives=True) as (generation, stream):
            await self._replies.first_word(generation, stream)
            return _taken(generation)

    async def _known(self, name: str) -> list[str]:
        """What has been said in a conversation, oldest first."""
        try:
            stream = await self._hub.open(name)
        except StreamNotFound:
            return []
        stream.expect_events()
        messages = [event async for event in stream.events() if isinstance(event, Message)]
        return [_identity(message) for message in messages]

    def _ask(
        self, request: web.Request, name: str, body: ConversationAsked, new: tuple[Message, ...]
    ) -> GenerationRequest:
        more = body.data or _Wanted()
        upstream = body.upstream or more.upstream or request.query.get("upstream")
        model = body.model or more.model or request.query.get("model")
        if model is not None and upstream is None:
            upstream, model = resolve(self._hub, model)
        given = named(request, "Idempotency-Key")
        return GenerationRequest(
            messages=ui_messages.asked(body.messages),
            stream=name,
            upstream=upstream,
            model=model,
            key=_key(name, new) if given is None else given,
            options={**more.options, **body.options},
            said=new,
            beside=ui_messages.beside(body.messages, again=not new),
        )

    async def _read(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]

        async def find(stream: FollowedStream) -> Viewed:
            return Viewed(stream, stream.head, lambda: AGUIChunks(name))

        return await view_reading.read(
            request, self._hub, name, find, self._pace, unbegun=lambda: AGUIChunks(name)
        )


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
