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
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from hub.domain.errors import (
    Conflict,
    GenerationNotFound,
    Gone,
    InvalidName,
    NotFound,
    RequestError,
    StreamNotFound,
    TooLarge,
)
from hub.domain.events import TERMINALS, Delta, Event, Started
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.json_values import as_object
from hub.domain.media import IMAGES
from hub.domain.memory_budget import parsed_size
from hub.domain.principal import Principal
from hub.domain.provider_fields import LISTS, is_signed_media
from hub.generations.recovery import events_of
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.conversation.one_request import Replies, beginning, generation_headers
from hub.protocols.durable.headers import named
from hub.protocols.one_read import one_read
from hub.protocols.openai.chat_chunks import message_of
from hub.protocols.openai.responses_input import InputItems, input_page
from hub.protocols.openai.responses_request import ResponseAsked
from hub.protocols.openai.responses_sse import ResponseEvents
from hub.protocols.openai.responses_state import ResponseBuilder
from hub.protocols.standing import stand_open
from hub.streams.followed import FollowedStream
from hub.streams.turns import next_turn

__all__ = ["OpenAIResponses"]

KEPT: Final = "response"
"""The field of `Started` that holds the request of a response."""

_ITEM: Final = re.compile(r"[a-z]+_([0-9a-f]{32})[0-9]+")
"""The id of an item, with that of its response (`hub.protocols.openai.responses_state`)."""

LONGEST: Final = 1000
"""Responses in a row, and references to items in one request, at most."""

