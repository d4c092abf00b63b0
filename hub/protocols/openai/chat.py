"""OpenAI's chat completions: `POST /v1/chat/completions`.

A completion is a generation in a stream of its own, which the response's header
``Streamhub-Stream`` names; who knows the name can follow it elsewhere. A request with that
header has its answer written to the stream of that name, which others may follow, or wait for,
before it begins. That stream gets the answer alone, and stays open.

`hub.protocols.openai.chat_chunks` makes the response, `hub.protocols.conversation.one_request`
handles clients that leave, and `hub.upstreams.registry` says what ``model`` means.
"""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.errors import RequestError
from hub.domain.generation_request import GenerationRequest
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.http.json_models import Integer, fail_fast
from hub.hub import Hub
from hub.protocols.conversation.one_request import Replies, beginning, generation_headers
from hub.protocols.durable.headers import named
from hub.protocols.openai.chat_chunks import Chunks, completion

__all__ = ["CompletionAsked", "OpenAI"]


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class CompletionAsked(BaseModel):
    """The body of a POST; other fields are passed on to the upstream."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str
    messages: Annotated[tuple[dict[str, Any], ...], fail_fast, Field(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Integer | None = None


class OpenAI:
    def __init__(self, hub: Hub, replies: Replies) -> None:
        self._hub = hub
        self._replies = replies

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/chat/completions", self._complete)]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request, CompletionAsked)
        stream_name = request.headers.get("Streamhub-Stream")
        await self._hub.generations.check(
            stream_name, messages=len(body.messages), by=request[PRINCIPAL]
        )
        if body.n not in (None, 1):
            raise RequestError("n: an answer has one choice: ask again for another", param="n")
        upstream, model = self._hub.upstreams.resolve(body.model)
        ask = GenerationRequest(
            messages=body.messages,
            stream=stream_name,
            upstream=upstream,
            model=model,
            key=named(request, "Idempotency-Key"),
            options=body.model_extra or {},
        )
        async with self._replies.begun(request, ask) as (generation, stream):
            if body.stream:
                await self._replies.first_word(request, generation, stream)
                usage = bool(body.stream_options and body.stream_options.include_usage)
                chunks = Chunks(generation, include_usage=usage)
                return await self._replies.streamed(request, generation, stream, chunks)
            end = await self._replies.whole(request, generation)
            beginning(generation, stream)
            deltas = await self._replies.deltas(request, generation, stream)
            shown = completion(generation, end, deltas)
        return web.json_response(shown, headers=generation_headers(generation))
