"""The hub connects to what the configuration names and to nothing else.

Whatever a prompt, a redirect or the environment would have it call is a port here at which
nobody may knock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import StartHub
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, openai_sse


class Inside:
    """A port that only the machine itself can reach."""

    def __init__(self) -> None:
        self.url = ""
        self.knocks = 0

    async def knock(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks += 1
        writer.close()


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    made = Inside()
    async with await asyncio.start_server(made.knock, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


async def told(start_hub: StartHub, upstream: Scripted, dialect: str, content: Any) -> str:
    """What becomes of a prompt: what the upstream was sent, then what the client was told."""
    table = {"dialect": dialect, "url": upstream.url, "model": "m", "retries": 0}
    client = (await start_hub(upstreams={"u": table}, default_upstream="u")).client
    asked = {"model": "u", "messages": [{"role": "user", "content": content}]}
    async with client.post("/v1/chat/completions", json=asked) as response:
        answer = await response.text()
    return "".join(request.body.decode() for request in upstream.requests) + answer


@pytest.mark.parametrize(
    "dialect",
    ["openai-chat", "openai-responses", "anthropic", "gemini", "cohere", "ollama", "json", "text"],
)
async def test_pictures_are_not_fetched_but_passed_on_or_refused(
    dialect: str, inside: Inside, start_hub: StartHub
) -> None:
    url = f"{inside.url}/latest/meta-data"
    async with Scripted() as upstream:
        upstream.answers(Answer(*openai_sse("a cat")))
        picture = {"type": "image_url", "image_url": {"url": url}}
        seen = await told(start_hub, upstream, dialect, [{"type": "text", "text": "?"}, picture])
    if dialect == "text":
        assert url not in seen  # it takes words alone
    else:
        assert url in seen or "pictures must be data: URLs" in seen
    assert inside.knocks == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(status: int, inside: Inside, start_hub: StartHub) -> None:
    async with Scripted() as upstream:
        upstream.answers(Answer(b"", status=status, headers={"Location": inside.url}))
        seen = await told(start_hub, upstream, "openai-chat", "hello")
    assert "upstream_rejected" in seen
    assert inside.knocks == 0


async def test_no_proxy_of_the_environment_is_asked(
    inside: Inside, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, inside.url)
    async with Scripted() as upstream:
        upstream.answers(Answer(*openai_sse("hello")))
        assert "hello" in await told(start_hub, upstream, "openai-chat", "hello")
        assert len(upstream.requests) == 1
    assert inside.knocks == 0
