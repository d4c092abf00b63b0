"""The nginx of docs/operations.md in front of a hub: TLS, signing in, and a WebSocket's cookie."""

from __future__ import annotations

import re
import socket
import ssl
import tomllib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509

from tests.clients.nginx import in_front
from tests.conftest import StartHub
from tests.support.browsers import link
from tests.support.certificates import self_signed

NAME: Final = "chat.example.org"
PAGE: Final = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
HELLO: Final = {"type": "message", "role": "user", "text": "Hello"}


def block(language: str) -> str:
    """The first block of a language in the page."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


class Here(AbstractResolver):
    """Every name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


def server(pem: Path, key: Path) -> str:
    """The server of the page, with a certificate, at ports of this test."""
    tls = f"listen 127.0.0.1:PORT ssl;\n    ssl_certificate {pem};\n    ssl_certificate_key {key};"
    shown = block("nginx")
    replaced = shown.replace("listen 443 ssl;", tls).replace("127.0.0.1:7000", "127.0.0.1:HUB")
    assert replaced.count("HUB") == 2
    assert "ssl_certificate " in replaced
    return replaced


async def test_somebody_signs_in_and_goes_on(start_hub: StartHub, tmp_path: Path) -> None:
    tables = tomllib.loads(block("toml"))
    running = await start_hub(auth=tables["auth"], server=tables["server"])
    hub = running.client.port
    assert hub is not None
    pem, key = self_signed(tmp_path, x509.DNSName(NAME))
    tls = ssl.create_default_context(cafile=str(pem))
    connector = aiohttp.TCPConnector(ssl=tls, resolver=Here())
    async with (
        in_front(hub, tmp_path, server(pem, key)) as url,
        aiohttp.ClientSession(connector=connector) as browser,
    ):
        origin = f"https://{NAME}:{urlsplit(url).port}"
        own = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        async with browser.get(f"{origin}/v1/stream/chat/ann/1") as said:
            assert said.status == 401
        path = await link(running.hub, "ann")
        async with browser.post(origin + path, headers=own, allow_redirects=False) as said:
            assert said.status == 303, await said.text()
            (cookie,) = said.headers.getall("Set-Cookie")
        assert cookie.startswith("__Host-streamhub=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        # What the client itself says of proxies does not come through.
        forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
        target = f"{origin}/v1/stream/chat/ann/1"
        async with browser.put(target, json=[HELLO], headers={**own, **forged}) as said:
            assert (said.status, said.headers.get("Location")) == (201, target)
        async with browser.ws_connect(f"{origin}/v1/ws", headers=own) as socket_:
            await socket_.send_json({"type": "subscribe", "stream": "chat/ann/1", "from": "start"})
            assert (await socket_.receive_json())["type"] == "ok"
            assert (await socket_.receive_json())["events"][0]["text"] == "Hello"
            await socket_.send_json({"type": "subscribe", "stream": "chat/bob/1"})
            assert (await socket_.receive_json())["code"] == "stream_not_found"
        elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await browser.ws_connect(f"{origin}/v1/ws", headers=elsewhere)
        assert refused.value.status == 403
        async with browser.get(f"{origin}/metrics") as said:
            assert said.status == 403, "nginx is on this machine, and its clients are not"
