"""`/v1/generations`: start a generation, look at it, cancel it; `/v1/queue`: what waits."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.events import to_json
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest, WhenBusy
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.http.json_models import Integer, ObjectsOrNone, Place
from hub.hub import Hub
from hub.protocols.durable.headers import named

__all__ = ["GenerationAsked", "Generations", "QueueChange"]


class GenerationAsked(BaseModel):
    """The body of a POST: ``prompt``, ``messages`` or ``after``; everything else is optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | None = None
    messages: ObjectsOrNone = None
    stream: str | None = None
    upstream: str | None = None
    model: str | None = None
    author: str | None = None
    key: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    when_busy: WhenBusy = "refuse"
    after: Place = None
    branch: str | None = None


class QueueChange(BaseModel):
    """The body of a PATCH: what is to change; ``place`` is 1 for the next prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | None = None
    place: Integer | None = None
    now: bool = False


class Generations:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/generations/{id:[^/]+}"
        return [
            web.post("/v1/generations", self._start),
            web.get(one, self._show),
            web.patch(one, self._change),
            web.delete(one, self._cancel),
            web.get("/v1/queue/{name:.+}", self._queue, allow_head=False),
        ]

    async def _start(self, request: web.Request) -> web.Response:
        body = await read_json(request, GenerationAsked)
        fields = dict(body)  # unlike `model_dump`, this does not copy the messages
        # draft-ietf-httpapi-idempotency-key-header
        key = named(request, "Idempotency-Key")
        if key is not None:
            fields["key"] = key
        generation = await self._hub.generations.start(
            GenerationRequest(**fields), by=request[PRINCIPAL]
        )
        # There may be a prefix, maybe of an application around the hub's.
        prefix = request.rel_url.raw_path.removesuffix("/v1/generations")
        location = f"{prefix}/v1/stream/{quote(generation.stream)}"
        return _json(generation, status=201, Location=location)

    async def _show(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return _json(await self._hub.generations.find(name, by=request[PRINCIPAL]))

    async def _change(self, request: web.Request) -> web.Response:
        change = await read_json(request, QueueChange)
        name = request.match_info["id"]
        return _json(
            await self._hub.generations.requeue(name, **dict(change), by=request[PRINCIPAL])
        )

    async def _queue(self, request: web.Request) -> web.Response:
        prompts, held = await self._hub.generations.queue(
            request.match_info["name"], by=request[PRINCIPAL]
        )
        shown = [to_json(prompt.event(place)) for place, prompt in enumerate(prompts, start=1)]
        return web.json_response(
            {"prompts": shown, "held": held}, headers={"Cache-Control": "no-store"}
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return _json(await self._hub.generations.cancel(name, by=request[PRINCIPAL]))


def _json(generation: Generation, *, status: int = 200, **headers: str) -> web.Response:
    headers["Cache-Control"] = "no-store"
    return web.json_response(generation.to_json(), status=status, headers=headers)
