"""`GET /v1/models`: the names of the upstreams, in the format of OpenAI's list of models."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from hub.http.admission import PRINCIPAL
from hub.hub import Hub
from hub.upstreams.registry import no_model

__all__ = ["Models"]


class Models:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/models", self._list), web.get(r"/v1/models/{id:[\s\S]+}", self._one)]

    async def _list(self, request: web.Request) -> web.Response:
        upstreams, by = self._hub.upstreams, request[PRINCIPAL]
        self._hub.permissions.check_beyond_a_stream(by)
        names = sorted(
            (name for name in upstreams if self._hub.generations.may_ask(name, by=by)),
            key=lambda name: (name != upstreams.default, name),
        )
        return web.json_response({"object": "list", "data": [_model(name) for name in names]})

    async def _one(self, request: web.Request) -> web.Response:
        name, by = request.match_info["id"], request[PRINCIPAL]
        self._hub.permissions.check_beyond_a_stream(by)
        upstream, model = self._hub.upstreams.resolve(name)
        if not self._hub.generations.may_ask(upstream, model, by=by):
            raise no_model(name)
        return web.json_response(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "streamhub"}
