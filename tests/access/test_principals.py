"""Whoever makes a request is who every operation is done for, whatever protocol it came by.

Each row of the tables is one use of a route or a command, with the permissions that are asked
for: of the principal of that request, and of nobody else. A route or a command without a row
fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import pytest
from aiohttp import web

from hub import Hub, make_app
from hub.access.permissions import Permission, Permissions
from hub.access.streams import StreamAccess
from hub.auth.api_keys import new_key
from hub.auth.sessions import Sessions
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import LOCAL, Principal
from hub.domain.stream_settings import StreamSettings
from hub.http.admission import PRINCIPAL, Admission
from hub.protocols.websocket import commands
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.routes import routes

ANN: Final = Principal("ann", "acme", "sh_1")

SAID: Final = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
USER: Final = {"role": "user", "content": "echo hi"}
HELLO: Final = {"type": "message", "role": "user", "text": "Hello"}
JSON: Final = {"Content-Type": "application/json"}

EVENTS: Final = {"Accept": "text/event-stream"}
RUN: Final = {"threadId": "new", "runId": "run", "messages": [{"id": "m", **USER}]}

WRITES: Final = "append authors"
"""What is asked before anything is written: may they, and may it be said in that name."""


@dataclass(frozen=True)
class Row:
    """One request: ``asks`` are the permissions, in one text; ``path`` is filled from a `World`."""

    method: str
    route: str
    asks: str = ""
    path: str = ""
    query: str = ""
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200

    def __str__(self) -> str:
        return f"{self.method} {self.route}{self.query} {' '.join(self.headers)}".strip()


def _tutorial() -> list[Row]:
    pages = ("/ret_json_data", "/stream_json_data", "/stream_data_to_frontend")
    llm, faq = "/stream_data_to_frontend_test", "/stream_faq_data_to_frontend_test"
    return [
        *(Row(method, path) for path in pages for method in ("GET", "POST")),
        *(Row("GET", path, "generate") for path in (llm, faq)),
        Row("POST", llm, "generate", json={"messages": [USER]}),
        Row("POST", faq, "generate", json={"query": "echo hi"}),
        *(Row("GET", path) for path in ("/stream", "/sse")),
        *(Row(method, "/stream-file") for method in ("GET", "HEAD")),
    ]


def _files() -> list[Row]:
    docs = ("", "/recipes", "/openapi.json", "/asyncapi.json", "/docs.css")
    scripts = ("client.js", "client-worker.js", "client.d.ts", "elements.js")
    later = ("math.js", "diagram.js", "diagram.html")
    page = ("", "single.html", "favicon.svg", "theme.js", *scripts, *later)
    return [
        *(Row("GET", f"/docs{path}") for path in docs),
        *(Row("GET", f"/{path}", status=0) for path in page),
        Row("GET", "/{folder}/{name}", path="/assets/none", status=404),
        Row("GET", "/s/{secret}", path="/s/none", status=404),
    ]


def _login() -> list[Row]:
    return [
        Row("GET", "/login"),
        # This hub has no provider.
        *(Row("GET", f"/login/oidc{rest}", status=404) for rest in ("", "/callback", "/logout")),
        *(
            Row(method, "/login/{secret}", path="/login/none", status=404)
            for method in ("GET", "POST")
        ),
        Row("GET", "/v1/me"),
        Row("POST", "/v1/logout", status=204),
    ]


STREAM: Final = "/v1/stream/{name}"
FORK: Final = {"Stream-Forked-From": "/v1/stream/talk", **JSON}
CLOSE: Final = {"Stream-Closed": "true"}
QUESTION: Final = {"model": "demo", "messages": [USER]}

ROWS: Final = [
    Row("GET", "/v1/live/{name}", "read", "/v1/live/closed", "?format=ndjson"),
    Row("POST", "/v1/follow", "read", "/v1/follow", "?", [{"stream": "closed", "from": "start"}]),
    Row("PUT", STREAM, "append authors", "/v1/stream/new", headers=JSON, status=201),
    Row("PUT", STREAM, f"{WRITES} close", "/v1/stream/new", "", [HELLO], CLOSE, 201),
    Row("PUT", STREAM, "read fork append", "/v1/stream/new", headers=FORK, status=201),
    Row("PUT", STREAM, f"read fork {WRITES}", "/v1/stream/new", "", [HELLO], FORK, 201),
    Row("POST", STREAM, WRITES, "/v1/stream/talk", json=HELLO, status=204),
    Row("POST", STREAM, "close authors", "/v1/stream/talk", headers=CLOSE, status=204),
    Row("POST", STREAM, f"{WRITES} close", "/v1/stream/talk", "", HELLO, CLOSE, 204),
    Row("GET", STREAM, "read", "/v1/stream/talk"),
    Row("GET", STREAM, "read", "/v1/stream/talk", "?offset=now&live=long-poll", status=204),
    Row("GET", STREAM, "read", "/v1/stream/talk", "?offset=-1&live=sse"),
    Row("HEAD", STREAM, "read", "/v1/stream/talk"),
    Row("DELETE", STREAM, "delete", "/v1/stream/talk", status=204),
    Row("POST", "/v1/generations", "generate", json={"prompt": "echo hi"}, status=201),
    Row("GET", "/v1/generations/{id}", "read", "/v1/generations/{slow}"),
    Row("DELETE", "/v1/generations/{id}", "cancel", "/v1/generations/{slow}"),
    Row("DELETE", "/v1/generations/{id}", "cancel", "/v1/generations/{queued}"),
    *(
        Row("PATCH", "/v1/generations/{id}", asks, "/v1/generations/{queued}", "?", change)
        for asks, change in (
            ("read cancel", {"place": 1}),
            ("read cancel", {"now": True}),
            ("read cancel generate", {"prompt": "echo hi"}),
        )
    ),
    Row(
        "POST",
        "/v1/generations",
        "generate cancel",
        query="?",
        json={"prompt": "echo hi", "stream": "slow", "when_busy": "replace"},
        status=201,
    ),
    Row("GET", "/v1/queue/{name}", "read", "/v1/queue/slow"),
    Row("GET", "/v1/streams", "list"),
    Row("POST", "/v1/shares", "read share", json={"stream": "talk"}, status=201),
    Row("GET", "/v1/shares"),
    Row("GET", "/v1/shares", "share", query="?stream=talk"),
    Row("DELETE", "/v1/shares/{id}", "share", "/v1/shares/{share}", status=204),
    # Whose credential the request has, not whose permissions: 401 where it has none.
    Row("POST", "/v1/tickets", "read", json={"stream": "talk"}, status=0),
    *_login(),
    Row("GET", "/livez"),
    Row("GET", "/readyz"),
    Row("GET", "/metrics", "admin"),
    *_tutorial(),
    *_files(),
    Row("POST", "/v1/chat/completions", "generate read", json=QUESTION),
    Row("POST", "/v1/chat/completions", "generate read", json={**QUESTION, "stream": True}),
    Row(
        "POST",
        "/v1/chat/completions",
        "generate read cancel",
        json=QUESTION,
        headers={"X-On-Disconnect": "cancel"},
    ),
    Row("POST", "/v1/responses", "generate read", json={"model": "demo", "input": "echo hi"}),
    Row(
        "POST",
        "/v1/responses",
        "generate read",
        query="?",
        json={"model": "demo", "input": "echo hi", "previous_response_id": "{response}"},
    ),
    Row("GET", "/v1/responses/{id}", "read", "/v1/responses/{response}"),
    Row("GET", "/v1/responses/{id}", "read", "/v1/responses/{response}", "?stream=true"),
    Row("DELETE", "/v1/responses/{id}", "read delete", "/v1/responses/{response}"),
    Row("GET", "/v1/responses/{id}/input_items", "read", "/v1/responses/{response}/input_items"),
    Row("POST", "/v1/responses/{id}/cancel", "read cancel", "/v1/responses/{response}/cancel"),
    Row("GET", "/v1/models"),
    Row("GET", "/v1/models/{id}", path="/v1/models/demo"),
    Row("POST", "/api/chat", "generate read", json={"id": "new", "messages": [SAID]}),
    Row(
        "GET",
        "/api/chat/{id}/stream",
        "read",
        "/api/chat/slow/stream",
        headers={"Accept": "application/json"},
    ),
    Row("POST", "/api/chat/{id}/stop", "read cancel", "/api/chat/slow/stop"),
    Row(
        "GET", "/api/chat/{id}/stream/{generation}", "read", "/api/chat/slow/stream/{slow}"
    ),
    Row(
        "GET",
        "/api/chat/{id}/stream/{generation}",
        "read",
        "/api/chat/slow/stream/{slow}",
        "?whole=true&offset=-1&live=sse",
    ),
    Row("POST", "/api/chat/{id}", "read generate", "/api/chat/new", "", {"messages": [SAID]},
        status=202),
    Row("POST", "/api/agent", "read generate", json=RUN),
    Row("POST", "/api/chat/{id}", "read generate", "/api/chat/new", "", RUN, EVENTS),
    Row("GET", "/api/chat/{id}", "read", "/api/chat/talk"),
    Row("GET", "/api/chat/{id}", "read", "/api/chat/none", "?offset=-1&live=sse"),
    Row("GET", "/v1/ws", status=426),
]  # fmt: skip

COMMANDS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("", {"type": "auth", "token": "t"}),
    ("read", {"type": "subscribe", "stream": "other"}),
    ("read", {"type": "subscribe", "stream": "none", "wait": True}),
    ("", {"type": "unsubscribe", "stream": "talk"}),
    (WRITES, {"type": "append", "stream": "talk", "event": HELLO}),
    ("generate", {"type": "generate", "prompt": "echo hi"}),
    ("read fork append", {"type": "fork", "stream": "new", "source": "talk"}),
    ("cancel", {"type": "cancel", "generation": "{slow}"}),
    (
        "generate cancel",
        {"type": "generate", "prompt": "a", "stream": "slow", "when_busy": "steer"},
    ),
    ("read cancel", {"type": "requeue", "generation": "{queued}", "place": 1}),
    ("read cancel generate", {"type": "requeue", "generation": "{queued}", "prompt": "a"}),
    ("presence", {"type": "presence", "stream": "talk", "state": {}}),
    ("presence", {"type": "presence", "stream": "talk", "state": None}),
    ("", {"type": "ping"}),
]


class Asked:
    """Who was asked about, and for which permissions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.permissions: set[str] = set()
        self.by: set[Principal] = set()
        check, authors = Permissions.check, StreamAccess.check_authors

        def checked(
            of: Permissions,
            by: Principal,
            permission: Permission,
            stream: str | None = None,
            owner: str | None = None,
        ) -> None:
            self._note(by, permission)
            check(of, by, permission, stream, owner)

        def authored(of: StreamAccess, *what: Any, by: Principal = LOCAL) -> Any:
            self._note(by, "authors")
            return authors(of, *what, by=by)

        monkeypatch.setattr(Permissions, "check", checked)
        monkeypatch.setattr(StreamAccess, "check_authors", authored)

    def _note(self, by: Principal, permission: str) -> None:
        self.by.add(by)
        self.permissions.add(permission)

    def clear(self) -> None:
        self.permissions.clear()
        self.by.clear()

    def check(self, wanted: str) -> None:
        assert self.permissions == set(wanted.split())
        assert self.by == ({ANN} if wanted else set())


