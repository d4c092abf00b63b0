"""A hub lives in an application of its own or in somebody else's, and keeps to itself there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import aiohttp_cors
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub import HUB, Config, Hub, make_app, setup
from hub.auth.gate import Authorize
from hub.domain.errors import ConfigError, Unauthorized
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import Principal
from hub.server.serve import serve
from tests.conftest import StartHub
from tests.support.patience import PATIENCE
from tests.support.reference_parsers import text_at

DEMO: Final = {"demo": {"dialect": "demo", "options": {"pace": 100_000}}}
ORIGIN: Final = "https://chat.example.org"
THEIRS: Final = "https://their.example.org"

Client = TestClient[web.Request, web.Application]
StartApp = Callable[[web.Application], Awaitable[Client]]


def config(**server: Any) -> Config:
    tables = {"server": {"drain_seconds": 0.0, **server}, "upstreams": DEMO}
    return Config.model_validate({**tables, "store": {"url": "memory:"}})


@pytest.fixture
async def start_app() -> AsyncIterator[StartApp]:
    clients: list[Client] = []

    async def start(app: web.Application) -> Client:
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


# In somebody else's application


async def test_a_hub_under_a_prefix_is_the_whole_hub(start_app: StartApp) -> None:
    app = web.Application()
    app.router.add_get("/", hello)
    hub = setup(app, prefix="/hub", config=config())
    client = await start_app(app)
    assert app[HUB] is hub
    async with client.post("/hub/v1/generations", json={"prompt": "echo hi"}) as response:
        assert response.status == 201
        where = response.headers["Location"]
    assert where.startswith("/hub/v1/stream/")
    assert await text_at(client, where) == "hi"
    async with client.ws_connect("/hub/v1/ws", protocols=("hub.v1",)) as ws:
        await ws.send_json({"type": "ping", "id": 1})
        assert await ws.receive_json(timeout=PATIENCE) == {"type": "ok", "id": 1}
    for path, status in (("/hub/livez", 200), ("/livez", 404), ("/v1/models", 404), ("/", 200)):
        async with client.get(path) as response:
            assert response.status == status


async def test_a_slash_after_the_prefix_changes_nothing(start_app: StartApp) -> None:
    app = web.Application()
    setup(app, prefix="/hub/", config=config())
    client = await start_app(app)
    async with client.get("/hub/livez") as response:
        assert response.status == 200


async def test_a_hub_in_an_application_inside_another_gives_addresses_that_work(
    start_app: StartApp,
) -> None:
    inner = web.Application()
    setup(inner, prefix="/hub", config=config())
    outer = web.Application()
    outer.add_subapp("/app", inner)
    client = await start_app(outer)
    async with client.post("/app/hub/v1/generations", json={"prompt": "echo hi"}) as response:
        where = response.headers["Location"]
    assert await text_at(client, where) == "hi"


async def test_the_application_uses_the_hub_from_its_own_handlers(start_app: StartApp) -> None:
    async def ask(request: web.Request) -> web.Response:
        hub = request.app[HUB]
        stream, _ = await hub.streams.create("notes")
        hub.streams.append(stream, Message("user", "noted"))
        generation = await hub.generations.start(
            GenerationRequest(prompt="echo hi", stream="notes")
        )
        await hub.generations.wait(generation.id)
        return web.json_response({"state": generation.state})

    app = web.Application()
    app.router.add_post("/ask", ask)
    setup(app, config=config())
    client = await start_app(app)
    async with client.post("/ask") as response:
        assert await response.json() == {"state": "finished"}
    async with client.get("/v1/live/notes?format=ndjson&from=start") as response:
        assert json.loads(await response.content.readline())["text"] == "noted"


async def test_the_applications_middlewares_see_every_answer_and_own_their_errors(
    start_app: StartApp,
) -> None:
    seen: list[tuple[str, int]] = []

    @web.middleware
    async def watch(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text="theirs")
        seen.append((request.path, response.status))
        if not response.prepared:
            response.headers["X-Seen"] = "yes"
        return response

    app = web.Application(middlewares=[watch])
    setup(app, prefix="/hub", config=config())
    client = await start_app(app)
    async with client.get("/nowhere") as response:
        assert await response.text() == "theirs"
    async with client.get("/hub/v1/generations/x") as response:
        assert (await response.json())["error"]["code"] == "generation_not_found"
        assert response.headers["X-Seen"] == "yes"
    async with client.get("/hub/livez") as response:
        assert response.headers["X-Seen"] == "yes"
    assert seen == [("/hub/v1/generations/x", 404), ("/hub/livez", 200)]


async def test_its_cors_rules_and_the_applications_do_not_mix(start_app: StartApp) -> None:
    app = web.Application()
    theirs = aiohttp_cors.setup(app, defaults={THEIRS: {"allow_headers": "*"}})
    theirs.add(app.router.add_get("/hello", hello))
    setup(app, prefix="/hub", config=config(origins=[ORIGIN]))
    client = await start_app(app)
    for path, origin, allowed in (
        ("/hello", THEIRS, True),
        ("/hello", ORIGIN, False),
        ("/hub/v1/models", ORIGIN, True),
        ("/hub/v1/models", THEIRS, False),
    ):
        async with client.get(path, headers={"Origin": origin}) as response:
            assert response.status == 200
            assert ("Access-Control-Allow-Origin" in response.headers) is allowed
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        async with client.options(path, headers=asked) as response:
            assert (response.status == 200) is allowed


async def test_where_no_other_origin_is_configured_none_is_allowed(start_app: StartApp) -> None:
    client = await start_app(make_app(config()))
    async with client.get("/v1/models", headers={"Origin": ORIGIN}) as response:
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    async with client.options("/v1/models", headers=asked) as response:
        assert response.status == 405
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/generations"),
        ("DELETE", "/v1/generations/x"),
        ("GET", "/v1/live/x"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
    ],
)
@pytest.mark.parametrize("origin", [ORIGIN, "*"])
async def test_a_page_of_an_allowed_origin_may_ask_and_read(
    origin: str, method: str, path: str, start_hub: StartHub
) -> None:
    auth = {"required": True}
    client = (await start_hub(server={"origins": [origin]}, auth=auth)).client
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
    }
    async with client.options(path, headers=asked) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Access-Control-Allow-Methods"] == method
        allowed = response.headers["Access-Control-Allow-Headers"].split(",")
        # "*" would not stand for Authorization (WHATWG Fetch, CORS protocol).
        assert {"AUTHORIZATION", "IDEMPOTENCY-KEY"} <= set(allowed)
        assert "Access-Control-Allow-Credentials" not in response.headers
    # Also an error can be read, or a page could not tell what is wrong.
    async with client.request(method, path, headers={"Origin": ORIGIN}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", [ORIGIN, "*"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("GET", "/v1/live/none", 404),
        ("GET", "/v1/live/there?format=json", 200),
        ("GET", "/client.js", 200),
        ("GET", "/v1/me", 200),
        ("POST", "/v1/generations", 415),
        ("OPTIONS", "/v1/generations", 200),
    ],
)
async def test_no_cache_gives_a_response_for_one_origin_to_another(
    start_hub: StartHub, origin: str, method: str, path: str, status: int
) -> None:
    running = await start_hub(server={"origins": [origin]})
    stream, _ = await running.hub.streams.create("there")
    await running.hub.streams.append_to("there", Message("user", "Hello"))
    stream.close()
    preflight = {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {}
    others: list[dict[str, str]] = [{}, {"Origin": "https://elsewhere.example"}]
    if preflight or origin == "*":
        others = []
    for headers in ({"Origin": ORIGIN, **preflight}, *others):
        async with running.client.request(method, path, headers=headers) as said:
            assert said.status in (status, 403), headers
            told = said.headers.get("Vary", "").lower().replace(" ", "").split(",")
            kept = "no-store" not in said.headers.get("Cache-Control", "")
            assert told.count("origin") == kept, headers


async def test_a_page_of_an_allowed_origin_reads_a_stream_and_its_headers(
    start_hub: StartHub,
) -> None:
    client = (await start_hub(server={"origins": [ORIGIN]})).client
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "echo hi"}]}
    async with client.post(
        "/v1/chat/completions", json=body, headers={"Origin": ORIGIN}
    ) as response:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        exposed = response.headers["Access-Control-Expose-Headers"].split(",")
        assert "Streamhub-Stream" in exposed
        assert b"[DONE]" in await response.read()


async def test_an_upstream_that_cannot_be_used_stops_it_before_it_starts() -> None:
    table = {"dialect": "openai-chat", "url": "http://127.0.0.1", "api_key_env": "MINE"}
    held = Config.model_validate({"upstreams": {**DEMO, "one": table}})
    with pytest.raises(ConfigError, match="set the environment variable MINE"):
        setup(web.Application(), config=held, environ={})


async def test_nothing_of_it_runs_on_after_its_application() -> None:
    before = asyncio.all_tasks()
    app = make_app(config())
    client = TestClient(TestServer(app))
    await client.start_server()
    async with client.post("/v1/generations", json={"prompt": "stall"}) as response:
        name = (await response.json())["id"]
    live = await client.get(f"/v1/live/{name}?format=ndjson")
    ws = await client.ws_connect("/v1/ws")
    await ws.send_json({"type": "subscribe", "stream": name})
    assert (await ws.receive_json(timeout=PATIENCE))["type"] == "ok"
    hub: Hub = app[HUB]
    await client.server.close()
    assert (await hub.generations.find(name)).state == "interrupted"
    assert not hub.connections
    assert not hub.generations.active
    live.close()
    await client.close()
    assert asyncio.all_tasks() == before


# On its own


async def _served(**server: Any) -> tuple[str, asyncio.Task[None]]:
    """Serve in a task; give the URL, once there is one."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(config(port=0, **server), announce=told.set_result))
    first: list[asyncio.Future[Any]] = [told, serving]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
    assert told.done(), serving
    return told.result(), serving


