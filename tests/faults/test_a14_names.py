"""Fault A14: a name that no stream can have is refused in one way, wherever it stands.

``a%0Ab`` was 404 at `/v1/stream`, and other bad names 400; at `/api/chat` some were 204.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tests.conftest import StartHub

IN_ONE_SEGMENT: Final = [
    "a%0Ab", "a%0A", "%0A", "a%0Db", "a%00b", "a%1Eb", "a%7Fb", "a%C2%85b", "a%E2%80%A8b",
    "a%20b", "%20", "%E6%B5%81", "%FF", "a%FFb", "%ED%A0%80", "a%7Bb", "a%7Db", "%7Bname%7D",
    "a%3Fb", "a%23b", "a%5Cb", "a%25b", "a%2500b", "a%3Bb", "a;b", "a,b", "a=b", "a!b", "a*b",
    "a'b", "a(b", "a$b", "a&b", "a%22b", "a%3Cb", "a%5Bb", "a%7Cb", "a%5Eb", "a%60b",
    ".a", "%2Ea", "%2E%2E", "%2E", "...", "a%2F.b", "a%2F%2E%2E%2Fb", "..%2Fa",
    "a%2F%2Fb", "%2Fa", "a%2F", "%2F", "__ds", "__ds%2Fa", "x" * 201, "x%2F" * 100 + "x",
]  # fmt: skip
IN_SEVERAL: Final = ["a//b", "a/.b", "a/", "/a", "__ds/a", "a/b%0A", "a/%2E%2E/b", "x/" * 100 + "x"]

AT_ANY_PATH: Final = [
    ("GET", "/v1/stream/{}"),
    ("GET", "/v1/stream/{}?offset=-1&live=long-poll"),
    ("GET", "/v1/stream/{}?offset=-1&live=sse"),
    ("PUT", "/v1/stream/{}"),
    ("POST", "/v1/stream/{}"),
    ("DELETE", "/v1/stream/{}"),
    ("HEAD", "/v1/stream/{}"),
    ("GET", "/v1/live/{}"),
    ("GET", "/v1/live/{}?wait=true"),
]
IN_A_SEGMENT: Final = [
    ("POST", "/api/chat/{}"),
    ("GET", "/api/chat/{}"),
    ("GET", "/api/chat/{}/stream"),
    ("POST", "/api/chat/{}/stop"),
    ("GET", "/api/chat/{}/stream/g"),
]
SAID: Final = {"messages": [{"role": "user", "content": "Hello", "id": "1"}]}

Client = TestClient[Any, Any]


async def _refused(client: Client, method: str, path: str) -> None:
    more: dict[str, Any] = {"json": SAID} if method in ("PUT", "POST") else {}
    async with client.request(method, URL(path, encoded=True), **more) as said:
        held = await said.text()
        assert said.status == 400, (method, path, held)
        if method == "HEAD":
            return
        if path.startswith("/api/chat") and not held.startswith("{"):
            assert held.startswith("a stream name "), (method, path, held)
        else:
            assert "bad_name" in held, (method, path, held)


@pytest.mark.parametrize(("method", "path"), [*AT_ANY_PATH, *IN_A_SEGMENT])
async def test_a_bad_name_is_400_everywhere(method: str, path: str, start_hub: StartHub) -> None:
    running = await start_hub()
    names = IN_ONE_SEGMENT + (IN_SEVERAL if (method, path) in AT_ANY_PATH else [])
    for name in names:
        await _refused(running.client, method, path.replace("{}", name))
    assert running.hub.streams.held == 0


@pytest.mark.parametrize("name", ["a\nb", "a\0", "", ".", "流", "x" * 201, "a//b", " a"])
async def test_a_bad_name_in_a_body_is_400_too(name: str, start_hub: StartHub) -> None:
    running = await start_hub()
    asked = {"prompt": "Hello", "stream": name}
    async with running.client.post("/v1/generations", json=asked) as said:
        assert (said.status, (await said.json())["error"]["code"]) == (400, "bad_name")
    async with running.client.post("/api/chat", json={**SAID, "id": name}) as said:
        assert said.status == 400
        assert (await said.text()).startswith("a stream name ")
    headers = {"Content-Type": "application/json"}
    async with running.client.ws_connect("/v1/ws") as socket:
        for command in (
            {"type": "subscribe", "stream": name},
            {"type": "subscribe", "stream": name, "wait": True},
            {"type": "append", "stream": name, "event": {}},
            {"type": "generate", "stream": name, "prompt": "Hello"},
            {"type": "fork", "stream": name, "source": "s"},
            {"type": "fork", "stream": "s", "source": name},
        ):
            await socket.send_json(command)
            reply = await socket.receive_json()
            assert (reply["type"], reply["code"]) == ("error", "bad_name"), command
    source = {**headers, "Stream-Forked-From": f"/v1/stream/{name}"}
    if name.isprintable() and name.isascii() and name.strip():
        async with running.client.put("/v1/stream/s", headers=source) as said:
            assert (said.status, (await said.json())["error"]["code"]) == (400, "bad_name")
    assert running.hub.streams.held == 0


async def test_a_name_at_its_longest_is_good(start_hub: StartHub) -> None:
    running = await start_hub()
    async with running.client.put(f"/v1/stream/{'x' * 200}") as said:
        assert said.status == 201
    async with running.client.put("/v1/stream/a%2Fb") as said:
        assert said.status == 201
    async with running.client.head("/v1/stream/a/b") as said:
        assert said.status == 200


async def test_an_id_that_no_generation_has_is_404(start_hub: StartHub) -> None:
    running = await start_hub()
    for name in IN_ONE_SEGMENT:
        for method in ("GET", "DELETE"):
            path = URL(f"/v1/generations/{name}", encoded=True)
            async with running.client.request(method, path) as said:
                assert said.status == 404
                assert (await said.json())["error"]["code"] == "generation_not_found"
