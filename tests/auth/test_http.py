"""Who may do what over HTTP, on a hub with authentication: each test is a threat that it closes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from hub import Config, Hub, setup
from hub.access.guard import Allowed, Guard
from hub.app import HUB
from hub.auth.api_keys import new_key
from hub.domain.errors import ConfigError, StreamNotFound, Unauthorized
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import Grant, StreamPattern
from hub.domain.principal import LOCAL, Principal
from hub.domain.stream_settings import StreamSettings
from hub.server.serve import check_access
from tests.conftest import Running, StartHub
from tests.support.clock import Clock
from tests.support.loopback_hub import hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, OWN, auth, bearer

SECRET = "0123456789abcdef0123456789abcdef"
JSON = {"Content-Type": "application/json"}
HELLO = {"type": "message", "role": "user", "text": "Hello"}
USER = {"role": "user", "content": "echo hi"}
EVERYBODY = {"who": "user", "match": "room/**", "can": ["read", "append", "generate", "list"]}
CHAT = "chat-0123456789abcdef"


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    return await start_hub(
        auth=auth(EVERYBODY),
        server={"list_streams": True},
        streams={"long_poll_seconds": 0.05},
    )


async def ask(
    hub: Running, who: str | None, method: str, path: str, json: Any = None, **headers: str
) -> tuple[int, Any]:
    """The status and the body of a response, without what differs by itself."""
    given = {**(bearer(who) if who else {}), **headers}
    async with hub.client.request(method, path, json=json, headers=given) as response:
        return response.status, await _body(response)


async def _body(response: ClientResponse) -> Any:
    if response.content_type == "application/json":
        return await response.json()
    return await response.text()


async def begin(hub: Running, who: str, name: str) -> None:
    status, body = await ask(hub, who, "PUT", f"/v1/stream/{name}", [HELLO])
    assert status == 201, body


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    return status, body["error"]["code"]


# Tenants


async def test_a_user_of_the_same_name_in_another_tenant(start_hub: StartHub) -> None:
    table = auth()
    one, mine, digest = new_key()
    table["keys"]["other"] = {"sha256": digest.hex(), "id": mine, "user": "ann", "tenant": "b"}
    hub = await start_hub(auth=table, server={"list_streams": True})
    path = "/v1/stream/chat/ann/1"
    await begin(hub, "ann", "chat/ann/1")
    other = {"Authorization": f"Bearer {one}"}
    prompt = {"prompt": "Hi", "stream": "chat/ann/1"}
    asked: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("GET", "/v1/live/chat/ann/1", None),
        ("POST", path, [HELLO]),
        ("PUT", path, [HELLO]),
        ("POST", "/v1/generations", prompt),
        ("POST", "/v1/shares", {"stream": "chat/ann/1"}),
        ("DELETE", path, None),
    ]
    for method, where, body in asked:
        status, said = await ask(hub, None, method, where, body, **other)
        assert status in (403, 404), (method, where, said)
    assert (await ask(hub, None, "GET", "/v1/streams", **other))[1]["streams"] == []
    made = await ask(hub, None, "POST", "/v1/tickets", {"stream": "chat/ann/1"}, **other)
    ticket = {"Authorization": f"Bearer {made[1]['ticket']}"}
    assert (await ask(hub, None, "GET", path, **ticket))[0] == 404
    async with hub.client.ws_connect("/v1/ws", protocols=["hub.v1"], headers=other) as socket:
        await socket.send_json({"type": "subscribe", "id": 1, "stream": "chat/ann/1"})
        assert (await socket.receive_json())["code"] == "stream_not_found"
    assert (await ask(hub, "ann", "GET", path))[0] == 200
    # What nobody of another tenant has is its own.
    assert (await ask(hub, None, "PUT", "/v1/stream/chat/ann/2", [HELLO], **other))[0] == 201
    assert (await ask(hub, None, "GET", "/v1/stream/chat/ann/2", **other))[0] == 200
    assert (await ask(hub, "ann", "GET", "/v1/stream/chat/ann/2"))[0] == 404


# Who comes in


async def test_without_a_credential_nothing_is_done(hub: Running) -> None:
    async with hub.client.get("/v1/stream/chat/ann/1") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="streamhub"'
        assert (await response.json())["error"]["code"] == "unauthorized"
    headers = {"Authorization": "Bearer sh_nobody"}
    async with hub.client.get("/v1/stream/chat/ann/1", headers=headers) as response:
        assert response.status == 401
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
        assert (await response.json())["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-other"}])
async def test_openai_clients_get_the_error_that_they_know(
    hub: Running, headers: dict[str, str]
) -> None:
    asked = {"model": "demo", "messages": [USER]}
    async with hub.client.post("/v1/chat/completions", json=asked, headers=headers) as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (401, "invalid_api_key")
        assert error["type"] == "invalid_request_error"
        assert "WWW-Authenticate" in response.headers


async def test_probes_and_the_page_need_no_credential(hub: Running) -> None:
    for path in ("/livez", "/readyz", "/", "/favicon.svg", "/client.js"):
        status, _ = await ask(hub, None, "GET", path)
        assert status in (200, 404), path  # 404: the page was not built
    # Not even one that does not hold gets in their way.
    assert (await ask(hub, None, "GET", "/livez", Authorization="Bearer sh_x"))[0] == 200


async def test_metrics_docs_and_tutorial_are_not_open(hub: Running) -> None:
    for path in ("/docs", "/ret_json_data", "/v1/models"):
        assert (await ask(hub, None, "GET", path))[0] == 401, path
        assert (await ask(hub, "guest", "GET", path))[0] == 403, path
        assert (await ask(hub, "ann", "GET", path))[0] == 200, path
    assert (await ask(hub, None, "GET", "/metrics"))[0] == 200, "from this machine"
    proxied = {"X-Forwarded-For": "203.0.113.1"}
    assert (await ask(hub, None, "GET", "/metrics", **proxied))[0] == 401
    assert (await ask(hub, "ann", "GET", "/metrics", **proxied))[0] == 403
    assert (await ask(hub, "admin", "GET", "/metrics", **proxied))[0] == 200


# Strangers


READS = [
    ("GET", "/v1/stream/{}", None),
    ("HEAD", "/v1/stream/{}", None),
    ("GET", "/v1/stream/{}?offset=-1&live=sse", None),
    ("GET", "/v1/live/{}", None),
    ("GET", "/v1/live/{}?wait=true", None),
    ("POST", "/v1/stream/{}", HELLO),
    ("PUT", "/v1/stream/{}", [HELLO]),
    ("DELETE", "/v1/stream/{}", None),
    ("POST", "/v1/generations", {"prompt": "echo hi", "stream": "{}"}),
]


def filled(json: Any, name: str) -> Any:
    return {**json, "stream": name} if isinstance(json, dict) and "stream" in json else json


@pytest.mark.parametrize(("method", "path", "json"), READS, ids=str)
async def test_existence_oracles_and_a_strangers_stream_by_name(
    hub: Running, method: str, path: str, json: Any
) -> None:
    """One that there is, one that there is not, one that was deleted, also with a fork left."""
    for name in ("there", "gone", "source"):
        await begin(hub, "ann", f"chat/ann/{name}")
    forked = {"Stream-Forked-From": "/v1/stream/chat/ann/source", **JSON}
    assert (await ask(hub, "ann", "PUT", "/v1/stream/chat/ann/fork", **forked))[0] == 201
    for name in ("gone", "source"):
        assert (await ask(hub, "ann", "DELETE", f"/v1/stream/chat/ann/{name}"))[0] == 204
    assert (await ask(hub, "ann", "GET", "/v1/stream/chat/ann/source"))[0] == 410
    answers = []
    for name in ("there", "none", "gone", "source"):
        whole = f"chat/ann/{name}"
        status, body = await ask(hub, "bob", method, path.format(whole), filled(json, whole))
        answers.append((status, str(body).replace(name, "NAME")))
    assert answers[0][0] == 404
    assert len(set(answers)) == 1, answers
    if method != "HEAD":
        assert "stream_not_found" in answers[0][1]
    status, records = await ask(hub, "ann", "GET", "/v1/stream/chat/ann/there")
    assert (status, len(records)) == (200, 1), "and nothing was done"


async def test_a_strangers_generation_by_its_id(hub: Running) -> None:
    asked = {"prompt": "stall", "stream": "chat/ann/1"}
    status, begun = await ask(hub, "ann", "POST", "/v1/generations", asked)
    assert status == 201
    path = f"/v1/generations/{begun['id']}"
    unknown = f"/v1/generations/gen_{'0' * 32}"
    for method in ("GET", "DELETE"):
        answer, other = await ask(hub, "bob", method, path), await ask(hub, "bob", method, unknown)
        assert code(answer) == code(other) == (404, "generation_not_found")
        said = answer[1]["error"]["message"].replace(begun["id"], "ID")
        assert said == other[1]["error"]["message"].replace(f"gen_{'0' * 32}", "ID")
        assert (await ask(hub, None, method, path))[0] == 401
        assert (await ask(hub, None, method, unknown))[0] == 401
    assert (await ask(hub, "ann", "DELETE", path))[1]["state"] == "cancelled"


async def test_a_one_off_stream_belongs_to_who_began_it(hub: Running) -> None:
    status, begun = await ask(hub, "ann", "POST", "/v1/generations", {"prompt": "echo hi"})
    assert status == 201
    await hub.hub.generations.wait(begun["id"])
    assert (await ask(hub, "ann", "GET", f"/v1/stream/{begun['stream']}"))[0] == 200
    assert (await ask(hub, "ann", "GET", f"/v1/generations/{begun['id']}"))[0] == 200
    assert code(await ask(hub, "bob", "GET", f"/v1/stream/{begun['stream']}"))[0] == 404
    assert code(await ask(hub, "bob", "GET", f"/v1/generations/{begun['id']}"))[0] == 404
    stream = await hub.hub.streams.open(begun["stream"])
    assert stream.settings.owner == "ann"


async def test_a_strangers_response_by_its_id_or_as_a_previous_one_or_by_an_item(
    hub: Running,
) -> None:
    asked = {"model": "demo", "input": "echo secret"}
    status, told = await ask(hub, "ann", "POST", "/v1/responses", asked)
    assert status == 200
    path = f"/v1/responses/{told['id']}"
    for method, part in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
        assert code(await ask(hub, "bob", method, path + part)) == (404, "response_not_found")
    item = {"type": "item_reference", "id": told["output"][0]["id"]}
    others: list[dict[str, Any]] = [{"previous_response_id": told["id"]}, {"input": [item]}]
    for more in others:
        answer = await ask(hub, "bob", "POST", "/v1/responses", {**asked, **more})
        assert code(answer) == (404, "response_not_found")
        assert (await ask(hub, "ann", "POST", "/v1/responses", {**asked, **more}))[0] == 200
    assert (await ask(hub, "ann", "GET", path))[0] == 200
    assert (await ask(hub, "ann", "DELETE", path))[0] == 200


async def test_a_strangers_chat_by_its_id(hub: Running) -> None:
    said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
    asked = {"id": CHAT, "messages": [said]}
    assert (await ask(hub, "ann", "POST", "/api/chat", asked))[0] == 200
    other = {**said, "id": "n"}
    assert (await ask(hub, "bob", "POST", "/api/chat", {"id": CHAT, "messages": [other]}))[0] == 404
    assert (await ask(hub, "bob", "GET", f"/api/chat/{CHAT}"))[0] in (200, 404)
    assert (await ask(hub, "bob", "GET", f"/v1/stream/{CHAT}"))[0] == 404
    assert (await ask(hub, "ann", "GET", f"/v1/stream/{CHAT}"))[0] == 200
    assert (await hub.hub.streams.open(CHAT)).settings.owner == "ann"
    # A name that can be guessed is not begun by whoever comes first.
    short = {"id": "chat-1", "messages": [said]}
    assert (await ask(hub, "ann", "POST", "/api/chat", short))[0] == 404


async def test_what_a_stranger_reads_of_a_chat_is_as_if_there_were_none(hub: Running) -> None:
    said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
    assert (await ask(hub, "ann", "POST", "/api/chat", {"id": CHAT, "messages": [said]}))[0] == 200
    none = "chat-which-is-not-there"
    for path in ("/api/chat/{}", "/api/chat/{}/stream"):
        there, absent = [await ask(hub, "bob", "GET", path.format(name)) for name in (CHAT, none)]
        assert str(there).replace(CHAT, "") == str(absent).replace(none, "")
    mine, _ = await ask(hub, "ann", "GET", f"/api/chat/{CHAT}")
    assert mine == 200


async def test_a_fork_of_what_one_may_not_read(hub: Running) -> None:
    await begin(hub, "ann", "chat/ann/1")
    headers = {"Stream-Forked-From": "/v1/stream/chat/ann/1", **JSON}
    answer = await ask(hub, "bob", "PUT", "/v1/stream/chat/bob/mine", **headers)
    assert code(answer) == (404, "stream_not_found")
    assert (await ask(hub, "bob", "GET", "/v1/stream/chat/bob/mine"))[0] == 404


async def test_a_fork_of_what_was_deleted(hub: Running) -> None:
    """Its forks keep what they have. To a stranger it is as if it had never been."""
    await begin(hub, "ann", "chat/ann/source")

    async def fork(who: str, source: str, name: str) -> tuple[int, Any]:
        headers = {"Stream-Forked-From": f"/v1/stream/chat/ann/{source}", **JSON}
        return await ask(hub, who, "PUT", f"/v1/stream/{name}", **headers)

    assert (await fork("ann", "source", "chat/ann/fork"))[0] == 201
    assert (await ask(hub, "ann", "DELETE", "/v1/stream/chat/ann/source"))[0] == 204
    deleted, never = [await fork("bob", name, "chat/bob/mine") for name in ("source", "never")]
    assert code(deleted) == (404, "stream_not_found")
    assert str(deleted).replace("source", "") == str(never).replace("never", "")
    assert (await ask(hub, "bob", "GET", "/v1/stream/chat/bob/mine"))[0] == 404
    assert (await ask(hub, "bob", "GET", "/v1/stream/chat/ann/fork"))[0] == 404
    status, records = await ask(hub, "ann", "GET", "/v1/stream/chat/ann/fork")
    assert (status, [one["text"] for one in records]) == (200, ["Hello"])


async def test_the_listing_shows_nobody_elses_streams(start_hub: StartHub) -> None:
    # A pattern for which the names of all streams are looked at.
    anywhere = {"who": "user", "match": "*/*/news", "can": ["read", "list"]}
    hub = await start_hub(auth=auth(EVERYBODY, anywhere), server={"list_streams": True})
    await begin(hub, "ann", "chat/ann/1")
    await begin(hub, "bob", "chat/bob/1")
    await begin(hub, "bob", "room/all")
    _, begun = await ask(hub, "ann", "POST", "/v1/generations", {"prompt": "echo hi"})
    names = {}
    for who in ("ann", "bob", "admin"):
        _, body = await ask(hub, who, "GET", "/v1/streams")
        names[who] = {one["name"] for one in body["streams"]}
    assert names["ann"] == {"chat/ann/1", "room/all", begun["stream"]}
    assert names["bob"] == {"chat/bob/1", "room/all"}
    assert names["admin"] == names["ann"] | names["bob"]
    _, page = await ask(hub, "bob", "GET", "/v1/streams?limit=1")
    assert ([one["name"] for one in page["streams"]], page["more"]) == (["chat/bob/1"], True)


async def test_a_list_of_conversations_is_nobody_elses(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(EVERYBODY), server={"list_streams": True})
    _, known = await ask(hub, "ann", "GET", "/v1/me")
    mine = f"/v1/stream/{known['conversations']}"
    kept = {"type": "conversation", "stream": "chat/ann/1", "title": "Secret"}
    assert (await ask(hub, "ann", "PUT", mine, [kept]))[0] == 201
    assert (await ask(hub, "ann", "GET", mine))[1] == [kept]
    for who in ("bob", "guest", "admin"):
        for method, path in (("GET", mine), ("POST", mine), ("PUT", mine), ("DELETE", mine)):
            status, body = await ask(hub, who, method, path, [kept])
            assert (status, body["error"]["code"]) == (404, "stream_not_found"), (who, method)
        assert (await ask(hub, who, "GET", "/v1/me"))[1]["conversations"] != known["conversations"]
        assert known["conversations"] not in str(await ask(hub, who, "GET", "/v1/streams"))
    assert (await ask(hub, "ann", "DELETE", mine))[0] == 403
    assert (await ask(hub, "ann", "GET", "/v1/streams"))[1]["streams"] == []


# Names of others


async def test_the_idempotency_key_of_another(hub: Running) -> None:
    asked = {"prompt": "echo hi", "key": "k"}
    first = (await ask(hub, "ann", "POST", "/v1/generations", asked))[1]["id"]
    assert (await ask(hub, "ann", "POST", "/v1/generations", asked))[1]["id"] == first
    other = (await ask(hub, "bob", "POST", "/v1/generations", asked))[1]["id"]
    assert other != first


async def test_the_producer_of_another(hub: Running) -> None:
    await begin(hub, "ann", "room/all")
    stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    for who in ("ann", "bob"):
        assert (await ask(hub, who, "POST", "/v1/stream/room/all", HELLO, **stamp))[0] == 200
        assert (await ask(hub, who, "POST", "/v1/stream/room/all", HELLO, **stamp))[0] == 204
    _, records = await ask(hub, "ann", "GET", "/v1/stream/room/all")
    assert [one["author"] for one in records] == ["ann", "ann", "bob"]


async def test_nobody_takes_all_producers_of_somebody_elses_stream(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(EVERYBODY), streams={"max_producers": 4})
    await begin(hub, "ann", "room/all")

    async def produce(who: str, producer: str) -> tuple[int, Any]:
        stamp = {"Producer-Id": producer, "Producer-Epoch": "0", "Producer-Seq": "0"}
        return await ask(hub, who, "POST", "/v1/stream/room/all", HELLO, **stamp)

    for producer in ("1", "2"):
        assert (await produce("bob", producer))[0] == 200
    status, body = await produce("bob", "3")
    assert (status, body["error"]["code"]) == (409, "too_many_producers")
    for producer in ("1", "2"):
        assert (await produce("ann", producer))[0] == 200, "its owner may have all"


async def test_nobody_fills_the_queue_of_somebody_elses_stream(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(EVERYBODY), limits={"queued_prompts": 3})
    await begin(hub, "ann", "room/all")

    async def queue(who: str) -> tuple[int, Any]:
        asked = {"prompt": "stall", "stream": "room/all", "when_busy": "queue"}
        return await ask(hub, who, "POST", "/v1/generations", asked)

    assert [(await queue("bob"))[0] for _ in range(3)] == [201] * 3  # the first one is answered
    assert code(await queue("bob")) == (429, "queue_full")
    assert (await queue("ann"))[0] == 201


@pytest.mark.parametrize(
    "forged",
    [
        {**HELLO, "author": "bob"},
        {**HELLO, "role": "assistant"},
        {**HELLO, "role": "system"},
        {"type": "delta", "text": "I am the model"},
        {"type": "message", "role": "assistant", "text": 1},
        {"type": "message", "role": "user", "author": "bob", "text": None},
        {**HELLO, "author": ["bob"]},
        {**HELLO, "author": {"name": "bob"}},
    ],
    ids=str,
)
async def test_forged_author_and_role(hub: Running, forged: dict[str, Any]) -> None:
    await begin(hub, "ann", "room/all")
    answer = await ask(hub, "ann", "POST", "/v1/stream/room/all", forged)
    assert code(answer) == (403, "author_not_permitted")
    answer = await ask(hub, "ann", "PUT", "/v1/stream/room/other", [forged])
    assert code(answer) == (403, "author_not_permitted")
    assert (await ask(hub, "ann", "GET", "/v1/stream/room/other"))[0] == 404
    asked = {"prompt": "echo hi", "stream": "room/all", "author": "bob"}
    answer = await ask(hub, "ann", "POST", "/v1/generations", asked)
    assert code(answer) == (403, "author_not_permitted")


async def test_the_author_is_filled_in_and_the_rest_stays_as_written(hub: Running) -> None:
    body = b' {"type":"message","role":"user","text":"\\u00e4","n":1.50} '
    headers = {**bearer("ann"), **JSON}
    async with hub.client.put("/v1/stream/room/all", data=body, headers=headers) as response:
        assert response.status == 201
    async with hub.client.get("/v1/stream/room/all", headers=bearer("ann")) as response:
        text = await response.text()
    written = r'{"type":"message","role":"user","text":"\u00e4","n":1.50,"author":"ann"}'
    assert text == f"[{written}]"
    asked = {"prompt": "echo hi", "stream": "room/all"}
    assert (await ask(hub, "bob", "POST", "/v1/generations", asked))[0] == 201
    _, records = await ask(hub, "ann", "GET", "/v1/stream/room/all")
    assert records[1]["author"] == "bob"


# Money


async def test_expensive_models_and_long_answers(start_hub: StartHub) -> None:
    limited = {
        "who": "user",
        "match": "cheap/**",
        "can": ["read", "generate"],
        "upstreams": ["demo"],
        "max_tokens": 3,
    }
    dear = {"dialect": "demo", "options": {"pace": 100_000}}
    tables = auth()
    tables["grants"] = [limited]
    hub = await start_hub(auth=tables, upstreams={"dear": dear})
    asked = {"prompt": "Hello", "stream": "cheap/1"}
    answer = await ask(hub, "ann", "POST", "/v1/generations", {**asked, "upstream": "dear"})
    assert code(answer) == (403, "model_not_permitted")
    longer = {**asked, "options": {"max_tokens": 4}}
    answer = await ask(hub, "ann", "POST", "/v1/generations", longer)
    assert code(answer) == (403, "max_tokens_not_permitted")
    status, begun = await ask(hub, "ann", "POST", "/v1/generations", asked)
    assert status == 201
    ended = await hub.hub.generations.wait(begun["id"])
    assert ended.to_json()["usage"]["completion_tokens"] <= 3
    _, models = await ask(hub, "ann", "GET", "/v1/models")
    assert [one["id"] for one in models["data"]] == ["demo"]
    assert code(await ask(hub, "ann", "GET", "/v1/models/dear")) == (404, "model_not_found")


async def test_a_fallback_that_is_not_allowed_is_not_asked(start_hub: StartHub) -> None:
    down = {"dialect": "openai-chat", "url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}
    tables = auth()
    upstreams = {"down": {**down, "fallback": ["demo"]}}
    for allowed, state in ((["down"], "failed"), (["down", "demo"], "finished")):
        tables["grants"] = [{"who": "user", "can": OWN, "upstreams": allowed}]
        hub = await start_hub(auth=tables, upstreams=upstreams)
        asked = {"prompt": "echo hi", "upstream": "down"}
        _, begun = await ask(hub, "ann", "POST", "/v1/generations", asked)
        assert (await hub.hub.generations.wait(begun["id"])).state.value == state


async def test_floods_of_requests(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 3}))
    statuses = [(await ask(hub, "ann", "GET", "/v1/models"))[0] for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    async with hub.client.get("/v1/models", headers=bearer("ann")) as response:
        assert (await response.json())["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(response.headers["Retry-After"]) <= 120
    assert (await ask(hub, "bob", "GET", "/v1/models"))[0] == 200, "others are not held up"
    wrong = {"Authorization": f"Bearer sh_{'a' * 12}_{'b' * 43}"}
    guesses = [(await ask(hub, None, "GET", "/v1/models", **wrong))[0] for _ in range(4)]
    assert guesses == [401, 401, 401, 429], "nor is guessing free"


async def test_floods_of_generations(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"generations": 2}))
    asked = {"prompt": "stall"}
    begun = [await ask(hub, "ann", "POST", "/v1/generations", asked) for _ in range(3)]
    assert [status for status, _ in begun] == [201, 201, 429]
    assert code(begun[2]) == (429, "rate_limit_exceeded")
    assert (await ask(hub, "bob", "POST", "/v1/generations", asked))[0] == 201
    assert (await ask(hub, "ann", "DELETE", f"/v1/generations/{begun[0][1]['id']}"))[0] == 200
    assert (await ask(hub, "ann", "POST", "/v1/generations", asked))[0] == 201


RELAYS = {
    "/stream_data_to_frontend_test": {"messages": [{"role": "user", "content": "stall"}]},
    "/stream_faq_data_to_frontend_test": {"query": "stall"},
}


async def relaying(start_hub: StartHub, **more: Any) -> Running:
    """A hub whose relays of the tutorial read an upstream that goes on for ever."""
    return await start_hub(
        auth=auth(limits={"generations": 1}),
        upstreams={"endless": {"dialect": "demo"}},
        tutorial={"llm": "endless", "faq": "endless"},
        **more,
    )


@pytest.mark.parametrize("path", list(RELAYS))
async def test_a_relay_counts_as_a_generation(start_hub: StartHub, path: str) -> None:
    hub = await relaying(start_hub, limits={"generations": 2})
    stall = {"prompt": "stall", "upstream": "endless"}
    async with hub.client.post(path, json=RELAYS[path], headers=bearer("ann")) as relayed:
        assert relayed.status == 200
        assert code(await ask(hub, "ann", "POST", path, RELAYS[path])) == (
            429,
            "rate_limit_exceeded",
        )
        assert code(await ask(hub, "ann", "POST", "/v1/generations", stall))[0] == 429
        async with hub.client.post(path, json=RELAYS[path], headers=bearer("bob")) as other:
            assert other.status == 200
            assert code(await ask(hub, "admin", "POST", path, RELAYS[path])) == (
                429,
                "limit_exceeded",
            )
    async with asyncio.timeout(PATIENCE):
        # The hub notices that the client has left, and stops counting.
        while True:
            async with hub.client.post(path, json=RELAYS[path], headers=bearer("ann")) as relayed:
                if relayed.status == 200:
                    break


async def told(relayed: ClientResponse) -> bytes:
    """All of a response that is an error, or is cut off."""
    said = b""
    try:
        async for read in relayed.content.iter_any():
            said += read
    except ClientPayloadError:
        return said
    assert relayed.status >= 400, "the response ended as if it were complete"
    return said


@pytest.mark.parametrize("path", list(RELAYS))
async def test_a_relay_ends_when_its_key_is_revoked(start_hub: StartHub, path: str) -> None:
    hub = await relaying(start_hub)
    async with hub.client.post(path, json=RELAYS[path], headers=bearer("ann")) as relayed:
        hub.hub.revoke(KEYS["ann"].split("_")[1])
        async with asyncio.timeout(PATIENCE):
            assert b"this credential was revoked" in await told(relayed)


async def test_a_relay_takes_no_longer_than_a_generation(start_hub: StartHub) -> None:
    hub = await relaying(start_hub, limits={"generation_seconds": 1.5})
    path, body = next(iter(RELAYS.items()))
    async with hub.client.post(path, json=body, headers=bearer("ann")) as relayed:
        assert b"stopped after 1.5 s, the longest allowed" in await told(relayed)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/generations", {"messages": [USER] * 11}),
        ("/v1/chat/completions", {"model": "demo", "messages": [USER] * 11}),
        ("/v1/responses", {"model": "demo", "input": [{"type": "nonsense"}] * 11}),
        ("/api/chat", {"id": CHAT, "messages": [{"role": "nobody"}] * 11}),
        (f"/api/chat/{CHAT}", {"messages": [{"role": "nobody"}] * 11}),
        ("/api/agent", {"threadId": CHAT, "runId": "r", "messages": [{"role": "nobody"}] * 11}),
    ],
)
async def test_floods_of_messages_in_one_request(
    start_hub: StartHub, path: str, body: dict[str, Any]
) -> None:
    """They are counted before anything is made of them."""
    hub = await start_hub(auth=auth(), limits={"prompt_messages": 10})
    status, said = await ask(hub, "ann", "POST", path, body)
    assert status == 413, said
    assert "limits.prompt_messages" in str(said)


async def test_a_large_body_counts_as_several_requests(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 20}))
    large = {"type": "message", "role": "user", "text": "x" * 700_000}
    answers = [await ask(hub, "ann", "PUT", f"/v1/stream/chat/ann/{n}", [large]) for n in range(5)]
    assert [status for status, _ in answers] == [201, 201, 201, 201, 429]
    assert (await ask(hub, "bob", "PUT", "/v1/stream/chat/bob/1", [large]))[0] == 201


async def test_a_long_chain_of_responses_counts_as_several_requests(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 50, "generations": 0}))
    asked: dict[str, Any] = {"model": "demo", "input": "echo hi"}

    async def go_on(who: str) -> int:
        status, told = await ask(hub, who, "POST", "/v1/responses", asked)
        if status == 200:
            asked["previous_response_id"] = told["id"]
        return status

    for _ in range(16):
        assert await go_on("ann") == 200
    chain = dict(asked)
    for _ in range(20):  # of what is left, each takes three
        if await go_on("ann") == 429:
            break
        asked = dict(chain)
    else:
        raise AssertionError("they are free")
    asked = {"model": "demo", "input": "echo hi"}
    assert await go_on("bob") == 200


async def test_many_streams_in_one_response_count_as_several_requests(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 30}))
    asked = [{"stream": f"chat/ann/{number}", "wait": True} for number in range(160)]

    async def follow(who: str) -> int:
        async with hub.client.post("/v1/follow", json=asked, headers=bearer(who)) as response:
            return response.status

    assert [await follow("ann") for _ in range(3)] == [200, 200, 429]
    assert await follow("bob") == 200


async def test_floods_of_streams(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(), limits={"streams": 3})
    for number in range(3):
        await begin(hub, "ann", f"chat/ann/{number}")
    answer = await ask(hub, "ann", "PUT", "/v1/stream/chat/ann/more", [HELLO])
    assert answer[0] == 429
    assert (await ask(hub, "ann", "GET", "/v1/stream/chat/ann/0"))[0] == 200


# Owners


ANN = Principal(
    "ann",
    grants=(
        Grant(frozenset(OWN), StreamPattern.parse("elsewhere/**")),
        Grant(frozenset({"append"}), StreamPattern.parse("copy")),
    ),
)
BOB = Principal("bob")

DEEDS: dict[str, Callable[[Hub], Awaitable[object]]] = {
    "append": lambda hub: hub.streams.append_to("mine", Message("user", "Hi"), by=ANN),
    "write": lambda hub: hub.streams.write("mine", [(b"{}", None)], by=ANN),
    "create": lambda hub: hub.streams.make("mine", StreamSettings(), by=ANN),
    "fork": lambda hub: hub.streams.fork("copy", "mine", by=ANN),
    "fork into it": lambda hub: hub.streams.fork("mine", "elsewhere/1", by=ANN),
    "delete": lambda hub: hub.streams.delete("mine", by=ANN),
    "generate": lambda hub: hub.generations.start(GenerationRequest("Hi", stream="mine"), by=ANN),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_another_stream_cannot_take_the_place_of_the_one_that_was_checked(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    """Ann may do it as the owner; before it is done, the stream is deleted and the name Bob's."""
    hub = (await start_hub()).hub
    await hub.streams.create("elsewhere/1", by=ANN)
    await hub.streams.create("mine", by=Principal("ann"))
    taken = owned = await hub.streams.open("mine")
    check = Guard.check

    async def checked(guard: Guard, *given: Any) -> Allowed:
        nonlocal taken
        found = await check(guard, *given)
        if found.stream is owned:
            await hub.streams.delete("mine")
            taken, _ = await hub.streams.create("mine", by=BOB)
        return found

    monkeypatch.setattr(Guard, "check", checked)
    with pytest.raises(StreamNotFound):
        await DEEDS[deed](hub)
    assert (taken.settings.owner, taken.gone, taken.tail) == ("bob", False, 0)
    with pytest.raises(StreamNotFound):
        await hub.streams.open("copy")


