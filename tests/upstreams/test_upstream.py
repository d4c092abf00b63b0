"""What an upstream asks, and how it is configured; what can go wrong is in test_dialer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from hub.dialects import Call, KeyHeader, MakeDialect
from hub.dialects.demo.reader import Demo
from hub.dialects.openai_chat import OpenAIChat
from hub.dialects.text import Text
from hub.domain.errors import ConfigError, Draining, RequestError, UpstreamError
from hub.domain.prompt import Prompt
from hub.upstreams.upstream import Dialer, Upstream
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Answer, Ending, Scripted, openai_sse, refusal

HELLO = Prompt(({"role": "user", "content": "Hello"},))
URL = "http://127.0.0.1:9"


class Played(Demo):
    """A local dialect with a script of its own."""

    lines: tuple[tuple[float, bytes], ...] = ()

    def script(self, prompt: Prompt) -> Iterator[tuple[float, bytes]]:
        assert prompt.model == "own"
        yield from self.lines


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted() as started:
        yield started


@pytest.fixture
async def dialer() -> AsyncIterator[Dialer]:
    made = Dialer()
    yield made
    await made.close()


async def read(upstream: Upstream, prompt: Prompt = HELLO) -> bytes:
    async with asyncio.timeout(PATIENCE), upstream.open(upstream.dialect(), prompt) as body:
        return b"".join([piece async for piece in body])


async def test_a_prompt_goes_out_and_the_bytes_come_back(server: Scripted, dialer: Dialer) -> None:
    blocks = openai_sse("Hi", " there", usage={"prompt_tokens": 1, "completion_tokens": 2})
    server.answers(Answer(*blocks))
    upstream = Upstream("local", OpenAIChat, dialer, url=f"{server.url}/v1", model="m")
    assert await read(upstream) == b"".join(blocks)
    asked = server.requests[0]
    assert (asked.method, asked.target) == ("POST", "/v1/chat/completions")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept"] == "text/event-stream"
    assert asked.json["messages"] == [{"role": "user", "content": "Hello"}]
    assert asked.json["stream"] is True


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        (None, "authorization", "Bearer k"),
        ("Authorization", "authorization", "Bearer k"),
        ("api-key", "api-key", "k"),
    ],
)
async def test_the_key_is_shown_where_the_configuration_says(
    server: Scripted, dialer: Dialer, header: str | None, name: str, value: str
) -> None:
    server.answers(Answer())
    await read(
        Upstream("a", OpenAIChat, dialer, url=server.url, api_key="k", api_key_header=header)
    )
    sent = server.requests[0].headers
    assert {each: sent.get(each) for each in ("authorization", "api-key")} == {
        "authorization": None,
        "api-key": None,
    } | {name: value}


class Keyed(OpenAIChat):
    """A dialect whose provider wants the key elsewhere, and has a query of its own."""

    def call(self, prompt: Prompt) -> Call:
        return Call("/chat?alt=sse", {}, key=KeyHeader("X-Own-Key", "Key "))


@pytest.mark.parametrize(
    ("query", "target"),
    [({}, "/chat?alt=sse"), ({"v": "a b&c"}, "/chat?alt=sse&v=a+b%26c")],
)
async def test_a_dialect_says_where_its_key_is_shown(
    server: Scripted, dialer: Dialer, query: dict[str, str], target: str
) -> None:
    server.answers(Answer())
    await read(Upstream("own", Keyed, dialer, url=server.url, api_key="k", query=query))
    asked = server.requests[0]
    assert asked.target == target
    assert asked.headers["x-own-key"] == "Key k"
    assert "authorization" not in asked.headers


async def test_a_query_goes_with_each_url_and_is_never_repeated(
    server: Scripted, dialer: Dialer
) -> None:
    server.answers(refusal(400, "no such version: 2099-01-01-secret"))
    query = {"api-version": "2099-01-01-secret"}
    upstream = Upstream("azure", OpenAIChat, dialer, url=f"{server.url}/d", query=query)
    with pytest.raises(UpstreamError) as caught:
        await read(upstream)
    assert server.requests[0].target == "/d/chat/completions?api-version=2099-01-01-secret"
    assert "secret" not in caught.value.message


async def test_a_redirect_carries_no_key(server: Scripted, dialer: Dialer) -> None:
    server.answers(Answer(status=307, headers={"Location": f"{server.url}/elsewhere"}))
    upstream = Upstream(
        "azure", OpenAIChat, dialer, url=server.url, api_key="k", api_key_header="api-key"
    )
    with pytest.raises(UpstreamError, match="redirect"):
        await read(upstream)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("asked", "sent"), [(None, "configured"), ("other", "other")])
async def test_the_model_is_the_configured_one_unless_the_prompt_names_another(
    server: Scripted, dialer: Dialer, asked: str | None, sent: str
) -> None:
    server.answers(Answer())
    upstream = Upstream("local", OpenAIChat, dialer, url=server.url, model="configured")
    await read(upstream, Prompt(HELLO.messages, model=asked))
    assert server.requests[0].json["model"] == sent


@pytest.mark.parametrize(
    ("path", "make_dialect", "target"),
    [
        ("", OpenAIChat, "/chat/completions"),
        ("/v1", OpenAIChat, "/v1/chat/completions"),
        ("/v1/", OpenAIChat, "/v1/chat/completions"),
        ("/a%2Fb", OpenAIChat, "/a%2Fb/chat/completions"),
        ("/stream", Text, "/stream"),
        ("/stream/", Text, "/stream/"),
    ],
)
async def test_the_dialects_path_is_added_to_the_url(
    server: Scripted, dialer: Dialer, path: str, make_dialect: MakeDialect, target: str
) -> None:
    server.answers(Answer())
    await read(Upstream("local", make_dialect, dialer, url=server.url + path))
    assert server.requests[0].target == target


async def test_the_key_goes_as_a_bearer_token(server: Scripted, dialer: Dialer) -> None:
    server.answers(Answer(), Answer())
    await read(Upstream("local", OpenAIChat, dialer, url=server.url, api_key="k"))
    assert server.requests[0].headers["authorization"] == "Bearer k"
    await read(Upstream("local", OpenAIChat, dialer, url=server.url))
    assert "authorization" not in server.requests[1].headers


async def test_configured_headers_win(server: Scripted, dialer: Dialer) -> None:
    server.answers(Answer())
    headers = {"authorization": "Basic x", "ACCEPT": "*/*", "X-Own": "1"}
    await read(Upstream("local", OpenAIChat, dialer, url=server.url, api_key="k", headers=headers))
    sent = server.requests[0].headers
    assert (sent["authorization"], sent["accept"], sent["x-own"]) == ("Basic x", "*/*", "1")


async def test_no_secret_is_shown(server: Scripted, dialer: Dialer) -> None:
    key, header = "4f8a2b61c9d0e7f3", "a1b2c3d4e5f60718"
    upstream = Upstream(
        "local", OpenAIChat, dialer, url=server.url, api_key=key, headers={"X-Key": header}
    )
    server.answers(refusal(400, f"neither {key} nor {header} is known here"))
    with pytest.raises(UpstreamError, match="is known here") as caught:
        await read(upstream)
    for shown in (str(caught.value), repr(caught.value), repr(upstream)):
        assert key not in shown
        assert header not in shown


async def test_a_prompt_that_is_not_json_is_the_askers_mistake(dialer: Dialer) -> None:
    upstream = Upstream("local", OpenAIChat, dialer, url=URL)
    with pytest.raises(RequestError):
        await read(upstream, Prompt(HELLO.messages, options={"seed": object()}))
    with pytest.raises(RequestError):
        await read(upstream, Prompt(({"role": "user", "content": "\ud83d"},)))


async def test_what_a_dialect_cannot_ask_is_not_sent(dialer: Dialer) -> None:
    upstream = Upstream("local", OpenAIChat, dialer, url=URL)
    with pytest.raises(RequestError):
        await read(upstream, Prompt(HELLO.messages, options={"n": 2}))


async def test_its_clocks_are_the_configured_ones(server: Scripted, dialer: Dialer) -> None:
    server.answers(Answer(Ending.HANG, framing="raw"))
    upstream = Upstream("local", OpenAIChat, dialer, url=server.url, stall_timeout=0.1)
    with pytest.raises(UpstreamError) as caught:
        await read(upstream)
    assert caught.value.code == "upstream_stalled"


def test_each_reply_has_a_dialect_of_its_own() -> None:
    upstream = Upstream("local", OpenAIChat, Dialer(), url=URL)
    assert upstream.dialect() is not upstream.dialect()


def test_it_tells_the_relay_what_it_needs() -> None:
    upstream = Upstream(
        "local", Demo, Dialer(), stall_timeout=1.0, retries=5, max_retry_wait=3.0, chunk_limit=10
    )
    told = (upstream.stall_timeout, upstream.retries, upstream.max_retry_wait, upstream.chunk_limit)
    assert told == (1.0, 5, 3.0, 10)


# Dialects without a network


async def test_a_local_dialect_needs_no_url_and_no_socket() -> None:
    dialer = Dialer()
    await dialer.close()  # so that whoever dialled would be refused
    upstream = Upstream("demo", Demo, dialer, options={"pace": 100_000})
    assert b'"end":"stop"' in await read(upstream)
    with pytest.raises(Draining):
        await read(Upstream("local", OpenAIChat, dialer, url=URL))


async def test_a_script_is_played_with_its_pauses() -> None:
    dialect = Played()
    dialect.lines = ((0.0, b"a"), (0.1, b"b"))
    upstream = Upstream("played", Played, Dialer(), model="own")
    began = time.monotonic()
    async with upstream.open(dialect, HELLO) as body:
        assert await anext(body) == b"a"
        assert [piece async for piece in body] == [b"b"]
        assert time.monotonic() - began >= 0.1
        assert not body.delimited


async def test_a_pause_in_a_script_can_be_left() -> None:
    dialect = Played()
    dialect.lines = ((0.0, b"a"), (3600.0, b"b"))
    upstream = Upstream("played", Played, Dialer(), model="own")
    async with upstream.open(dialect, HELLO) as body:
        assert await anext(body) == b"a"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(body), 0.05)


# Configuration


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "missing"),
        ({"url": "127.0.0.1:80"}, "must begin with http"),
        ({"url": "ftp://127.0.0.1"}, "must begin with http"),
        ({"url": "http:///v1"}, "must begin with http"),
        ({"url": "http://user@127.0.0.1"}, "no user"),
        ({"url": "http://:secret@127.0.0.1"}, "no password"),
        ({"url": URL, "options": {"colour": "red"}}, "colour"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_at_once(
    options: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Upstream("local", OpenAIChat, Dialer(), **options)
    assert "secret" not in str(caught.value)


def test_what_was_configured_cannot_be_changed_by_a_reply() -> None:
    options = MappingProxyType({"include_usage": False})
    upstream = Upstream("local", OpenAIChat, Dialer(), url=URL, options=options)
    assert "stream_options" not in upstream.dialect().call(HELLO).body
