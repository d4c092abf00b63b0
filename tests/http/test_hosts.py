"""By which names the hub may be called, over HTTP and for a WebSocket."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import hub
from tests.conftest import StartHub
from tests.support.patience import PATIENCE
from tests.support.raw_socket import client_frame, exchange

CLOSE: Final = client_frame(b"\x03\xe8", 8)

LOCAL: Final = [
    b"localhost",
    b"LOCALHOST:7000",
    b"localhost.:7000",
    b"hub.localhost:7000",
    b"127.0.0.1",
    b"127.0.0.1:7000",
    b"127.1.2.3",
    b"[::1]",
    b"[::1]:7000",
    b"[0:0:0:0:0:0:0:1]:7000",
]
FOREIGN: Final = [
    b"evil.example",
    b"evil.example:7000",
    b"localhost.evil.example",
    b"evillocalhost",
    b"127.0.0.1.evil.example",
    b"127.0.0.1@evil.example",
    b"192.0.2.1:7000",
    b"[2001:db8::1]:7000",
    b"0.0.0.0:7000",
    b"::1",
    b"[::1",
    b"[]",
    b":7000",
    b"localhost:evil",
    b"localhost, evil.example",
    b"\xff",
]


def asked(host: bytes, *more: bytes) -> bytes:
    head = [b"GET /v1/models HTTP/1.1", b"Host: " + host, *more, b"Connection: close"]
    return b"\r\n".join([*head, b"", b""])


def upgrade(host: bytes) -> bytes:
    return (
        b"GET /v1/ws HTTP/1.1\r\nHost: " + host + b"\r\nOrigin: http://" + host + b"\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )


@pytest.mark.parametrize("host", LOCAL)
async def test_at_a_loopback_address_it_goes_by_the_names_of_one(
    host: bytes, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"hosts": []})).client
    assert (await exchange(client.port, asked(host))).startswith(b"HTTP/1.1 200 ")
    assert (await exchange(client.port, upgrade(host), CLOSE)).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("host", FOREIGN)
async def test_and_by_no_others_whose_page_would_pass_for_its_own(
    host: bytes, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"hosts": []})).client
    for request in (asked(host), asked(host, b"Origin: http://" + host), upgrade(host) + CLOSE):
        given = await exchange(client.port, request)
        assert given.startswith(b"HTTP/1.1 403 ")
        assert b"host_not_allowed" in given
        assert b"server.hosts" in given


async def test_whoever_names_no_host_is_no_browser(start_hub: StartHub) -> None:
    client = (await start_hub(server={"hosts": []})).client
    given = await exchange(client.port, b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert given.startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize(
    ("named", "host", "may"),
    [
        (["chat.example.org"], b"chat.example.org", True),
        (["chat.example.org"], b"Chat.Example.ORG:443", True),
        (["Chat.example.org."], b"chat.example.org", True),
        (["chat.example.org"], b"127.0.0.1:7000", True),
        (["chat.example.org"], b"example.org", False),
        (["chat.example.org"], b"a.chat.example.org", False),
        (["192.0.2.1"], b"192.0.2.1:7000", True),
        (["*"], b"evil.example", True),
    ],
)
async def test_a_name_that_is_configured_may_be_used(
    named: list[str], host: bytes, may: bool, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"hosts": named})).client
    given = await exchange(client.port, asked(host))
    assert given.startswith(b"HTTP/1.1 200 " if may else b"HTTP/1.1 403 ")


async def test_every_route_minds_it(start_hub: StartHub) -> None:
    client = (await start_hub(server={"hosts": []})).client
    assert client.app is not None
    for route in client.app.router.routes():
        if route.method not in ("GET", "POST", "PUT", "DELETE"):
            continue
        assert route.resource is not None
        path = re.sub(r"[{}]", "", route.resource.canonical.replace("{folder}", "assets"))
        headers = {"Host": "evil.example"}
        async with client.request(route.method, path, headers=headers) as response:
            assert (response.status, path) == (403, path)


@pytest.mark.parametrize(("hosts", "status"), [([], b"403"), (["app.example"], b"200")])
async def test_inside_an_application_its_own_routes_are_left_alone(
    hosts: list[str], status: bytes
) -> None:
    async def own(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/own", own)
    tables: dict[str, Any] = {"store": {"url": "memory:"}, "server": {"hosts": hosts}}
    hub.setup(app, prefix="/hub", config=hub.Config.model_validate(tables))
    async with TestClient(TestServer(app)) as client:
        for path, expected in ((b"/own", b"200"), (b"/hub/v1/models", status)):
            head = b"GET %b HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n" % path
            assert (await exchange(client.port, head))[9:12] == expected


@pytest.mark.parametrize(("hosts", "status"), [([], b"200"), (["chat.example.org"], b"403")])
async def test_over_a_unix_socket_any_name_will_do_unless_some_are_configured(
    hosts: list[str], status: bytes, tmp_path: Path
) -> None:
    tables: dict[str, Any] = {"store": {"url": "memory:"}, "server": {"hosts": hosts}}
    runner = web.AppRunner(hub.make_app(hub.Config.model_validate(tables)))
    await runner.setup()
    try:
        path = str(tmp_path / "hub.sock")
        await web.UnixSite(runner, path).start()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(asked(b"other.example"))
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read())[9:12] == status
        writer.close()
    finally:
        await runner.cleanup()


async def test_where_no_loopback_address_is_listened_on_any_name_will_do(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = (await start_hub(server={"hosts": []})).client
    # What a socket says that others can reach; a test has none.
    monkeypatch.setattr("hub.http.hosts._address", lambda _: "192.0.2.7")
    assert (await exchange(client.port, asked(b"hub.internal"))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"chat.example.org", b"200"),
        (b"192.0.2.7:7000", b"200"),  # as a probe asks
        (b"192.0.2.8:7000", b"403"),
        (b"evil.example", b"403"),
    ],
)
async def test_there_names_that_are_configured_hold_and_the_address_itself(
    host: bytes, status: bytes, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = (await start_hub(server={"hosts": ["chat.example.org"]})).client
    monkeypatch.setattr("hub.http.hosts._address", lambda _: "192.0.2.7")
    assert (await exchange(client.port, asked(host)))[9:12] == status