async def test_what_one_began_stays_ones_own_after_a_restart(tmp_path: Path) -> None:
    tables = {"store": {"url": f"sqlite:{tmp_path / 'hub.db'}"}, "auth": auth()}
    begun: dict[str, Any] = {}
    for _ in range(2):
        async with hub_on_loopback(**tables) as running:
            url = f"http://127.0.0.1:{running.port}"
            async with ClientSession(url) as client:
                if not begun:
                    asked = {"prompt": "echo hi", "key": "k"}
                    post = client.post("/v1/generations", json=asked, headers=bearer("ann"))
                    async with post as response:
                        begun = await response.json()
                    await running.hub.generations.wait(begun["id"])
                for path in (f"/v1/generations/{begun['id']}", f"/v1/stream/{begun['stream']}"):
                    for who, status in (("ann", 200), ("bob", 404)):
                        async with client.get(path, headers=bearer(who)) as response:
                            assert response.status == status, (path, who)
                listed, _ = await running.hub.streams.listed("", "", 10)
                assert [one.stream.owner for one in listed] == ["ann"]


async def test_without_authentication_nobody_owns_a_stream(start_hub: StartHub) -> None:
    hub = await start_hub()
    _, begun = await ask(hub, None, "POST", "/v1/generations", {"prompt": "echo hi", "author": "x"})
    stream = await hub.hub.streams.open(begun["stream"])
    assert stream.settings.owner is None
    assert [event.author async for event in stream.events() if isinstance(event, Message)] == ["x"]
    assert LOCAL.scope is None


