"""A trusted proxy is believed, over HTTP, for a WebSocket and in the log; nobody else is."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

import hub
from hub.domain.principal import Principal
from hub.http.acceptor import Acceptor
from hub.http.forwarded import (
    TrustedProxies,
    client_address,
    host,
    is_trusted,
    known_scheme,
    scheme,
)
from hub.http.sockets import listen
from tests.conftest import StartHub
from tests.support.patience import PATIENCE
from tests.support.raw_socket import exchange

Client = TestClient[Any, Any]

HERE: Final = {"trusted_proxies": ["127.0.0.0/8"], "hosts": ["chat.example.org"]}
HANDSHAKE: Final = {
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
ASKED: Final = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
TOLD: Final = {**ASKED, "X-Forwarded-Host": "chat.example.org"}


async def made(client: Client, name: str, headers: dict[str, str]) -> tuple[int, str]:
    async with client.put(f"/v1/stream/{name}", headers=headers) as said:
        return said.status, said.headers.get("Location", "")


async def test_the_address_of_a_stream_is_that_which_the_client_used(start_hub: StartHub) -> None:
    client = (await start_hub(server=HERE)).client
    assert await made(client, "a", TOLD) == (201, "https://chat.example.org/v1/stream/a")
    own = f"http://{client.host}:{client.port}/v1/stream/b"
    assert await made(client, "b", {}) == (201, own)


async def test_and_a_path_where_the_proxy_is_not_trusted(start_hub: StartHub) -> None:
    client = (await start_hub(server={"trusted_proxies": ["192.0.2.1"]})).client
    assert await made(client, "a", TOLD) == (201, "/v1/stream/a")


async def test_only_the_configured_family_is_read(start_hub: StartHub) -> None:
    client = (await start_hub(server={**HERE, "proxy_headers": "forwarded"})).client
    assert await made(client, "a", TOLD) == (201, "/v1/stream/a")
    told = {"Forwarded": "for=203.0.113.9;proto=https;host=chat.example.org", "Host": "x"}
    assert await made(client, "b", told) == (201, "https://chat.example.org/v1/stream/b")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://chat.example.org", 201),
        ("https://chat.example.org:443", 201),
        ("http://chat.example.org", 403),
        ("https://evil.example", 403),
        ("https://127.0.0.1", 403),
    ],
)
async def test_a_page_of_the_hub_behind_tls_is_of_its_own_origin(
    origin: str, status: int, start_hub: StartHub
) -> None:
    client = (await start_hub(server=HERE)).client
    assert (await made(client, "a", {**TOLD, "Origin": origin}))[0] == status
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", **HANDSHAKE}
    async with client.get("/v1/ws", headers={**TOLD, **upgrade, "Origin": origin}) as said:
        assert said.status == (101 if status == 201 else 403)


async def test_a_host_that_a_trusted_proxy_tells_must_be_the_hubs(start_hub: StartHub) -> None:
    client = (await start_hub(server=HERE)).client
    assert (await made(client, "a", {**TOLD, "X-Forwarded-Host": "evil.example"}))[0] == 403


async def test_a_host_that_anybody_else_tells_is_not_one(start_hub: StartHub) -> None:
    client = (await start_hub(server={"hosts": ["chat.example.org"]})).client
    spoofed = {"Host": "evil.example", "X-Forwarded-Host": "chat.example.org"}
    assert (await made(client, "a", spoofed))[0] == 403


async def statuses(client: Client, *told: str) -> list[int]:
    found = []
    for one in told:
        async with client.get("/v1/models", headers={"X-Forwarded-For": one}) as said:
            found.append(said.status)
    return found


GUESTS: Final = {
    "grants": [{"who": "anyone", "match": "**", "can": ["read"]}],
    "limits": {"requests_per_minute": 1},
}


async def test_requests_are_counted_for_each_client_of_a_trusted_proxy(start_hub: StartHub) -> None:
    client = (await start_hub(server={"trusted_proxies": ["127.0.0.1"]}, auth=GUESTS)).client
    told = ["203.0.113.1", "203.0.113.2", "203.0.113.1", "2001:db8::1", "2001:db8::2"]
    # The last two are one customer's.
    assert await statuses(client, *told) == [200, 200, 429, 200, 429]
    assert await statuses(client, "9.9.9.9, 203.0.113.1") == [429], "a client's own word"


async def test_and_all_are_one_where_it_is_not_trusted(start_hub: StartHub) -> None:
    client = (await start_hub(auth=GUESTS)).client
    assert await statuses(client, "203.0.113.1", "203.0.113.2") == [200, 429]


async def test_wrong_credentials_are_counted_for_each_client(start_hub: StartHub) -> None:
    server = {"trusted_proxies": ["127.0.0.1"]}
    limits = {"requests_per_minute": 1}
    client = (await start_hub(server=server, auth={"required": True, "limits": limits})).client
    found = []
    for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
        headers = {"X-Forwarded-For": address, "Authorization": "Bearer sh_x"}
        async with client.get("/v1/models", headers=headers) as said:
            found.append(said.status)
    assert found == [401, 429, 401]


async def test_metrics_are_not_open_to_what_a_trusted_proxy_passes_on(start_hub: StartHub) -> None:
    server = {"trusted_proxies": ["127.0.0.1"]}
    client = (await start_hub(server=server, auth={"required": True})).client
    for told, status in (({}, 200), ({"X-Forwarded-For": "127.0.0.1"}, 401), (ASKED, 401)):
        async with client.get("/metrics", headers=told) as said:
            assert said.status == status, told


@pytest.mark.parametrize(
    "header",
    [
        "CF-Connecting-IP", "Client-IP", "Fastly-Client-IP", "Forwarded", "True-Client-IP", "Via",
        "X-Azure-ClientIP", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address",
        "X-Forwarded-Host", "X-Original-Forwarded-For", "X-Real-IP",
    ],
)  # fmt: skip
async def test_nor_to_what_one_passes_on_that_nobody_has_named(
    start_hub: StartHub, header: str
) -> None:
    client = (await start_hub(auth={"required": True})).client
    for told, status in (({}, 200), ({header: "198.51.100.7"}, 401)):
        async with client.get("/metrics", headers=told) as said:
            assert said.status == status, told


async def test_an_application_sees_who_asks(aiohttp_client: Any) -> None:
    seen: list[tuple[object, ...]] = []

    async def authorize(request: web.Request) -> Principal:
        seen.append(tuple(fact(request) for fact in (client_address, scheme, host, is_trusted)))
        return Principal("ann")

    for trusted in (["127.0.0.1"], []):
        app = web.Application()
        tables = {"store": {"url": "memory:"}, "server": {**HERE, "trusted_proxies": trusted}}
        hub.setup(app, config=hub.Config.model_validate(tables), authorize=authorize)
        client: Client = await aiohttp_client(app)
        async with client.get("/v1/models", headers=TOLD) as said:
            assert said.status == 200
    assert seen[0] == ("203.0.113.9", "https", "chat.example.org", True)
    assert seen[1] == ("127.0.0.1", "http", f"127.0.0.1:{client.port}", False)


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        (["unix"], ("203.0.113.9", True, "https")),
        (["127.0.0.1", "0.0.0.0/0"], ("unix", False, None)),
    ],
)
async def test_whoever_comes_over_a_unix_socket_is_trusted_by_name(
    trusted: list[str],
    expected: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies = TrustedProxies(trusted)
    seen: list[tuple[object, ...]] = []

    async def handle(request: web.Request) -> web.Response:
        proxies.identify(request)
        seen.append((client_address(request), is_trusted(request), known_scheme(request)))
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        path = str(tmp_path / "hub.sock")
        await web.UnixSite(runner, path).start()
        monkeypatch.chdir(tmp_path)
        for own in (None, "127.0.0.1"):  # also with a path that looks like an address
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)
                if own is not None:
                    client.bind(own)
                client.connect(path)
                reader, writer = await asyncio.open_unix_connection(sock=client)
                lines = [f"{name}: {value}" for name, value in TOLD.items()]
                head = ["GET / HTTP/1.1", "Host: hub", *lines, "Connection: close", "", ""]
                writer.write("\r\n".join(head).encode())
                async with asyncio.timeout(PATIENCE):
                    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
                writer.close()
    finally:
        await runner.cleanup()
    assert seen == [expected, expected]


async def test_the_access_log_has_the_client_and_no_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables: dict[str, Any] = {"store": {"url": "memory:"}, "server": HERE}
    config = hub.Config.model_validate(tables)
    runner = web.AppRunner(hub.make_app(config))
    await runner.setup()
    acceptor = Acceptor(
        runner,
        sockets=100,
        idle_seconds=PATIENCE,
        access_log=True,
        proxies=TrustedProxies(config.server.trusted_proxies),
    )
    (listening,) = listen("127.0.0.1", 0, notsent_lowat=16_384)
    try:
        with caplog.at_level(logging.INFO, "aiohttp.access"):
            await acceptor.open([listening])
            port = listening.getsockname()[1]
            for path in (b"/v1/models", b"/nowhere"):
                await exchange(
                    port,
                    b"GET " + path + b"?token=secret HTTP/1.1\r\nHost: localhost\r\n"
                    b"X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n"
                    b"Referer: http://a.example/?token=secret\r\nConnection: close\r\n\r\n",
                )
            await exchange(port, b"garbage\r\n\r\n")
    finally:
        await acceptor.close()
        listening.close()
        await runner.cleanup()
    lines = [one.getMessage() for one in caplog.records if one.name == "aiohttp.access"]
    assert [line.partition(" ")[0] for line in lines] == ["203.0.113.9"] * 2 + ["127.0.0.1"]
    assert '"GET /v1/models HTTP/1.1" 200 ' in lines[0]
    assert '"GET /nowhere HTTP/1.1" 404 ' in lines[1]
    assert "secret" not in " ".join(lines)