@dataclass
class World:
    """A hub in which there is everything that the rows ask for, and Ann."""

    running: Running
    asked: Any
    names: dict[str, str]

    def filled(self, given: Any) -> Any:
        """What stands in a row, with the names of this hub."""
        if isinstance(given, dict):
            return {key: self.filled(value) for key, value in given.items()}
        if isinstance(given, str):
            for name, value in self.names.items():
                given = given.replace(f"{{{name}}}", value)
        return given


@pytest.fixture
async def world(start_hub: StartHub, monkeypatch: pytest.MonkeyPatch) -> World:
    # Share links need authentication; whoever comes is Ann.
    anyone = {"who": "anyone", "can": sorted(PERMISSIONS)}
    running, names = await _world(start_hub, auth={"grants": [anyone]})
    monkeypatch.setattr(Admission, "admit", _ann(Admission.admit))
    return World(running, Asked(monkeypatch), names)


async def _world(
    start_hub: StartHub, *, headers: dict[str, str] | None = None, **tables: Any
) -> tuple[Running, dict[str, str]]:
    running = await start_hub(
        **tables,
        server={"list_streams": True, "grace_seconds": 0.05},
        streams={"long_poll_seconds": 0.05},
        upstreams={"slow": {"dialect": "demo", "options": {"pace": 1}}},
        tutorial={"pace": 0},
    )
    hub = running.hub
    for name in ("talk", "other"):
        await hub.streams.append_to(name, Message("user", "Hello"))
    await hub.streams.make("closed", StreamSettings(), close=True)
    slow = await hub.generations.start(GenerationRequest("Hi", stream="slow", upstream="slow"))
    more = GenerationRequest("More", stream="slow", when_busy="queue")
    queued = await hub.generations.start(more)
    await (await hub.streams.open("slow")).committed()
    asked = {"model": "demo", "input": "echo hi"}
    async with running.client.post("/v1/responses", json=asked, headers=headers) as response:
        told = await response.json()
    share, _ = await hub.shares.create("talk")
    return running, {
        "slow": slow.id,
        "queued": queued.id,
        "response": told["id"],
        "share": share.id,
    }


