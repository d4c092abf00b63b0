"""A key is shown to its upstream and to nobody else, however loudly that repeats it."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

import pytest

from hub import Config
from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, openai_sse, refusal

# Of no known form, so that no pattern masks them; and JSON may write a slash in two ways.
KEY: Final = "9f8a2b/61c9d0+e7f3="
HEADER: Final = "a41f77de90bb"
QUERY: Final = "c0ffee5512ab"
SECRETS: Final = (KEY, HEADER, QUERY)

SAID: Final = f"wrong key {KEY}, account {HEADER}, project {QUERY}"
COMPLAINT: Final = json.dumps({"error": {"message": SAID, "code": 401}}).encode()
ESCAPED: Final = COMPLAINT.replace(b"/", b"\\/").replace(b"+", b"\\u002b").replace(b"=", b"\\u003d")


def whole(body: bytes, status: int, kind: str = "application/json") -> Answer:
    return Answer(body, status=status, reason=f"No {KEY}", type=kind)


ANSWERS: Final = {
    "refused": whole(COMPLAINT, 401),
    "escaped": whole(ESCAPED, 403),
    "page": whole(f"<html><title>{SAID}</title></html>".encode(), 400, "text/html"),
    "text": whole(SAID.encode(), 400, "text/plain"),
    "again": refusal(503, SAID),
    "in mid-stream": Answer(openai_sse("Hel")[0], b"data: " + COMPLAINT + b"\n\n"),
    "escaped in mid-stream": Answer(openai_sse("Hel")[0], b"data: " + ESCAPED + b"\n\n"),
    "redirect": Answer(b"", status=302, headers={"Location": f"http://{KEY}@x/?{QUERY}"}),
}

HELLO: Final[list[dict[str, str]]] = [{"role": "user", "content": "hello"}]
PARTS: Final = [{"type": "text", "text": "hello"}]
ROUTES: Final[list[tuple[str, dict[str, Any]]]] = [
    ("/v1/generations", {"prompt": "hello", "stream": "asked"}),
    ("/v1/chat/completions", {"model": "keyed", "messages": HELLO, "stream": True}),
    ("/v1/chat/completions", {"model": "keyed", "messages": HELLO}),
    ("/v1/responses", {"model": "keyed", "input": "hello"}),
    ("/v1/responses", {"model": "keyed", "input": "hello", "stream": True}),
    ("/api/chat", {"id": "chat", "messages": [{"role": "user", "parts": PARTS}]}),
    ("/stream_data_to_frontend_test", {"messages": HELLO}),
]  # fmt: skip


async def keyed(start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, url: str) -> Running:
    monkeypatch.setenv("HIDDEN_KEY", KEY)
    table = {
        "dialect": "openai-chat",
        "url": url,
        "model": "m",
        "api_key_env": "HIDDEN_KEY",
        "headers": {"X-Account": HEADER},
        "query": {"project": QUERY},
        "retries": 1,
        "max_retry_wait": 1.0,
    }
    server = {"list_streams": True}
    return await start_hub(upstreams={"keyed": table}, default_upstream="keyed", server=server)


@pytest.mark.parametrize("named", ANSWERS)
async def test_no_words_of_an_upstream_bring_a_key_to_anybody(
    named: str,
    start_hub: StartHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("random.uniform", lambda *_: 0.01)
    async with Scripted() as upstream:
        running = await keyed(start_hub, monkeypatch, upstream.url)
        upstream.answers(*[ANSWERS[named]] * 2 * len(ROUTES))
        seen = ""
        for path, body in ROUTES:
            async with running.client.post(path, json=body) as response:
                seen += f"{dict(response.headers)}{await response.text()}"
        await eventually(lambda: not running.hub.generations.active)
        async with running.client.get("/v1/streams") as response:
            streams = [stream["name"] for stream in (await response.json())["streams"]]
        assert "asked" in streams
        for stream in streams:
            async with running.client.get(f"/v1/stream/{stream}?offset=-1") as response:
                seen += await response.text()
        assert "upstream" in seen
        assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert upstream.requests[0].headers["x-account"] == HEADER
        assert QUERY in upstream.requests[0].target
    for secret in SECRETS:
        assert secret not in seen
        assert secret not in caplog.text


async def test_no_page_of_the_hub_has_a_key(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await keyed(start_hub, monkeypatch, "http://127.0.0.1:9")
    seen = ""
    for path in ("/docs", "/docs/openapi.json", "/v1/models", "/metrics", "/readyz", "/livez"):
        async with running.client.get(path) as response:
            seen += f"{dict(response.headers)}{await response.text()}"
    for secret in SECRETS:
        assert secret not in seen


async def test_what_holds_a_key_does_not_show_it(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a log of an exception with its variables would."""
    running = await keyed(start_hub, monkeypatch, "http://127.0.0.1:9")
    upstream = running.hub.upstreams.find("keyed")
    table = {"dialect": "demo", "headers": {"a": HEADER}, "query": {"key": QUERY}}
    config = Config.model_validate({"upstreams": {"demo": table}})
    shown = (
        f"{upstream!r} {running.hub!r} {config!r} {config} {config.shown()} {config.upstreams!r}"
    )
    for secret in SECRETS:
        assert secret not in shown
