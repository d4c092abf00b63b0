"""`GET /v1/models`: the names of the upstreams, in the format of OpenAI's list of models."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from hub.hub import Hub

__all__ = ["Models"]


class Models:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/models", self._list), web.get(r"/v1/models/{id:[\s\S]+}", self._one)]

    async def _list(self, request: web.Request) -> web.Response:
        upstreams = self._hub.upstreams
        names = sorted(upstreams, key=lambda name: (name != upstreams.default, name))
        return web.json_response({"object": "list", "data": [_model(name) for name in names]})

    async def _one(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self._hub.upstreams.resolve(name)
        return web.json_response(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "streamhub"}