def _ann(admit: Callable[..., Awaitable[None]]) -> Any:
    async def admitted(admission: Admission, request: web.Request, **public: bool) -> None:
        await admit(admission, request, **public)
        request[PRINCIPAL] = ANN

    return admitted


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_route_asks_for_its_principal(world: World, row: Row) -> None:
    path = world.filled(row.path or row.route) + row.query
    body = {} if row.json is None else {"json": world.filled(row.json)}
    headers = {**(JSON if row.json is not None else {}), **row.headers}
    async with world.running.client.request(row.method, path, headers=headers, **body) as response:
        if "live=sse" not in path:
            await response.read()
        assert response.status == row.status or not row.status, await response.text()
        world.asked.check(row.asks)


@pytest.mark.parametrize(("asks", "command"), COMMANDS, ids=str)
async def test_a_command_asks_for_its_principal(
    world: World, asks: str, command: dict[str, Any]
) -> None:
    async with world.running.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket:
        await socket.send_json({"type": "subscribe", "stream": "talk"})
        assert (await socket.receive_json())["type"] == "ok"
        world.asked.clear()
        await socket.send_json({"id": 1, **world.filled(command)})
        async with asyncio.timeout(PATIENCE):
            while (await socket.receive_json()).get("id", 0) != 1:
                pass
        world.asked.check(asks)


