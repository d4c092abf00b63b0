"""OpenAI's Responses: `POST /v1/responses`, and the routes of a response by its id.

=========================================  ===================================================
``POST /v1/responses``                     begin one; ``stream``, ``background``
``GET /v1/responses/{id}``                 its present state; ``?stream=true&starting_after=N``
                                           sends its events again, after number N
``GET /v1/responses/{id}/input_items``     its input, as a list of items
``POST /v1/responses/{id}/cancel``         stop it; no effect if it has ended
``DELETE /v1/responses/{id}``              delete it with its stream
=========================================  ===================================================

A response is a generation in a stream of its own. The stream holds all there is to know about
it, the request in the event with which it begins. So it survives a restart of the hub as long as
its stream is kept. With ``store`` false the request is not kept, and the response cannot be
retrieved.

``previous_response_id`` continues a response: its input and output, and those of the responses
before it, are sent to the model before the new input. An ``item_reference`` stands for an item of
an earlier response, which is part of its id; some clients repeat a conversation this way.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiohttp import web

from hub.domain.errors import (
    Conflict,
    GenerationNotFound,
    Gone,
    InvalidName,
    NotFound,
    RequestError,
    StreamNotFound,
)
from hub.domain.events import TERMINALS, Delta, Event, Started
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.json_values import as_object
from hub.domain.media import IMAGES
from hub.domain.principal import Principal
from hub.domain.provider_fields import LISTS, is_signed_media
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.conversation.one_request import Replies, beginning, generation_headers
from hub.protocols.durable.headers import named
from hub.protocols.openai.chat_chunks import message_of
from hub.protocols.openai.responses_input import input_items, input_page
from hub.protocols.openai.responses_request import ResponseAsked
from hub.protocols.openai.responses_sse import ResponseEvents
from hub.protocols.openai.responses_state import ResponseBuilder
from hub.streams.followed import FollowedStream

__all__ = ["OpenAIResponses"]

KEPT: Final = "response"
"""The field of `Started` that holds the request of a response."""

_ITEM: Final = re.compile(r"[a-z]+_([0-9a-f]{32})[0-9]+")
"""The id of an item, with that of its response (`hub.protocols.openai.responses_state`)."""

LONGEST: Final = 1000
"""Responses in a row, at most."""


class _Stored(NamedTuple):
    """A response that was begun by an earlier request."""

    generation: Generation
    stream: FollowedStream
    asked: Mapping[str, Any]
    input: list[Any]
    events: list[Event]

    def builder(self) -> ResponseBuilder:
        return ResponseBuilder(self.generation.id, self.asked)

    def response(self) -> dict[str, Any]:
        builder = self.builder()
        for event in self.events:
            builder.tell(event)
        return builder.response()


class OpenAIResponses:
    def __init__(self, hub: Hub, replies: Replies) -> None:
        self._hub = hub
        self._replies = replies

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/responses/{id}"
        return [
            web.post("/v1/responses", self._begin),
            web.get(one, self._show),
            web.delete(one, self._delete),
            web.get(one + "/input_items", self._input),
            web.post(one + "/cancel", self._cancel),
        ]

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        by = request[PRINCIPAL]
        body = await read_json(request, ResponseAsked)
        body.check()
        if "Streamhub-Stream" in request.headers:
            raise RequestError("Streamhub-Stream: leave it out: a response has its own stream")
        if isinstance(body.input, list):
            resolved = [await self._item(item, by) for item in body.input]
            body = body.model_copy(update={"input": resolved})
        upstream, model = self._hub.upstreams.resolve(body.model)
        native = self._hub.upstreams[upstream].native_items
        repeated, given = body.repeated(), body.messages(native=native)
        before = [message async for message in self._before(body.previous_response_id, by)]
        first = [{"role": "system", "content": body.instructions}] if body.instructions else []
        ask = GenerationRequest(
            messages=(*first, *before, *given),
            upstream=upstream,
            model=model,
            key=named(request, "Idempotency-Key"),
            options=body.options(native=native),
            items=True,
            beside={KEPT: {"asked": repeated, "input": given}} if body.kept else {},
        )
        background = bool(body.background)
        async with self._replies.begun(request, ask, outlives=background) as (generation, stream):
            builder = ResponseBuilder(generation.id, repeated)
            if body.stream:
                if not background:
                    await self._replies.first_word(generation, stream)
                events = ResponseEvents(builder)
                return await self._replies.streamed(request, generation, stream, events)
            if not background:
                await self._replies.whole(request, generation)
                beginning(generation, stream)
            async for event in stream.events():
                builder.tell(event)
        return _json(builder.response(), generation)

    async def _item(self, given: Any, by: Principal) -> Any:
        """An item of the input, looked up if only its id was given."""
        if not isinstance(given, dict) or given.get("type") != "item_reference":
            return given
        name = str(given.get("id"))
        match = _ITEM.fullmatch(name)
        if match is not None:
            with suppress(NotFound):
                stored = await self._find(f"resp_{match[1]}", by)
                for item in stored.response()["output"]:
                    if item["id"] == name:
                        return item
        raise _not_found("item of a response", name)

    async def _before(self, last: str | None, by: Principal) -> AsyncIterator[Mapping[str, Any]]:
        """The messages up to and including a response, oldest first."""
        chain: list[_Stored] = []
        while last is not None:
            if len(chain) == LONGEST:
                raise RequestError(f"previous_response_id: more than {LONGEST} responses in a row")
            chain.append(await self._find(last, by))
            previous = chain[-1].asked.get("previous_response_id")
            last = previous if isinstance(previous, str) else None
        for stored in reversed(chain):
            if not any(isinstance(event, TERMINALS) for event in stored.events):
                raise Conflict("previous_response_id: that response has not ended: wait for it")
            for message in stored.input:
                yield message
            deltas = [event for event in stored.events if isinstance(event, Delta)]
            yield _for_upstream(message_of(stored.generation.id, deltas))

    async def _show(self, request: web.Request) -> web.StreamResponse:
        streamed, after = _streaming(request)
        stored = await self._find(request.match_info["id"], request[PRINCIPAL])
        if not streamed:
            return _json(stored.response(), stored.generation)
        events = ResponseEvents(stored.builder(), after)
        self._hub.admit()
        return await self._replies.streamed(request, stored.generation, stored.stream, events)

    async def _input(self, request: web.Request) -> web.Response:
        stored = await self._find(request.match_info["id"], request[PRINCIPAL])
        query = {name: request.query.get(name) for name in ("after", "limit", "order")}
        page = input_page(input_items(stored.generation.id, stored.input), **query)
        return _json(page, stored.generation)

    async def _cancel(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        stored = await self._find(name, by)
        with suppress(GenerationNotFound):  # it ended before the hub was restarted
            await self._hub.generations.cancel(stored.generation.id, by=by)
        stored = await self._find(name, by)
        return _json(stored.response(), stored.generation)

    async def _delete(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        stored = await self._find(name, by)
        await self._hub.streams.delete(stored.stream.name, by=by)
        return web.json_response({"id": name, "object": "response", "deleted": True})

    async def _find(self, name: str, by: Principal) -> _Stored:
        """A response by its id.

        Raises:
            NotFound: ``response_not_found``.
            Gone: its beginning is no longer kept.
        """
        generation_id = f"gen_{name.removeprefix('resp_')}"
        try:
            stream = await self._hub.streams.open(generation_id, by=by)
        except (StreamNotFound, InvalidName):
            raise _not_found("response", name) from None
        stream.expect_events()
        if stream.head > 0:
            raise Gone("the beginning of this response is no longer kept: ask again")
        events = [
            event
            async for event in stream.events()
            if getattr(event, "generation", None) == generation_id
        ]
        kept = events[0].extra.get(KEPT) if events and isinstance(events[0], Started) else None
        asked, given = as_object(kept).get("asked"), as_object(kept).get("input")
        if not (name.startswith("resp_") and isinstance(asked, dict) and isinstance(given, list)):
            raise _not_found("response", name)
        try:
            generation = await self._hub.generations.find(generation_id, by=by)
        except GenerationNotFound:
            start = stream.position_at(0)
            generation = Generation.told(generation_id, stream.name, start, events)
        return _Stored(generation, stream, asked, given, events)


def _not_found(what: str, name: str) -> NotFound:
    return NotFound(
        f'no {what} is called "{name[:100]}", or it was not stored', code="response_not_found"
    )


def _for_upstream(message: dict[str, Any]) -> dict[str, Any]:
    """An answer as it is sent to an upstream again: only with the reasoning it must see."""
    shown = {"role": "assistant", "content": message["content"] or message["refusal"]}
    kept = ("tool_calls", *LISTS, *((IMAGES,) if is_signed_media(message) else ()))
    return shown | {name: message[name] for name in kept if name in message}


def _json(body: dict[str, Any], generation: Generation) -> web.Response:
    headers = {"Cache-Control": "no-store", **generation_headers(generation)}
    return web.json_response(body, headers=headers)


def _streaming(request: web.Request) -> tuple[bool, int]:
    """Whether to stream the events, and the number of the last one that the client has."""
    stream = request.query.get("stream", "false").lower()
    if stream not in ("true", "false"):
        raise RequestError("stream must be true or false")
    after = request.query.get("starting_after", "-1")
    if "starting_after" in request.query:
        if stream == "false":
            raise RequestError("starting_after needs stream=true")
        if not after.isascii() or not after.isdecimal() or len(after) > 15:
            raise RequestError("starting_after must be the sequence_number of an event")
    return stream == "true", int(after)