# Tokens


def token(**claims: Any) -> str:
    held = {"iss": "app", "aud": "hub", "sub": "ann", "exp": int(time.time()) + 300, **claims}
    return jwt.encode(held, SECRET, "HS256")


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def issued(clock: Clock, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("APP_SECRET", SECRET)
    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    return await start_hub(auth=auth(issuers=issuers))


async def test_a_token_is_a_principal(issued: Running) -> None:
    mine = {"Authorization": f"Bearer {token()}"}
    assert (await ask(issued, None, "PUT", "/v1/stream/chat/ann/1", [HELLO], **mine))[0] == 201
    assert (await ask(issued, "ann", "GET", "/v1/stream/chat/ann/1"))[0] == 200
    narrow = token(streams=[{"match": "chat/ann/1", "can": ["read"]}])
    narrowed = {"Authorization": f"Bearer {narrow}"}
    assert (await ask(issued, None, "GET", "/v1/stream/chat/ann/1", **narrowed))[0] == 200
    answer = await ask(issued, None, "POST", "/v1/stream/chat/ann/1", HELLO, **narrowed)
    assert code(answer) == (403, "not_permitted")


async def test_a_token_that_does_not_hold(issued: Running) -> None:
    for held, wanted in (
        (token(exp=int(time.time()) - 60), "token_expired"),
        (token(aud="other"), "invalid_token"),
        (token(iss="other"), "invalid_token"),
        (jwt.encode({"iss": "app", "sub": "ann"}, "", "none"), "invalid_token"),
        (jwt.encode({"iss": "app", "aud": "hub", "sub": "ann"}, SECRET, "HS256"), "invalid_token"),
    ):
        headers = {"Authorization": f"Bearer {held}"}
        answer = await ask(issued, None, "GET", "/v1/stream/chat/ann/1", **headers)
        assert code(answer) == (401, wanted)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "app\r\nX-Own: 1"},
        {"aud": "hub\r\nX-Own: 1"},
        {"sub": "ann\r\nX-Own: 1"},
        {"jti": "1\r\nX-Own: 1"},
        {"streams": [{"match": "a\r\nX-Own: 1", "can": ["read"]}]},
        {"streams": [{"match": "a", "can": ["read\r\nX-Own: 1"]}]},
    ],
    ids=str,
)
async def test_no_token_writes_a_header(issued: Running, claims: dict[str, Any]) -> None:
    """A refusal has nothing of what it refuses, in its headers or in its text."""
    headers = {"Authorization": f"Bearer {token(**claims)}"}
    async with issued.client.get("/v1/stream/chat/ann/1", headers=headers) as response:
        assert response.status == 401
        challenge = 'Bearer realm="streamhub", error="invalid_token"'
        assert response.headers.getall("WWW-Authenticate") == [challenge]
        assert "X-Own" not in await response.text()
        assert "X-Own" not in response.headers