READ_BYTES: Final = 16_384
"""What it costs to find a response, as bytes of a request's body; what is in it comes to that."""


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
    """``tab`` charges a principal with what is read for it, see `hub.auth.gate.Gate.tab`."""

    def __init__(
        self, hub: Hub, replies: Replies, tab: Callable[[Principal], Callable[[int], None]]
    ) -> None:
        self._hub = hub
        self._replies = replies
        self._tab = tab

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
        await self._hub.generations.check(None, messages=body.count, by=by)
        body.check()
        if "Streamhub-Stream" in request.headers:
            raise RequestError("Streamhub-Stream: leave it out: a response has its own stream")
        with self._hub.allowance.growing(by.counted_as) as take:
            charge = self._tab(by)

            def more(size: int) -> None:
                take(size)
                charge(READ_BYTES + size)

            if isinstance(body.input, list):
                body = body.model_copy(
                    update={"input": await self._resolved(body.input, request, more)}
                )
            upstream, model = self._hub.upstreams.resolve(body.model)
            native = self._hub.upstreams[upstream].native_items
            repeated, given = body.repeated(), body.messages(native=native)
            before = [
                message async for message in self._before(body.previous_response_id, request, more)
            ]
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
                    await self._replies.first_word(request, generation, stream)
                events = ResponseEvents(builder)
                return await self._replies.streamed(request, generation, stream, events)
            if not background:
                await self._replies.whole(request, generation)
                beginning(generation, stream)
            async with one_read(self._hub, request):
                async for event in events_of(stream, generation.id, 0):
                    builder.tell(event)
        return _json(builder.response(), generation)

    async def _resolved(
        self, given: list[Any], request: web.Request, more: Callable[[int], None]
    ) -> list[Any]:
        """The items of the input, looked up where only their ids were given.

        A reference is short and what it stands for long, so no more is looked up than a prompt
        may have.

        Raises:
            RequestError: there are too many references.
            NotFound: ``response_not_found``.
            TooLarge: what they stand for is larger than a prompt.
            LimitExceeded, RateLimited: as ``more``, which takes memory for a response that was
                read and charges the principal with it.
        """
        if sum(map(_is_reference, given)) > LONGEST:
            raise RequestError(f"input: more than {LONGEST} items of type item_reference")
        whole = 0
        read: dict[str, dict[str, tuple[int, Any]]] = {}
        found: list[Any] = []
        for item in given:
            if not _is_reference(item):
                found.append(item)
                continue
            name = str(item.get("id"))
            match = _ITEM.fullmatch(name)
            if match is not None and match[1] not in read:
                output = read[match[1]] = await self._output(match[1], request)
                more(sum(size for size, _ in output.values()))
            size, meant = read[match[1]].get(name, (0, None)) if match else (0, None)
            if meant is None:
                raise _not_found("item of a response", name)
            whole += size
            self._check_size("input: the items that are referred to", whole)
            found.append(meant)
        return found

    async def _output(self, name: str, request: web.Request) -> dict[str, tuple[int, Any]]:
        """The items of an earlier response, each with its bytes; none if there is no response."""
        with suppress(NotFound):
            stored = await self._find(f"resp_{name}", request)
            output = stored.response()["output"]
            return {item["id"]: (len(orjson.dumps(item)), item) for item in output}
        return {}

    async def _before(
        self, last: str | None, request: web.Request, more: Callable[[int], None]
    ) -> AsyncIterator[Mapping[str, Any]]:
        """The messages up to and including a response, oldest first; ``more`` as in `_resolved`."""
        chain: list[list[Mapping[str, Any]]] = []
        size = 0
        while last is not None:
            if len(chain) == LONGEST:
                raise RequestError(f"previous_response_id: more than {LONGEST} responses in a row")
            stored = await self._find(last, request)
            if not any(isinstance(event, TERMINALS) for event in stored.events):
                raise Conflict("previous_response_id: that response has not ended: wait for it")
            deltas = [event for event in stored.events if isinstance(event, Delta)]
            answer = _for_upstream(message_of(stored.generation.id, deltas))
            chain.append([*stored.input, answer])
            text = orjson.dumps(chain[-1])
            size += len(text)
            self._check_size("previous_response_id: those responses", size)
            more(parsed_size(text))
            previous = stored.asked.get("previous_response_id")
            last = previous if isinstance(previous, str) else None
        for messages in reversed(chain):
            for message in messages:
                yield message

    def _check_size(self, what: str, size: int) -> None:
        """Refuse what has more bytes than a prompt, before more of it is read."""
        most = self._hub.limits.runs.prompt_bytes
        if size > most:
            raise TooLarge(f"{what} have more than {most} bytes (limits.prompt_bytes)")

    async def _show(self, request: web.Request) -> web.StreamResponse:
        streamed, after = _streaming(request)
        stored = await self._find(request.match_info["id"], request)
        if not streamed:
            return _json(stored.response(), stored.generation)
        events = ResponseEvents(stored.builder(), after)
        generation, stream = stored.generation, stored.stream
        del stored  # what it was asked with may be large, and this may take an hour
        stand_open(self._hub, request)
        return await self._replies.streamed(request, generation, stream, events)

    async def _input(self, request: web.Request) -> web.Response:
        stored = await self._find(request.match_info["id"], request)
        query = {name: request.query.get(name) for name in ("after", "limit", "order")}
        page = input_page(InputItems(stored.generation.id, stored.input), **query)
        return _json(page, stored.generation)

    async def _cancel(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        generation = (await self._find(name, request)).generation
        with suppress(GenerationNotFound):  # it ended before the hub was restarted
            await self._hub.generations.cancel(generation.id, by=by)
        stored = await self._find(name, request)
        return _json(stored.response(), stored.generation)

    async def _delete(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        stream = (await self._find(name, request)).stream
        await self._hub.streams.delete(stream.name, by=by)
        return web.json_response({"id": name, "object": "response", "deleted": True})

    async def _find(self, name: str, request: web.Request) -> _Stored:
        """A response by its id.

        It is asked for with a few bytes, also a thousand of them at once, and may be large. So one
        caller has one read at a time, in turns with all others.

        Raises:
            NotFound: ``response_not_found``.
            Gone: its beginning is no longer kept.
        """
        async with one_read(self._hub, request):
            await next_turn()
            return await self._read(name, request[PRINCIPAL])

    async def _read(self, name: str, by: Principal) -> _Stored:
        generation_id = f"gen_{name.removeprefix('resp_')}"
        try:
            stream = await self._hub.streams.open(generation_id, by=by)
        except (StreamNotFound, InvalidName):
            raise _not_found("response", name) from None
        stream.expect_events()
        if stream.head > 0:
            raise Gone("the beginning of this response is no longer kept: ask again")
        events = [event async for event in events_of(stream, generation_id, 0)]
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


def _is_reference(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "item_reference"


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