def test_every_route_has_a_row() -> None:
    assert {(row.method, row.route) for row in ROWS} == routes(make_app())


def test_every_command_has_a_row() -> None:
    known = {command.model_fields["type"].annotation for command in get_args(commands.Command)}
    assert {command["type"] for _, command in COMMANDS} == {get_args(kind)[0] for kind in known}


# With a permission missing


FULL: Final = sorted(PERMISSIONS)
MADE: Final = {name: new_key() for name in ("everything", *FULL)}
"""Keys: one that may do everything, and each other without the permission that is its name."""

GRANTS: Final = {name: frozenset(one for one in FULL if one != name) for name in MADE}
RULES: Final = Rules(
    Rule(Who("claim", "lacks", name), Grant(can, StreamPattern.parse("**")))
    for name, can in GRANTS.items()
)
"""What people may do whose sessions lack a permission, or none."""

ANYTHING: Final = {"/docs", "/v1/shares", *(row.route for row in (*_tutorial(), *_files()[:5]))}
"""Routes whose operations ask for nothing, and which are still for those who may do something."""

ALSO_ADMIN: Final = {"/v1/shares/{id}"}
"""Routes that whoever may ``admin`` may use all the same."""

OF_NO_STREAM: Final = {
    "/v1/chat/completions",
    "/v1/generations",
    "/v1/responses",
    "/v1/streams",
    "/metrics",
    *(row.route for row in _tutorial()),
}
"""What is refused with 403 in any case, because it names no stream."""


