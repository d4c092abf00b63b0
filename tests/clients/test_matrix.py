"""Every provider's format in, every client out: each pair is really asked.

aimock, which this project did not write, speaks the providers' formats; the servers of plain
text and of JSON objects are a few lines here. Each client is used as its documents say, and asks
all providers in one process. What it must be told is what the provider said: the text, that it
is complete, and the tokens where the provider counts them. The table in `docs/interfaces.md` is
made here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import async_playwright
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from hub.client import Delta, Finished, Hub, SyncHub
from tests.browser.chromium import ARGUMENTS, STARTS, find_chromium
from tests.clients.asking import Question, ask
from tests.clients.chats import chats
from tests.clients.node import told
from tests.conftest import StartHub
from tests.support.aimock import aimock, reply
from tests.support.patience import PATIENCE

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "interfaces.md"
PROMPT: Final = "Hello!"
BY_TOOL: Final = "Say it by a tool."
BY_SCHEMA: Final = "Say it as JSON."
TEXT: Final = "Es war einmal 👨‍👩‍👧‍👦 — 从前, `<br>`\n\ndata: [DONE]\n\n."
NATIVE: Final = [
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
    ("promptTokenCount", "candidatesTokenCount"),
]
"""How the providers call the tokens of the question and of the answer."""

AIMOCK: Final = {
    "openai-chat": "/v1",
    "openai-responses": "/v1",
    "anthropic": "/v1",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "",
}
PROVIDERS: Final = (*AIMOCK, "json", "text", "demo")
USAGE: Final = 7, 5
"""Tokens of the question and of the answer, as aimock is told to count them."""
FORMED: Final = tuple(AIMOCK)
"""Whose answers take a form that is asked for."""
TOOLLESS: Final = frozenset({"ollama"})
"""Who calls a tool or not, whatever it is told."""
UNCOUNTED: Final = frozenset({"ollama", "json", "text"})
"""Who says nothing of tokens here: aimock counts none in Ollama's format, and the others have no
place for it. The hub then counts pieces, and says that it is an estimate."""


class Told(NamedTuple):
    """What a client makes of an answer."""

    text: str
    finish: str | None
    usage: tuple[int, int] | None


Cells = Sequence[Told | None]
"""Of each provider; ``None`` where the client asks for more than it can do."""


@pytest.fixture(scope="module")
def providers() -> Iterator[str]:
    # Two units a piece: an emoji is cut in two.
    formed = json.dumps({"text": TEXT})
    answers = [reply(PROMPT, TEXT, size=3), reply(BY_SCHEMA, formed), reply(BY_TOOL, "")]
    answers[2]["response"] = {"toolCalls": [{"name": "Answer", "arguments": formed}]}
    names = [name for pair in NATIVE for name in pair]
    for answer in answers:
        answer["response"]["usage"] = dict(zip(names, USAGE * len(NATIVE), strict=True))
    with aimock(*answers) as url:
        yield url


@pytest.fixture
async def simple() -> AsyncIterator[str]:
    """The servers that know no provider's format."""

    async def text(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["prompt"] == PROMPT
        return web.Response(text=TEXT)

    async def objects(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["messages"][-1]["content"] == PROMPT
        body = "".join(json.dumps({"text": character}) for character in TEXT)
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/text", text)
    app.router.add_post("/json", objects)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def url(providers: str, simple: str, start_hub: StartHub) -> str:
    tables: dict[str, Any] = {
        name: {"dialect": name, "url": providers + path, "model": "m-1"}
        for name, path in AIMOCK.items()
    }
    for name in ("json", "text"):
        tables[name] = {"dialect": name, "url": f"{simple}/{name}"}
    hub = await start_hub(upstreams=tables, server={"origins": ["*"]})
    return str(hub.client.make_url("")).rstrip("/")


def of_events(events: list[dict[str, Any]]) -> Told:
    """From the events of a stream, as they stand in it."""
    text = "".join(event.get("text", "") for event in events if event["type"] == "delta")
    last = events[-1]
    usage = last.get("usage", {})
    counts = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    return Told(text, last.get("reason"), counts)


# The clients


async def by_hub_client(url: str) -> Cells:
    found = []
    async with Hub(url) as hub:
        for name in PROVIDERS:
            text = ""
            async for event in hub.answer(await hub.generate(PROMPT, upstream=name)):
                if isinstance(event, Delta):
                    text += event.text
            assert isinstance(event, Finished)
            assert event.usage is not None
            usage = event.usage.prompt_tokens or 0, event.usage.completion_tokens or 0
            found.append(Told(text, event.reason, usage))
    return found


async def by_sync_hub(url: str) -> Cells:
    def asked() -> Cells:
        found = []
        with SyncHub(url) as hub:
            for name in PROVIDERS:
                generation = hub.generate(PROMPT, upstream=name)
                events = list(hub.answer(generation))
                text = "".join(event.text for event in events if isinstance(event, Delta))
                assert isinstance(events[-1], Finished)
                usage = events[-1].usage
                assert usage is not None
                counts = usage.prompt_tokens or 0, usage.completion_tokens or 0
                found.append(Told(text, events[-1].reason, counts))
        return found

    return await asyncio.to_thread(asked)


def by_openai(client: str) -> Callable[[str], Awaitable[Cells]]:
    async def asked(url: str) -> Cells:
        questions = [Question(name, PROMPT) for name in PROVIDERS]
        found = []
        for heard in await ask(client, f"{url}/v1", *questions):
            assert heard.error is None
            assert heard.usage is not None
            counts = [heard.usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
            if None in counts:
                counts = [heard.usage[key] for key in ("input_tokens", "output_tokens")]
            finish = "stop" if heard.finish == "completed" else heard.finish
            found.append(Told(heard.text, finish, (counts[0] or 0, counts[1] or 0)))
        return found

    return asked


async def by_instructor(url: str) -> Cells:
    """An object that has the text, by a tool call; where none can be forced, by a JSON schema."""
    questions = [
        Question(name, BY_SCHEMA if name in TOOLLESS else BY_TOOL, schema=name in TOOLLESS)
        for name in FORMED
    ]
    found = {}
    answers = await ask("instructor chat whole", f"{url}/v1", *questions)
    for question, heard in zip(questions, answers, strict=True):
        assert heard.error is None
        assert heard.usage is not None
        assert heard.finish == ("stop" if question.schema else "tool_calls")
        usage = heard.usage["prompt_tokens"], heard.usage["completion_tokens"]
        found[question.model] = Told(heard.text, "stop", usage)
    return [found.get(name) for name in PROVIDERS]


async def by_websockets(url: str) -> Cells:
    found = []
    for name in PROVIDERS:
        events: list[dict[str, Any]] = []
        async with connect(
            f"{url.replace('http', 'ws')}/v1/ws",
            subprotocols=[Subprotocol("hub.v1")],
            open_timeout=PATIENCE,
        ) as socket:
            stream = f"websockets/{name}"
            for command in (
                {"type": "subscribe", "stream": stream, "from": "start", "wait": True},
                {"type": "generate", "stream": stream, "upstream": name, "prompt": PROMPT},
            ):
                await socket.send(json.dumps(command))
            async for frame in socket:
                events += json.loads(frame).get("events", [])
                if events and events[-1]["type"] in ("finished", "failed"):
                    break
        found.append(of_events(events))
    return found


async def by_curl(url: str) -> Cells:
    found = []
    for name in PROVIDERS:
        body = {
            "model": name,
            "messages": [{"role": "user", "content": PROMPT}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sN", f"{url}/v1/chat/completions", "-d", json.dumps(body)),
            *("-H", "Content-Type: application/json"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        *lines, done = re.findall(r"(?m)^data: (.*)$", out.decode())
        assert (process.returncode, done) == (0, "[DONE]")
        chunks = [json.loads(line) for line in lines]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        usage = chunks[-1]["usage"]
        counts = usage["prompt_tokens"], usage["completion_tokens"]
        found.append(Told(text, choices[-1]["finish_reason"], counts))
    return found


def by_node(client: str, version: int | None = None) -> Callable[[str], Awaitable[Cells]]:
    async def asked(url: str) -> Cells:
        asks = {"models": PROVIDERS, "prompt": PROMPT}
        given = {"client": client, "version": version, "url": url, **asks}
        found = []
        for held in await told("matrix.mjs", given):
            first, second = held["usage"]
            found.append(Told(held["text"], held["finish"], (first or 0, second or 0)))
        return found

    return asked


def by_use_chat(transport: str, version: int = 6) -> Callable[[str], Awaitable[Cells]]:
    async def asked(url: str) -> Cells:
        found = []
        # What the transport of Durable Streams reads is the address of the answer alone.
        more = {"headers": {"Accept": "application/json"}} if transport == "durable" else {}
        async with chats() as clients:
            for name in PROVIDERS:
                api = f"{url}/api/chat?upstream={name}"
                chat = await clients.open(
                    name, id=f"{transport}/{name}".replace("/", "-"), api=api,
                    transport=transport, version=version, **more,
                )  # fmt: skip
                await chat.send(PROMPT)
                state = await chat.until(status="ready", text=".")
                assert state["errors"] == []
                usage = state["messages"][-1]["metadata"]["usage"]
                counts = usage.get("inputTokens") or 0, usage.get("outputTokens") or 0
                found.append(Told(state["text"], state["finishes"][-1]["finishReason"], counts))
        return found

    return asked


async def by_tanstack(url: str) -> Cells:
    found = []
    async with chats() as clients:
        for name in PROVIDERS:
            chat = await clients.open(
                name, kind="tanstack", id=name,
                sendUrl=f"{url}/api/chat/tanstack-{name}?upstream={name}",
                readUrl=f"{url}/api/chat/tanstack-{name}",
            )  # fmt: skip
            await chat.call("send", PROMPT)
            state = await chat.until(text=".", busy=False)
            assert state["errors"] == []
            end = next(c for c in state["chunks"] if c["type"] == "RUN_FINISHED")
            usage = end["usage"]
            counts = usage.get("promptTokens") or 0, usage.get("completionTokens") or 0
            found.append(Told(state["text"], end["finishReason"], counts))
    return found


def in_a_page(client: str) -> Callable[[str], Awaitable[Cells]]:
    async def asked(url: str) -> Cells:
        script = (Path(__file__).parent / "matrix.js").read_text("utf-8").partition("\n")[2]
        given = json.dumps([url, client, PROVIDERS, PROMPT])
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=str(find_chromium()), args=list(ARGUMENTS), timeout=STARTS
            )
            page = await browser.new_page()
            # Any page of the hub's own origin will do that has no policy against scripts.
            await page.goto(f"{url}/livez")
            held = await page.evaluate(f"({script.strip()})(...{given})")
            await browser.close()
        return [
            Told(one["text"], one["finish"], (one["usage"][0] or 0, one["usage"][1] or 0))
            for one in held
        ]

    return asked


CLIENTS: Final[dict[str, Callable[[str], Awaitable[Cells]]]] = {
    "hub.client": by_hub_client,
    "hub.client without async": by_sync_hub,
    "Python openai, chat": by_openai("python chat stream"),
    "Python openai, Responses": by_openai("python responses stream"),
    "Python openai with strict validation, chat": by_openai("strict-python chat stream"),
    "Python openai with strict validation, Responses": by_openai("strict-python responses stream"),
    "langchain-openai, chat": by_openai("langchain chat stream"),
    "langchain-openai, Responses": by_openai("langchain responses stream"),
    "pydantic-ai, chat": by_openai("pydantic-ai chat stream"),
    "pydantic-ai, Responses": by_openai("pydantic-ai responses stream"),
    "llama-index-llms-openai-like": by_openai("llama-index chat stream"),
    "litellm": by_openai("litellm chat stream"),
    "instructor": by_instructor,
    "Python websockets": by_websockets,
    "curl -N": by_curl,
    "npm openai, chat": by_openai("npm chat stream"),
    "npm openai, Responses": by_openai("npm responses stream"),
    "npm ai 5, @ai-sdk/openai-compatible": by_node("ai", 5),
    "npm ai 6, @ai-sdk/openai-compatible": by_node("ai", 6),
    "npm ai 7, @ai-sdk/openai-compatible": by_node("ai", 7),
    "useChat of ai 5": by_use_chat("default", 5),
    "useChat of ai 6": by_use_chat("default", 6),
    "useChat of ai 7": by_use_chat("default", 7),
    "useChat, @durable-streams/aisdk-transport": by_use_chat("durable"),
    "TanStack AI, @durable-streams/tanstack-ai-transport": by_tanstack,
    "@durable-streams/client": by_node("durable"),
    "EventSource": in_a_page("EventSource"),
    "WebSocket in a page": in_a_page("WebSocket"),
}


def asked_by(client: str) -> tuple[str, ...]:
    return FORMED if client == "instructor" else PROVIDERS


async def of_the_demo(url: str) -> Told:
    """What the demo says, which it makes up itself, as it stands in the stream of its answer."""
    async with Hub(url) as hub:
        events = [event async for event in hub.answer(await hub.generate(PROMPT, upstream="demo"))]
    text = "".join(event.text for event in events if isinstance(event, Delta))
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.usage is not None
    assert end.usage.prompt_tokens
    assert end.usage.completion_tokens
    return Told(text, "stop", (end.usage.prompt_tokens, end.usage.completion_tokens))


@pytest.mark.parametrize("client", CLIENTS)
async def test_every_provider_to(client: str, url: str) -> None:
    counted = {name: None if name in UNCOUNTED else USAGE for name in PROVIDERS}
    wanted: dict[str, Told | None] = {name: Told(TEXT, "stop", counted[name]) for name in PROVIDERS}
    wanted["demo"] = await of_the_demo(url)
    for name in set(PROVIDERS) - set(asked_by(client)):
        wanted[name] = None
    found = dict(zip(PROVIDERS, await CLIENTS[client](url), strict=True))
    for name in UNCOUNTED:
        if (told := found[name]) is not None:
            found[name] = told._replace(usage=None)
    assert found == wanted


def table() -> str:
    """The matrix as `docs/interfaces.md` shows it: ● text, end and tokens; ○ text and end."""
    lines = [f"| | {' | '.join(PROVIDERS)} |", f"|---|{':-:|' * len(PROVIDERS)}"]
    for client in CLIENTS:
        asked = asked_by(client)
        cells = [
            ("○" if name in UNCOUNTED else "●") if name in asked else "–" for name in PROVIDERS
        ]
        lines.append(f"| {client} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_documents_show_this_table() -> None:
    assert table() in DOCUMENT.read_text("utf-8")
