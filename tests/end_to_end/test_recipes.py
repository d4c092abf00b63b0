"""Every snippet of RECIPES.md runs as it stands there, with another address in it.

What is put in its place: ``127.0.0.1:7000`` becomes the address of a hub that runs here, whose
upstream ``demo`` is aimock; the address of a provider becomes aimock's, which speaks all their
formats. A recipe is found by its heading, so a new one is run without a line here.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from playwright.sync_api import expect

from hub import HUB, Config, dialects, make_app
from hub.auth.api_keys import new_key
from hub.domain.prompt import Prompt
from tests.browser.pages import Pages
from tests.conftest import Running, StartHub
from tests.support.aimock import aimock, reply
from tests.support.patience import PATIENCE
from web.node import find_node

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILE = ROOT / "RECIPES.md"
README = ROOT / "README.md"
PROMPT = "Tell me a story"
STORY = "Es war einmal 👨‍👩‍👧 — 从前有一个小女孩 — and that is all there is."
HUB_AT = "127.0.0.1:7000"


class Recipe(NamedTuple):
    part: str
    name: str
    language: str
    text: str


def read() -> list[Recipe]:
    """The fenced blocks of the file, each below its heading."""
    found, part, name = [], "", ""
    pieces = re.split(r"(?m)^(## .*|### .*|```\w+\n(?:.*\n)*?```)$", FILE.read_text("utf-8"))
    for piece in pieces:
        if piece.startswith("### "):
            name = piece[4:]
        elif piece.startswith("## "):
            part = piece[3:]
        elif piece.startswith("```"):
            language, _, text = piece[3:].removesuffix("```").partition("\n")
            found.append(Recipe(part, name, language, text))
    return found


RECIPES = read()
CLIENTS = [recipe for recipe in RECIPES if recipe.part == "Clients"]
WITH_TOKEN = [recipe for recipe in RECIPES if recipe.part == "Clients with a token"]
PROVIDERS = [recipe for recipe in RECIPES if recipe.part == "Providers"]
ASKS = "A hub that asks for a token"
MADE = "A token for it"

SAID = {
    "OpenAI": "https://api.openai.com/v1/chat/completions",
    "OpenAI, Responses": "https://api.openai.com/v1/responses",
    "Azure OpenAI": "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT/chat/completions"
    "?api-version=2024-10-21",
    "Anthropic": "https://api.anthropic.com/v1/messages",
    "Gemini": "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
    ":streamGenerateContent?alt=sse",
    "Cohere": "https://api.cohere.com/v2/chat",
    "Ollama": "http://127.0.0.1:11434/api/chat",
    "vLLM": "http://127.0.0.1:8000/v1/chat/completions",
    "llama.cpp": "http://127.0.0.1:8080/v1/chat/completions",
    "LiteLLM": "http://127.0.0.1:4000/v1/chat/completions",
    "OpenRouter": "https://openrouter.ai/api/v1/chat/completions",
    "DeepSeek": "https://api.deepseek.com/v1/chat/completions",
}
"""The address that each provider's own documents say, and the header that shows the key."""
KEYS = {"Anthropic": "x-api-key", "Gemini": "x-goog-api-key", "Azure OpenAI": "api-key"}

KNOWN = re.compile(r"/openai/deployments/|/v1beta$|/v1$|^$")
"""Paths that aimock serves under; another's are `/v1` there."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with aimock(reply(PROMPT, STORY), reply("poem", STORY)) as url:
        yield url


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with Pages() as made:
        yield made


@pytest.fixture
async def hub(start_hub: StartHub, upstream: str) -> Running:
    return await start_hub(upstreams={"demo": table(upstream)})


@pytest.fixture
async def guarded(start_hub: StartHub, upstream: str, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A hub with the grants of the recipes; the environment has Alice's key."""
    (asks,) = (recipe for recipe in WITH_TOKEN if recipe.name == ASKS)
    key, name, digest = new_key()
    alice = {"id": name, "sha256": digest.hex(), "user": "alice"}
    monkeypatch.setenv("STREAMHUB_TOKEN", key)
    auth = {**tomllib.loads(asks.text)["auth"], "keys": {"mine": alice}}
    hub = await start_hub(auth=auth, server={"origins": ["*"]}, upstreams={"demo": table(upstream)})
    async with hub.client.get("/v1/models") as refused:
        assert refused.status == 401
    return hub