@pytest.fixture
async def guarded(start_hub: StartHub) -> World:
    """A hub like `world`, with authentication and a key for each permission that is missing."""
    keys = {
        name.replace("everything", "all"): {
            "sha256": digest.hex(),
            "id": made,
            "can": [one for one in FULL if one != name],
        }
        for name, (_, made, digest) in MADE.items()
    }
    grants = [
        {"who": f"claim lacks={name}", "match": "**", "can": sorted(can)}
        for name, can in GRANTS.items()
    ]
    auth = {"keys": keys, "grants": grants}
    world = await _world(start_hub, auth=auth, headers=_bearer("everything"))
    return World(world[0], None, world[1])


# A proxy's header: whoever comes from this machine itself may read the metrics.
PROXIED: Final = {"X-Forwarded-For": "203.0.113.1"}


def _bearer(name: str | None) -> dict[str, str]:
    by = {} if name is None else {"Authorization": f"Bearer {MADE[name][0]}"}
    return {**PROXIED, **by}


async def _cookie(world: World, name: str) -> dict[str, str]:
    """The headers of a browser, of whose user a session has just begun."""
    credentials = world.running.hub.credentials
    sessions = Sessions(credentials, RULES, seconds=3600, revoked=lambda _: None)
    token, _ = await sessions.begin(f"no {name}", claims={"lacks": name}, by="link")
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    return {**PROXIED, **own, "Cookie": f"streamhub={token}"}


def _missing(asks: str) -> list[str]:
    return [one for one in asks.split() if one in PERMISSIONS]


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_route_refuses_whoever_may_not(guarded: World, row: Row) -> None:
    """One hub for all of them: a refusal leaves no trace, so that whoever may can do it last."""
    await _check_route(guarded, row, None, _bearer(None))
    for missing in _missing(row.asks):
        await _check_route(guarded, row, missing, _bearer(missing))
        await _check_route(guarded, row, missing, await _cookie(guarded, missing))
    await _check_route(guarded, row, "", _bearer("everything"))


@pytest.mark.parametrize("row", [row for row in ROWS if row.asks], ids=str)
async def test_a_route_can_be_used_with_a_session(guarded: World, row: Row) -> None:
    await _check_route(guarded, row, "", await _cookie(guarded, "everything"))


async def _check_route(
    guarded: World, row: Row, missing: str | None, credential: dict[str, str]
) -> None:
    """``None`` is nobody, and nothing is missing of ``""``."""
    path = guarded.filled(row.path or row.route) + row.query
    body = {} if row.json is None else {"json": guarded.filled(row.json)}
    headers = {**(JSON if row.json is not None else {}), **row.headers, **credential}
    client = guarded.running.client
    async with client.request(row.method, path, headers=headers, **body) as response:
        told = (missing, "" if response.ok else await response.text())
        if not missing:
            needs = row.asks or row.route in ANYTHING or row.route.startswith("/v1/models")
            wanted = 401 if missing is None and needs else row.status
            assert response.status == wanted or not wanted, told
            if wanted == 401:
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
            return
        if row.route == "/v1/follow":  # each stream is refused by itself
            assert (response.status, "stream_not_found" in await response.text()) == (200, True)
            return
        names_a_stream = row.route not in OF_NO_STREAM or row.query == "?"
        wanted = 404 if missing == "read" and names_a_stream else 403
        if row.route in ALSO_ADMIN:
            wanted = row.status
        assert response.status == wanted, told


@pytest.mark.parametrize("over", ["header", "command", "cookie"])
@pytest.mark.parametrize(("asks", "command"), COMMANDS, ids=str)
async def test_a_command_refuses_whoever_may_not(
    guarded: World, asks: str, command: dict[str, Any], over: str
) -> None:
    for missing in (None, *_missing(asks), ""):
        await _check_command(guarded, asks, command, missing, over)