@pytest.mark.parametrize(
    "path", ["/v1/live/chat/ann/1", "/v1/stream/chat/ann/1?live=sse&offset=-1"]
)
async def test_a_response_ends_with_its_token_like_a_rotation(
    issued: Running, clock: Clock, path: str
) -> None:
    await begin(issued, "ann", "chat/ann/1")
    headers = {"Authorization": f"Bearer {token(exp=int(time.time()) + 20)}"}
    async with issued.client.get(path, headers=headers) as response:
        assert response.status == 200
        clock.leap(20)
        async with asyncio.timeout(PATIENCE):
            text = (await response.content.read()).decode()  # it is whole, not cut off
    assert "Hello" in text
    assert "closed" not in text


# Embedding, and addresses


async def test_an_applications_own_principals_hold_for_the_websocket_too() -> None:
    async def authorize(request: web.Request) -> Principal:
        name = request.headers.get("X-User")
        if name is None:
            raise Unauthorized("log in first")
        return Principal(
            name, grants=(Grant(frozenset(OWN), StreamPattern.parse(f"chat/{name}/**")),)
        )

    app = web.Application()
    setup(app, config=Config.model_validate({"store": {"url": "memory:"}}), authorize=authorize)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/v1/stream/chat/ann/1")).status == 401
        assert (await client.get("/v1/ws")).status == 401
        ann = {"X-User": "ann"}
        assert (await client.put("/v1/stream/chat/ann/1", json=[HELLO], headers=ann)).status == 201
        assert (await client.get("/v1/stream/chat/ann/1", headers={"X-User": "bob"})).status == 404
        async with client.ws_connect("/v1/ws", headers={"X-User": "bob"}) as connection:
            await connection.send_json({"id": 1, "type": "subscribe", "stream": "chat/ann/1"})
            assert (await connection.receive_json())["code"] == "stream_not_found"
        stream = await app[HUB].streams.open("chat/ann/1")
        assert stream.settings.owner == "ann"