def table(upstream: str) -> dict[str, str]:
    return {"dialect": "openai-chat", "url": f"{upstream}/v1", "model": "gpt-4o"}


def test_the_recipes_are_read() -> None:
    assert len(CLIENTS) >= 15
    assert {recipe.language for recipe in RECIPES} == {"python", "js", "html", "console", "toml"}
    assert {recipe.name for recipe in PROVIDERS} == {*SAID, "A fallback for another upstream"}
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    assert len(WITH_TOKEN) >= 17
    clients = [recipe for recipe in WITH_TOKEN if recipe.name not in (ASKS, MADE)]
    assert all(HUB_AT in recipe.text for recipe in CLIENTS + clients)


# Clients


def named(recipes: list[Recipe], *languages: str) -> pytest.MarkDecorator:
    chosen = [recipe for recipe in recipes if recipe.language in languages]
    return pytest.mark.parametrize("recipe", chosen, ids=lambda recipe: recipe.name)


def address(hub: Running) -> str:
    return f"127.0.0.1:{hub.client.server.port}"


async def run(*command: str, given: str = "", cwd: Path = HERE) -> str:
    """What a command writes; it must succeed and say nothing else."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, wrong = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, wrong.decode()
    # AG-UI's client names every field that is not the protocol's own.
    assert not re.sub(rb"(?m)^\[ag-ui\].*\n", b"", wrong), wrong.decode()
    return out.decode()


@named(CLIENTS, "python")
async def test_python(recipe: Recipe, hub: Running) -> None:
    text = recipe.text.replace(HUB_AT, address(hub))
    assert await run(sys.executable, "-W", "error", "-", given=text) == STORY


async def test_the_client_in_the_readme(hub: Running) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (text,) = (block for block in blocks if "hub.client" in block)
    text = text.replace(HUB_AT, address(hub))
    assert await run(sys.executable, "-W", "error", "-", given=text) == STORY


@named(CLIENTS, "js")
async def test_javascript(recipe: Recipe, hub: Running) -> None:
    text = recipe.text.replace(HUB_AT, address(hub))
    assert await run(*find_node().node, "--input-type=module", "-", given=text) == STORY


@named(CLIENTS, "html")
async def test_in_a_page(recipe: Recipe, start_hub: StartHub, upstream: str, pages: Pages) -> None:
    hub = await start_hub(server={"origins": ["*"]}, upstreams={"demo": table(upstream)})
    await works_in_a_page(recipe, hub, pages)


async def works_in_a_page(recipe: Recipe, hub: Running, pages: Pages) -> None:
    """As a page of another origin, which the hub allows, and whose application issues tokens."""
    body = recipe.text.replace(HUB_AT, address(hub))

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="text/html")

    async def issue(_: web.Request) -> web.Response:
        return web.Response(text=os.environ.get("STREAMHUB_TOKEN", ""))

    app = web.Application()
    app.router.add_get("/", show)
    app.router.add_get("/token", issue)
    async with TestServer(app) as server:
        await pages.show(
            str(server.make_url("/")),
            lambda page: expect(page.locator("#answer")).to_have_text(
                STORY, timeout=PATIENCE * 1000
            ),
        )


@named(CLIENTS, "console")
async def test_in_a_shell(recipe: Recipe, hub: Running) -> None:
    await works_in_a_shell(recipe, hub)


async def works_in_a_shell(recipe: Recipe, hub: Running) -> None:
    text = recipe.text.replace(HUB_AT, address(hub)).replace("--max-time 5", "--max-time 3")
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert len(commands) == len(text.splitlines())
    for command in commands:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(os.path.expandvars(command)), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        said = out.decode()
        if "/v1/live/" in command:
            assert said == STORY
            assert process.returncode == 28  # it was told to stop
        else:
            assert process.returncode == 0
        if "completions" in command:
            assert "".join(re.findall(r'"content":"([^"]*)"', said)) == STORY
            assert said.endswith("data: [DONE]\n\n")


# Clients with a token


@named(WITH_TOKEN, "python")
async def test_python_with_a_token(recipe: Recipe, guarded: Running) -> None:
    await test_python(recipe, guarded)


@named(WITH_TOKEN, "js")
async def test_javascript_with_a_token(recipe: Recipe, guarded: Running) -> None:
    await test_javascript(recipe, guarded)


@named(WITH_TOKEN, "html")
async def test_in_a_page_with_a_token(recipe: Recipe, guarded: Running, pages: Pages) -> None:
    await works_in_a_page(recipe, guarded, pages)


@named([recipe for recipe in WITH_TOKEN if recipe.name != MADE], "console")
async def test_in_a_shell_with_a_token(recipe: Recipe, guarded: Running) -> None:
    await works_in_a_shell(recipe, guarded)


# Providers


def here(recipe: Recipe, upstream: str) -> str:
    """The table with aimock in the provider's place."""

    def put(found: re.Match[str]) -> str:
        path = urlsplit(found[1]).path
        return f'url = "{upstream}{path if KNOWN.search(path) else "/v1"}"'

    return re.sub(r'url = "([^"]+)"', put, recipe.text)