async def _check_command(
    guarded: World, asks: str, command: dict[str, Any], missing: str | None, over: str
) -> None:
    """As `_check_route`, with the credential in a header, a command or a cookie."""
    who = "everything" if missing == "" else missing
    given = _bearer(who if over == "header" else None)
    if over == "cookie" and who is not None:
        given = await _cookie(guarded, who)
    client = guarded.running.client

    async with client.ws_connect("/v1/ws", protocols=["hub.v1"], headers=given) as socket:

        async def done(said: dict[str, Any]) -> str:
            await socket.send_json({"id": 1, **said})
            async with asyncio.timeout(PATIENCE):
                while (reply := await socket.receive_json()).get("id", 0) != 1:
                    pass
            return str(reply.get("code", reply["type"]))

        if over == "command" and who is not None:
            assert await done({"type": "auth", "token": MADE[who][0]}) == "ok"
        if who is not None:
            assert await done({"type": "subscribe", "stream": "talk"}) == (
                "ok" if who != "read" else "stream_not_found"
            )
        code = await done(guarded.filled(command))
    if command["type"] == "auth":
        wanted = "invalid_token"
    elif missing == "":
        wanted = "ok"
    elif missing is None:
        refused = "unauthorized" if asks and command["type"] != "presence" else ""
        wanted = refused or ("ok" if command["type"] == "ping" else "not_subscribed")
    else:
        lacking = "generation_not_found" if "generation" in command else "stream_not_found"
        wanted = lacking if missing == "read" else "not_permitted"
    assert (missing, code) == (missing, wanted)


# Connections


@pytest.fixture
async def everybody(world: World) -> AsyncIterator[Hub]:
    """A hub with one connection of every kind that stays."""
    client = world.running.client
    async with AsyncExitStack() as stack:
        for path in (
            "/v1/live/talk?wait=true",
            "/v1/live/none?wait=true",
            "/v1/stream/slow?offset=now&live=sse",
            "/api/chat/slow/stream",
            "/api/chat/none?offset=-1&live=sse",
        ):
            response = await stack.enter_async_context(client.get(path))
            assert response.status == 200
        slowly = {"model": "slow", "stream": True}
        several = [{"stream": "talk"}, {"stream": "none", "wait": True}]
        response = await stack.enter_async_context(client.post("/v1/follow", json=several))
        assert response.status == 200
        for path, more in (
            ("/v1/chat/completions", {"messages": [USER]}),
            ("/v1/responses", {"input": "Hi"}),
        ):
            response = await stack.enter_async_context(client.post(path, json={**slowly, **more}))
            assert response.status == 200
        await stack.enter_async_context(client.ws_connect("/v1/ws", protocols=["hub.v1"]))
        yield world.running.hub


async def test_a_connection_keeps_its_principal(everybody: Hub) -> None:
    assert [connection.by for connection in everybody.connections] == [ANN] * 9


# Embedding


async def test_an_application_without_a_principal_is_the_local_one(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, asked = (await start_hub()).hub, Asked(monkeypatch)
    stream, _ = await hub.streams.create("notes")
    hub.streams.append(stream, Message("user", "Hello"))
    generation = await hub.generations.start(GenerationRequest("echo hi", stream="notes"))
    await hub.generations.wait(generation.id)
    await hub.streams.fork("draft", "notes")
    await hub.streams.delete("notes")
    assert asked.by == {LOCAL}


async def test_what_was_documented_earlier_still_works(start_hub: StartHub) -> None:
    hub = (await start_hub()).hub
    with pytest.warns(DeprecationWarning, match=r"use hub\.streams\.create"):
        stream = await hub.create("notes")
    with pytest.warns(DeprecationWarning, match=r"use hub\.streams\.fork"):
        draft, new = await hub.fork("draft", "notes", stream.position)
    assert (draft.name, new) == ("draft", True)