class Listening:
    """A socket that listens on an address."""

    def __init__(self, address: str) -> None:

        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address, 7000


@pytest.mark.parametrize(
    ("address", "tables", "refused"),
    [
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("0.0.0.0", {}, True),
        ("::", {}, True),
        ("192.0.2.1", {}, True),
        ("192.0.2.1", {"auth": {"open": True}}, False),
        ("192.0.2.1", {"auth": {"required": True}}, False),
        ("192.0.2.1", {"auth": {"grants": [EVERYBODY]}}, False),
        ("127.0.0.1", {"server": {"hosts": ["chat.example.org"]}}, True),
        ("127.0.0.1", {"server": {"hosts": ["*"]}}, True),
        ("127.0.0.1", {"server": {"hosts": ["app.localhost"]}}, False),
        ("127.0.0.1", {"server": {"trusted_proxies": ["127.0.0.1"]}}, True),
        ("127.0.0.1", {"server": {"hosts": ["chat.example.org"]}, "auth": {"open": True}}, False),
    ],
    ids=str,
)
def test_a_hub_that_others_reach_does_not_start_without_authentication(
    address: str, tables: dict[str, Any], refused: bool
) -> None:
    config = Config.model_validate(tables)
    sockets: Any = [Listening(address)]
    if not refused:
        check_access(config, sockets)
        return
    with pytest.raises(ConfigError, match=r"auth\.open = true") as error:
        check_access(config, sockets)
    assert error.value.code == "auth_missing"


@pytest.mark.parametrize("path", ["/v1/generations", "/v1/stream/one", "/login/x", "/v1/logout"])
async def test_no_body_is_waited_for_of_somebody_without_a_credential(
    start_hub: StartHub, path: str
) -> None:
    """It would take up the memory for the bodies of others, however slowly it arrives."""
    hub = await start_hub(auth=auth(), limits={"body_seconds": 10 * PATIENCE})
    assert hub.client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.client.port)
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20000000\r\n\r\n".encode()
        )
        async with asyncio.timeout(PATIENCE):
            line = await reader.readline()
        assert line.split()[1] in (b"204", b"401", b"404")
    finally:
        writer.close()