def keys(text: str) -> dict[str, str]:
    return dict.fromkeys(re.findall(r'api_key_env = "(\w+)"', text), "secret")


@named(PROVIDERS, "toml")
async def test_a_provider(recipe: Recipe, upstream: str, tmp_path: Path) -> None:
    """A hub with exactly this file answers."""
    text = here(recipe, upstream)
    name = next(iter(tomllib.loads(recipe.text)["upstreams"]))
    if "default_upstream" not in text:
        text = f'default_upstream = "{name}"\n{text}'
    file = tmp_path / "config.toml"
    file.write_text(f'{text}\n[store]\nurl = "memory:"\n', "utf-8")
    app = make_app(Config.load(file, {}), environ=keys(text))
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/v1/generations", json={"prompt": PROMPT})
        generation = await answer.json()
        await asyncio.wait_for(app[HUB].generations.wait(generation["id"]), PATIENCE)
        shown = await client.get(f"/v1/live/{generation['stream']}?format=text")
        assert await shown.text() == STORY
        final = await (await client.get(f"/v1/generations/{generation['id']}")).json()
    assert (final["state"], final["reason"]) == ("finished", "stop")


@named([recipe for recipe in PROVIDERS if recipe.name in SAID], "toml")
def test_a_provider_is_asked_where_it_says(recipe: Recipe) -> None:
    """The address and the header of the key are those of the provider's documents."""
    read = tomllib.loads(recipe.text) | {"default_upstream": _name(recipe)}
    upstream = Config.model_validate(read).upstreams[_name(recipe)]
    dialect = dialects.find(upstream.dialect)(upstream.options)
    call = dialect.call(Prompt(({"role": "user", "content": PROMPT},), upstream.model))
    query = "&".join(f"{key}={value}" for key, value in upstream.query.items())
    asked = f"{upstream.url}{call.path}" + (f"?{query}" if query else "")
    assert asked == SAID[recipe.name]
    shown = upstream.api_key_header or call.key.name
    assert shown == KEYS.get(recipe.name, "Authorization")


def _name(recipe: Recipe) -> str:
    return str(next(iter(tomllib.loads(recipe.text)["upstreams"])))
