"""`/v1/generations`: start a generation, look at it, cancel it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.hub import Hub
from hub.protocols.durable.headers import named

__all__ = ["GenerationAsked", "Generations"]


class GenerationAsked(BaseModel):
    """The body of a POST: one of ``prompt`` and ``messages``; everything else is optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] | None = None
    stream: str | None = None
    upstream: str | None = None
    model: str | None = None
    author: str | None = None
    key: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Generations:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/generations/{id:[^/]+}"
        return [
            web.post("/v1/generations", self._start),
            web.get(one, self._show),
            web.delete(one, self._cancel),
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

    async def _cancel(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return _json(await self._hub.generations.cancel(name, by=request[PRINCIPAL]))


def _json(generation: Generation, *, status: int = 200, **headers: str) -> web.Response:
    headers["Cache-Control"] = "no-store"
    return web.json_response(generation.to_json(), status=status, headers=headers)