async def test_it_serves_until_it_is_told_to_stop() -> None:
    url, serving = await _served()
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{url}/livez") as response:
            assert response.status == 200
        async with client.ws_connect(f"{url}/v1/ws") as ws:
            os.kill(os.getpid(), signal.SIGTERM)
            told = await ws.receive_json(timeout=PATIENCE)
            assert told["type"] == "draining"
            assert 0 < told["retry_ms"] <= 10_000
            closed = await ws.receive(timeout=PATIENCE)
            assert closed.data == 4000
    async with asyncio.timeout(PATIENCE):
        await serving


async def test_it_serves_at_a_path_too(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    url, serving = await _served(unix_socket=str(path))
    assert url == f"unix:{path}"
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as client,
        client.get("http://hub/livez") as response,
    ):
        assert response.status == 200
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(PATIENCE):
        await serving


async def test_it_says_so_when_the_port_is_taken(start_hub: StartHub) -> None:
    port = (await start_hub()).client.port
    with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use"):
        await serve(config(port=port), announce=print)


# Who comes in


async def _nobody(_: web.Request) -> Principal:
    raise Unauthorized("log in first")


@pytest.mark.parametrize(
    ("auth", "authorize", "warned"),
    [
        ({}, None, 1),
        ({}, _nobody, 0),
        ({"open": True}, None, 0),
        ({"required": True}, None, 0),
    ],
)
def test_one_warning_says_that_everybody_may_do_everything(
    auth: dict[str, Any],
    authorize: Authorize | None,
    warned: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables = {"store": {"url": "memory:"}, "auth": auth}
    setup(web.Application(), config=Config.model_validate(tables), authorize=authorize)
    said = [one.getMessage() for one in caplog.records]
    assert len(said) == warned
    assert all("authorize=" in one and "auth.open" in one for one in said)


def test_a_hub_that_is_served_does_not_warn_of_what_it_checks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_app(config())
    assert not caplog.records


async def test_a_middleware_of_the_application_protects_websockets_too(
    start_app: StartApp,
) -> None:
    @web.middleware
    async def members(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.headers.get("X-Member") != "yes":
            raise web.HTTPForbidden
        return await handler(request)

    app = web.Application(middlewares=[members])
    setup(app, prefix="/hub", config=config())
    client = await start_app(app)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect("/hub/v1/ws")
    assert refused.value.status == 403
    async with client.get("/hub/v1/models") as said:
        assert said.status == 403
    async with client.ws_connect("/hub/v1/ws", headers={"X-Member": "yes"}) as socket:
        await socket.send_json({"id": 1, "type": "ping"})
        assert (await socket.receive_json(timeout=PATIENCE))["type"] == "ok"
