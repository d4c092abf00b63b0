"""OpenAI's Responses: `POST /v1/responses`, and what can be done with one by its id.

=========================================  ===================================================
``POST /v1/responses``                     begin one; ``stream``, ``background``
``GET /v1/responses/{id}``                 as it is now; ``?stream=true&starting_after=N``
                                           tells its events again from the one after number N
``GET /v1/responses/{id}/input_items``     what it was asked, as a list of items
``POST /v1/responses/{id}/cancel``         stop it; one that has ended stays as it is
``DELETE /v1/responses/{id}``              forget it, stream and all
=========================================  ===================================================

A response is a generation in a stream of its own, and all that is known of it stands there:
what was asked, beside the event with which it begins, and what was said. So it outlives a
restart of the hub as long as its stream is kept. With ``store`` false what was asked is not
kept, and there is no response to come back to.

``previous_response_id`` goes on from a response: its input and its answer, and those of the
ones before it, are said again before the new input. An ``item_reference`` is an item of an
earlier response, which its id tells: some clients repeat a conversation in these.
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
from hub.domain.principal import Principal
from hub.domain.provider_fields import LISTS
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.conversation.one_request import Replies, beginning, names
from hub.protocols.durable.headers import named
from hub.protocols.openai.chat_chunks import message_of
from hub.protocols.openai.responses_input import input_items, input_page
from hub.protocols.openai.responses_request import ResponseAsked
from hub.protocols.openai.responses_sse import ResponseEvents
from hub.protocols.openai.responses_state import ResponseBuilder
from hub.streams.followed import FollowedStream

__all__ = ["OpenAIResponses"]

KEPT: Final = "response"
"""The field of `Started` that says that a generation is a response, and of what."""

_ITEM: Final = re.compile(r"[a-z]+_([0-9a-f]{32})[0-9]+")
"""The id of an item, and the id of its response in it (`hub.protocols.openai.responses_state`)."""

LONGEST: Final = 1000
"""Responses that may stand before one."""


class _Found(NamedTuple):
    """A response that was begun earlier."""

    generation: Generation
    stream: FollowedStream
    asked: Mapping[str, Any]
    input: list[Any]
    events: list[Event]

    def told(self) -> ResponseBuilder:
        return ResponseBuilder(self.generation.id, self.asked)

    def now(self) -> dict[str, Any]:
        told = self.told()
        for event in self.events:
            told.tell(event)
        return told.response()


class OpenAIResponses:
    """The responses of one hub."""

    def __init__(self, hub: Hub, replies: Replies) -> None:
        self._hub = hub
        self._replies = replies

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
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
        asked = await read_json(request, ResponseAsked)
        asked.check()
        if "Streamhub-Stream" in request.headers:
            raise RequestError("Streamhub-Stream: a response has the stream that its id names")
        if isinstance(asked.input, list):
            resolved = [await self._item(item, by) for item in asked.input]
            asked = asked.model_copy(update={"input": resolved})
        shown, given = asked.shown(), asked.messages()
        before = [message async for message in self._before(asked.previous_response_id, by)]
        first = [{"role": "system", "content": asked.instructions}] if asked.instructions else []
        upstream, model = self._hub.upstreams.resolve(asked.model)
        ask = GenerationRequest(
            messages=(*first, *before, *given),
            upstream=upstream,
            model=model,
            key=named(request, "Idempotency-Key"),
            options=asked.options(),
            beside={KEPT: {"asked": shown, "input": given}} if asked.kept else {},
        )
        background = bool(asked.background)
        async with self._replies.begun(request, ask, outlives=background) as (generation, stream):
            told = ResponseBuilder(generation.id, shown)
            if asked.stream:
                if not background:
                    await self._replies.first_word(generation, stream)
                events = ResponseEvents(told)
                return await self._replies.streamed(request, generation, stream, events)
            if not background:
                await self._replies.whole(request, generation)
                beginning(generation, stream)
            async for event in stream.events():
                told.tell(event)
        return _shown(told.response(), generation)

    async def _item(self, given: Any, by: Principal) -> Any:
        """An item of the input, looked up if only its id was given."""
        if not isinstance(given, dict) or given.get("type") != "item_reference":
            return given
        name = str(given.get("id"))
        known = _ITEM.fullmatch(name)
        if known is not None:
            with suppress(NotFound):
                found = await self._find(f"resp_{known[1]}", by)
                for item in found.now()["output"]:
                    if item["id"] == name:
                        return item
        raise NotFound(
            f'no item of a response is called "{name[:100]}", or it was not stored',
            code="response_not_found",
        )

    async def _before(self, last: str | None, by: Principal) -> AsyncIterator[Mapping[str, Any]]:
        """What was said up to a response and in it, oldest first."""
        found: list[_Found] = []
        while last is not None:
            if len(found) == LONGEST:
                raise RequestError(f"previous_response_id: more than {LONGEST} responses in a row")
            found.append(await self._find(last, by))
            previous = found[-1].asked.get("previous_response_id")
            last = previous if isinstance(previous, str) else None
        for one in reversed(found):
            if not any(isinstance(event, TERMINALS) for event in one.events):
                raise Conflict("previous_response_id: that response is not complete yet")
            for message in one.input:
                yield message
            deltas = [event for event in one.events if isinstance(event, Delta)]
            yield _repeated(message_of(one.generation.id, deltas))

    async def _show(self, request: web.Request) -> web.StreamResponse:
        streamed = _flag(request, "stream")
        after = _number(request, "starting_after", streamed=streamed)
        found = await self._find(request.match_info["id"], request[PRINCIPAL])
        if not streamed:
            return _shown(found.now(), found.generation)
        events = ResponseEvents(found.told(), after)
        self._hub.admit()
        return await self._replies.streamed(request, found.generation, found.stream, events)

    async def _input(self, request: web.Request) -> web.Response:
        found = await self._find(request.match_info["id"], request[PRINCIPAL])
        wanted = {name: request.query.get(name) for name in ("after", "limit", "order")}
        page = input_page(input_items(found.generation.id, found.input), **wanted)
        return _shown(page, found.generation)

    async def _cancel(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        found = await self._find(name, by)
        with suppress(GenerationNotFound):  # it ended before the hub was last started
            await self._hub.generations.cancel(found.generation.id, by=by)
        found = await self._find(name, by)
        return _shown(found.now(), found.generation)

    async def _delete(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        found = await self._find(name, by)
        await self._hub.streams.delete(found.stream.name, by=by)
        return web.json_response({"id": name, "object": "response", "deleted": True})

    async def _find(self, name: str, by: Principal) -> _Found:
        """A response by its id.

        Raises:
            NotFound: ``response_not_found``.
            Gone: its beginning is no longer kept.
        """
        generation_id = f"gen_{name.removeprefix('resp_')}"
        try:
            stream = await self._hub.streams.open(generation_id, by=by)
        except (StreamNotFound, InvalidName):
            raise _not_found(name) from None
        stream.expect_events()
        if stream.head > 0:
            raise Gone("the beginning of this response is no longer kept: ask again")
        events = [
            event
            async for event in stream.events()
            if getattr(event, "generation", None) == generation_id
        ]
        kept = events[0].extra.get(KEPT) if events and isinstance(events[0], Started) else None
        asked, given = (
            (kept.get("asked"), kept.get("input")) if isinstance(kept, dict) else ("", "")
        )
        if (
            not name.startswith("resp_")
            or not isinstance(asked, dict)
            or not isinstance(given, list)
        ):
            raise _not_found(name)
        try:
            generation = await self._hub.generations.find(generation_id, by=by)
        except GenerationNotFound:
            start = stream.position_at(0)
            generation = Generation.told(generation_id, stream.name, start, events)
        return _Found(generation, stream, asked, given, events)


def _not_found(name: str) -> NotFound:
    return NotFound(
        f'no response is called "{name[:100]}", or it was not stored', code="response_not_found"
    )


def _repeated(message: dict[str, Any]) -> dict[str, Any]:
    """An answer as it is said again to an upstream: of its reasoning, what it must see again."""
    content = message["content"] or message["refusal"]
    told = {"role": "assistant", "content": content}
    return told | {name: message[name] for name in ("tool_calls", *LISTS) if name in message}


def _shown(response: dict[str, Any], generation: Generation) -> web.Response:
    headers = {"Cache-Control": "no-store", **names(generation)}
    return web.json_response(response, headers=headers)


def _flag(request: web.Request, name: str) -> bool:
    asked = request.query.get(name, "false").lower()
    if asked not in ("true", "false"):
        raise RequestError(f"{name} is true or false")
    return asked == "true"


def _number(request: web.Request, name: str, *, streamed: bool) -> int:
    asked = request.query.get(name)
    if asked is None:
        return -1
    if not streamed:
        raise RequestError(f"{name} goes with stream=true")
    if not asked.isascii() or not asked.isdecimal() or len(asked) > 15:
        raise RequestError(f"{name} is the sequence_number of an event")
    return int(asked)
