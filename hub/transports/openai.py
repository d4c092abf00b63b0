"""The OpenAI-compatible API: `POST /v1/chat/completions` and `GET /v1/models`.

A completion is a generation like any other, in a stream of its own, named in the header
``Streamhub-Stream``; whoever knows the name can follow it elsewhere. A client that goes
away does not end it. (Source: OpenAI API reference, "Chat".)

``model`` names an upstream, or ``UPSTREAM/model``, or the model an upstream is configured
with; an upstream that is configured without one takes any.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub import waiting
from hub.ask import Ask
from hub.bodies import read_json
from hub.connection import Connection, Pace
from hub.encoders import Batch, Chunked, Encoder
from hub.errors import Gone, HubError, NotFound, UpstreamError
from hub.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Started,
    Terminal,
    ToolCall,
    Usage,
)
from hub.generation import Generation, State
from hub.headers import streaming_headers
from hub.hub import Hub
from hub.records import Position
from hub.responses import endless
from hub.statuses import retry_headers, status_of
from hub.stream import Place, Stream

__all__ = ["OpenAI"]

DONE: Final = b"data: [DONE]\n\n"
_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
}


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class _Completion(BaseModel):
    """The body of a POST; fields that are not the hub's own go on to the upstream."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str
    messages: tuple[dict[str, Any], ...] = Field(min_length=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None


class OpenAI:
    """The OpenAI-compatible API of one hub."""

    def __init__(self, hub: Hub, *, pace: Pace) -> None:
        self._hub = hub
        self._pace = pace

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [
            web.post("/v1/chat/completions", _in_openai_shape(self._complete)),
            web.get("/v1/models", self._models),
        ]

    async def _models(self, request: web.Request) -> web.Response:
        del request
        default = self._hub.default_upstream
        names = sorted(self._hub.upstreams, key=lambda name: (name != default, name))
        shown = [
            {"id": name, "object": "model", "created": 0, "owned_by": "streamhub"} for name in names
        ]
        return web.json_response({"object": "list", "data": shown})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await read_json(request, _Completion)
        upstream, model = self._resolve(asked.model)
        ask = Ask(
            messages=asked.messages,
            upstream=upstream,
            model=model,
            key=request.headers.get("Idempotency-Key"),
            options=asked.model_extra or {},
        )
        self._hub.admit()
        generation = await self._hub.generate(ask)
        stream = await self._hub.open(generation.stream)
        await _first_word(generation, stream)
        # As long as nothing has been said, a failure can still be told by the status.
        if isinstance(generation.terminal, Failed) and not await _said(generation, stream):
            raise _failure(generation.terminal)
        if asked.stream:
            options = asked.stream_options or _StreamOptions()
            usage = bool(options.include_usage)
            return await self._streamed(request, generation, stream, include_usage=usage)
        return await self._whole(generation, stream)

    def _resolve(self, model: str) -> tuple[str, str | None]:
        """The upstream that a model's name means, and the model to ask it for."""
        upstreams = self._hub.upstreams
        if model in upstreams:
            return model, None
        name, _, rest = model.partition("/")
        if rest and name in upstreams:
            return name, rest
        for upstream in upstreams.values():
            if upstream.model == model:
                return upstream.name, None
        default = self._hub.upstream()
        if default.model is None:
            return default.name, model
        raise NotFound(
            f'no model is called "{model[:100]}": GET /v1/models lists them', code="model_not_found"
        )

    async def _streamed(
        self, request: web.Request, generation: Generation, stream: Stream, *, include_usage: bool
    ) -> web.StreamResponse:
        beginning = _beginning(generation, stream)
        headers = {**streaming_headers("text/event-stream"), **_names(generation)}
        response = endless(request, headers)
        encoder: Encoder = _Chunks(generation, include_usage=include_usage)
        if response.chunked:
            encoder = Chunked(encoder)
        writer = await response.prepare(request)
        if writer is None:
            return response
        over = asyncio.get_running_loop().create_future()
        connection = Connection(
            request.protocol, writer.drain, encoder, self._pace, self._hub.counts, over=over
        )
        self._hub.connect(connection)
        try:
            connection.subscribe(stream, beginning)
            await over
            if not connection.complete or not isinstance(generation.terminal, Finished):
                connection.abort()
        finally:
            await self._hub.disconnect(connection)
        return response

    async def _whole(self, generation: Generation, stream: Stream) -> web.Response:
        await self._hub.finished(generation.id)
        terminal = generation.terminal
        if not isinstance(terminal, Finished):
            raise _failure(terminal)
        _beginning(generation, stream)
        choice = {
            "index": 0,
            "message": _message(await _said(generation, stream)),
            "logprobs": None,
            "finish_reason": _FINISH[terminal.reason],
        }
        shown = {**_envelope(generation, "chat.completion"), "choices": [choice]}
        shown["usage"] = _usage(terminal.usage)
        return web.json_response(shown, headers=_names(generation))


def _beginning(generation: Generation, stream: Stream) -> Place:
    """Where the answer begins.

    Raises:
        Gone: that is no longer kept, and half an answer would be taken for a whole one.
    """
    beginning = stream.place(generation.position or "start")
    if beginning.reset is not None:
        raise Gone("the beginning of this answer is no longer kept: ask again")
    return beginning


async def _said(generation: Generation, stream: Stream) -> list[Delta]:
    """What the generation has said so far. Others may write in the stream, too."""
    return [
        event
        async for event in stream.events()
        if isinstance(event, Delta) and event.generation == generation.id
    ]


def _names(generation: Generation) -> dict[str, str]:
    return {"Streamhub-Stream": generation.stream, "Streamhub-Generation": generation.id}


async def _first_word(generation: Generation, stream: Stream) -> None:
    """Wait until it has begun to speak, or ended."""
    silent = (State.ASKED, State.WAITING)
    await waiting.until(stream, lambda: generation.state not in silent)


# The answer in chunks


class _Chunks:
    """A generation's events as ``chat.completion.chunk`` objects in server-sent events.

    Everything is derived from the events, so that the same records always give the same
    bytes, whether they are sent at once or caught up with.
    """

    merges = True

    def __init__(self, generation: Generation, *, include_usage: bool) -> None:
        self._generation = generation.id
        self._envelope = _envelope(generation, "chat.completion.chunk")
        self._include_usage = include_usage

    def events(self, batch: Batch) -> bytes:
        return b"".join([self._shown(record.event) for record in batch.records])

    def reset(self, stream: str, position: Position, reason: str) -> None:
        """Nothing in the format can say this."""
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        del stream, position
        return b""

    def beat(self) -> bytes:
        return b": beat\n\n"

    def hello(self) -> bytes:
        return b""

    def _shown(self, event: Event | None) -> bytes:
        if getattr(event, "generation", None) != self._generation:
            return b""
        match event:
            case Started():
                return self._chunk({"role": "assistant", "content": ""})
            case Delta():
                return self._chunk(_delta(event))
            case Finished():
                return self._chunk({}, _FINISH[event.reason]) + self._usage(event.usage) + DONE
            case Failed():
                return _line(_error(event.code, event.message))
            case Cancelled() | Interrupted():
                stopped = _failure(event)
                return _line(_error(stopped.code, stopped.message))
        return b""

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        more = {"usage": None} if self._include_usage else {}
        return _line({**self._envelope, "choices": [choice], **more})

    def _usage(self, usage: Usage | None) -> bytes:
        if not self._include_usage:
            return b""
        return _line({**self._envelope, "choices": [], "usage": _usage(usage)})


def _line(held: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(held)


def _envelope(generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{generation.id.removeprefix('gen_')}",
        "object": kind,
        "created": int(time.time()),
        "model": generation.model or generation.upstream,
    }


def _delta(event: Delta) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if event.text:
        shown["content"] = event.text
    if event.reasoning:
        shown["reasoning_content"] = event.reasoning
    if event.tool is not None:
        shown["tool_calls"] = [_piece(event.tool)]
    return shown


def _piece(tool: ToolCall) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": tool.arguments}
    if tool.name:
        function = {"name": tool.name, **function}
    named = {"id": tool.id, "type": "function"} if tool.id else {}
    return {"index": tool.index, **named, "function": function}


# The answer whole


def _message(deltas: list[Delta]) -> dict[str, Any]:
    text = "".join(delta.text for delta in deltas)
    reasoning = "".join(delta.reasoning for delta in deltas)
    calls: dict[int, dict[str, Any]] = {}
    for piece in (delta.tool for delta in deltas if delta.tool is not None):
        made = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = calls.setdefault(piece.index, made)
        call["id"] = piece.id or call["id"]
        call["function"]["name"] = piece.name or call["function"]["name"]
        call["function"]["arguments"] += piece.arguments
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [calls[place] for place in sorted(calls)]
    return message


def _usage(usage: Usage | None) -> dict[str, Any]:
    prompt = (usage and usage.prompt_tokens) or 0
    completion = (usage and usage.completion_tokens) or 0
    shown: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if usage and usage.reasoning_tokens:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage and usage.cached_tokens:
        shown["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return shown


# Errors


def _failure(terminal: Terminal | None) -> HubError:
    if isinstance(terminal, Failed):
        return UpstreamError(terminal.message, code=terminal.code)
    return UpstreamError("the generation was stopped before its end", code="generation_stopped")


def _error(code: str, message: str, kind: str = "upstream_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _type(error: HubError) -> str:
    if isinstance(error, UpstreamError):
        return "upstream_error"
    return "invalid_request_error" if status_of(error) < 500 else "server_error"


def _in_openai_shape(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Errors as OpenAI's clients expect them."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except HubError as error:
            shown = _error(error.code, error.message, _type(error))
            headers = retry_headers(error)
            return web.json_response(shown, status=status_of(error), headers=headers)

    return handle
