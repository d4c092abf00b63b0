"""OpenAI's chat completions: `POST /v1/chat/completions`.

A completion is a generation like any other, in a stream of its own, named in the header
``Streamhub-Stream``; whoever knows the name can follow it elsewhere. A request with that header
has it in the stream of that name, which others may follow, or wait for, from before it begins;
the answer alone stands there, and the stream stays open. What the client is told
of it is made in `hub.protocols.openai.chat_chunks`, and what happens when it leaves in
`hub.protocols.conversation.one_request`. What ``model`` means stands in
`hub.upstreams.registry`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.errors import RequestError
from hub.domain.generation_request import GenerationRequest
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.conversation.one_request import Replies, beginning, names, said
from hub.protocols.durable.headers import named
from hub.protocols.openai.chat_chunks import Chunks, completion

__all__ = ["CompletionAsked", "OpenAI"]


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class CompletionAsked(BaseModel):
    """The body of a POST; fields that are not the hub's own go on to the upstream."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str
    messages: tuple[dict[str, Any], ...] = Field(min_length=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None


class OpenAI:
    """The chat completions of one hub."""

    def __init__(self, hub: Hub, replies: Replies) -> None:
        self._hub = hub
        self._replies = replies

    def routes(self) -> list[web.RouteDef]:
        """The route, for an application's router."""
        return [web.post("/v1/chat/completions", self._complete)]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await read_json(request, CompletionAsked)
        if asked.n not in (None, 1):
            raise RequestError("n: an answer has one choice here; ask again for another", param="n")
        upstream, model = self._hub.upstreams.resolve(asked.model)
        ask = GenerationRequest(
            messages=asked.messages,
            stream=request.headers.get("Streamhub-Stream"),
            upstream=upstream,
            model=model,
            key=named(request, "Idempotency-Key"),
            options=asked.model_extra or {},
        )
        async with self._replies.begun(request, ask) as (generation, stream):
            if asked.stream:
                await self._replies.first_word(generation, stream)
                usage = bool(asked.stream_options and asked.stream_options.include_usage)
                chunks = Chunks(generation, include_usage=usage)
                return await self._replies.streamed(request, generation, stream, chunks)
            end = await self._replies.whole(request, generation)
            beginning(generation, stream)
            shown = completion(generation, end, await said(generation, stream))
        return web.json_response(shown, headers=names(generation))
