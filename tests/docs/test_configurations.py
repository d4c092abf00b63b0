"""Each configuration in the documents on security works as it stands there."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, NamedTuple

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer

from hub import HUB, Config, make_app
from hub.auth.api_keys import ApiKey, new_key
from hub.auth.stored_keys import row_of
from hub.cli.open_access import openings
from hub.domain.permissions import Grant, StreamPattern

DOCS: Final = Path(__file__).parents[2] / "docs"
SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
"""What does for a secret of any kind."""
HELLO: Final = {"type": "message", "role": "user", "text": "Hello"}

Client = TestClient[Any, Any]


class Block(NamedTuple):
    page: str
    heading: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of TOML in a page, each below its heading."""
    found, heading = [], ""
    pieces = re.split(
        r"(?m)^(#+ .*|[ ]*```toml\n(?:.*\n)*?[ ]*```)$", (DOCS / page).read_text("utf-8")
    )
    for piece in pieces:
        if piece.startswith("#"):
            heading = piece.lstrip("# ")
        elif piece.lstrip().startswith("```toml"):
            text = dedent(piece).removeprefix("```toml\n").removesuffix("```")
            found.append(Block(page, heading, text))
    return found


SET_UPS: Final = {block.heading: block for block in blocks("security.md")}
BLOCKS: Final = [
    *SET_UPS.values(),
    *blocks("authentication.md"),
    *blocks("operations.md"),
    *blocks("upgrading.md"),
]


def configured(block: Block, folder: Path) -> tuple[Config, dict[str, str]]:
    """A configuration with nothing more than a store, and the environment that it asks for."""
    file = folder / "config.toml"
    file.write_text(f'{block.text}\n[store]\nurl = "memory:"\n', "utf-8")
    environ = dict.fromkeys(re.findall(r'_env = "(\w+)"', block.text), SECRET)
    return Config.load(file, {}), environ


def test_the_blocks_are_read() -> None:
    assert len(SET_UPS) == 3
    assert len(BLOCKS) >= 10


@pytest.mark.parametrize("block", BLOCKS, ids=lambda one: f"{one.page} {one.heading}")
async def test_a_hub_starts_with_it(block: Block, tmp_path: Path) -> None:
    config, environ = configured(block, tmp_path)
    assert config.auth.enabled or config.auth.open
    async with TestClient(TestServer(make_app(config, environ=environ))) as client:
        assert (await client.get("/readyz")).status == 200


@pytest.mark.parametrize("block", SET_UPS.values(), ids=lambda one: one.heading)
def test_a_set_up_leaves_nothing_open(block: Block, tmp_path: Path) -> None:
    config, _ = configured(block, tmp_path)
    assert list(openings(config)) == []
    assert "auth" in tomllib.loads(block.text)


async def statuses(client: Client, token: str | None, *names: str) -> list[int]:
    """What an append to each stream is answered with."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    found = []
    for name in names:
        async with client.put(f"/v1/stream/{name}", json=[HELLO], headers=headers) as said:
            found.append(said.status)
    return found


def served(block: Block, folder: Path, **server: object) -> tuple[Client, Mapping[str, str]]:
    config, environ = configured(block, folder)
    own = config.model_copy(update={"server": config.server.model_copy(update=server)})
    return TestClient(TestServer(make_app(own, environ=environ))), environ


async def test_people_sign_in_with_their_account(tmp_path: Path) -> None:
    client, _ = served(SET_UPS["A team behind nginx with OIDC"], tmp_path)
    async with client:
        assert await statuses(client, None, "chat/alice/1") == [401]
        told = {
            "Host": "chat.example.org",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "chat.example.org",
        }
        async with client.get("/login", headers=told) as said:
            assert said.status == 200
            assert "login/oidc" in await said.text()


async def test_an_application_signs_tokens(tmp_path: Path) -> None:
    client, environ = served(SET_UPS["An application with JSON Web Tokens"], tmp_path)
    claims = {"iss": "app", "aud": "streamhub", "sub": "alice", "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, environ["APP_SECRET"], "HS256")
    async with client:
        names = ("chat/alice/7", "chat/bob/7", "other")
        assert await statuses(client, token, *names) == [201, 404, 404]
        assert await statuses(client, None, "chat/alice/7") == [401]
        origin = "https://app.example.org"
        headers = {"Origin": origin, "Authorization": f"Bearer {token}"}
        async with client.get("/v1/stream/chat/alice/7", headers=headers) as said:
            assert said.headers["Access-Control-Allow-Origin"] == origin


async def test_programs_have_keys(tmp_path: Path) -> None:
    client, _ = served(SET_UPS["One machine with API keys"], tmp_path, host="127.0.0.1")
    key, id_, digest = new_key()
    grants = (Grant(frozenset({"read", "append"}), StreamPattern.parse("builds/**")),)
    async with client:
        app = client.app
        assert app is not None
        await app[HUB].credentials.add(row_of(ApiKey(id_, digest, "ci", "ci", grants=grants)))
        assert await statuses(client, key, "builds/1", "bots/1") == [201, 404]
        assert await statuses(client, None, "builds/1") == [401]
