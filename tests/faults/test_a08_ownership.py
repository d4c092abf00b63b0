"""A8: what the hub generates is known and stays its own, after a restart and in forks too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import HubError
from hub.domain.events import Delta, recorded
from hub.domain.stream_settings import StreamSettings
from hub.hub import Hub
from hub.streams.write_permissions import WritePermissions
from tests.support.loopback_hub import Loopback, hub_on_loopback
from tests.support.numbered_records import browser, scripted
from tests.support.scripted_upstream import Answer, Ending, Scripted, openai_sse, refusal
from tests.support.strategies import quick
from tests.support.transport_readers import WebSocket

TYPES = ("started", "delta", "finished", "failed", "cancelled", "interrupted")
MINE = "mine-1"
INVENTED = f"gen_{uuid4().hex}"


def forged(kind: str, generation: str) -> dict[str, Any]:
    more = {"finished": {"reason": "stop"}, "delta": {"text": "lies"}}
    return {"type": kind, "generation": generation, **more.get(kind, {})}


async def asked(client: ClientSession, **fields: Any) -> dict[str, Any]:
    async with client.post("/v1/generations", json=fields) as reply:
        assert reply.status == 201, await reply.text()
        told: dict[str, Any] = await reply.json()
        return told


async def shown(client: ClientSession, generation: str) -> tuple[int, dict[str, Any]]:
    async with client.get(f"/v1/generations/{generation}") as reply:
        return reply.status, await reply.json()


async def posted(client: ClientSession, name: str, body: Any, method: str = "POST") -> Any:
    """The status of a write, and its code if it was refused."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    url = f"/v1/stream/{name}"
    async with client.request(method, url, data=data, headers=headers) as reply:
        text = await reply.text()
        return reply.status, json.loads(text)["error"]["code"] if reply.status >= 400 else ""


def kept(folder: Path, **more: Any) -> dict[str, Any]:
    return {"store": {"url": f"sqlite:{folder}/hub.db"}, **more}


DEFAULT: dict[str, Any] = {"streams": {"foreign_generations": False}}


# What is known


async def generated(client: ClientSession, running: Loopback, upstream: Scripted) -> list[str]:
    """Generations with every end there is, one after another in a conversation, and one alone."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    upstream.answers(
        Answer(*openai_sse("Hel", "lo", usage=usage)),
        refusal(400, "no"),
        Answer(*openai_sse("Hel", "lo")[:2], Ending.HANG),
        Answer(*openai_sse("Alone", usage=usage)),
    )
    ids = []
    for number in range(4):
        where = {"stream": "chat"} if number < 3 else {}
        begun = await asked(client, prompt="Hi", **where)
        ids.append(begun["id"])
        if number == 2:
            await running.hub.generations.cancel(begun["id"])
        await running.hub.generations.wait(begun["id"])
    return ids


async def test_after_a_restart_a_generation_is_what_it_was(tmp_path: Path) -> None:
    async with Scripted() as upstream:
        async with (
            hub_on_loopback(**kept(tmp_path), **scripted(upstream)) as running,
            browser(running) as client,
        ):
            ids = await generated(client, running, upstream)
            before = [await shown(client, one) for one in ids]
        states = [told["state"] for _, told in before]
        assert states == ["finished", "failed", "cancelled", "finished"]
        async with hub_on_loopback(**kept(tmp_path)) as running, browser(running) as client:
            assert [await shown(client, one) for one in ids] == before
            # To cancel it changes nothing, and is no error.
            async with client.delete(f"/v1/generations/{ids[0]}") as reply:
                assert await reply.json() == before[0][1]
            async with client.delete("/v1/stream/chat") as reply:
                assert reply.status == 204
            gone = [(await shown(client, one))[0] for one in ids]
            assert gone == [404, 404, 404, 200], "it is known as long as its stream"


async def test_what_is_trimmed_is_not_known_any_more(tmp_path: Path) -> None:
    few = kept(tmp_path, streams={"max_records": 6})
    ids = []
    async with hub_on_loopback(**few) as running, browser(running) as client:
        for _ in range(2):
            # Five records each.
            begun = await asked(client, stream="chat", prompt="Hi", options={"max_tokens": 2})
            await running.hub.generations.wait(begun["id"])
            ids.append(begun["id"])
    async with hub_on_loopback(**few) as running, browser(running) as client:
        assert (await running.hub.streams.open("chat")).head == 4
        assert [(await shown(client, one))[1]["state"] for one in ids] == ["finished"] * 2
        assert await posted(client, "chat", {"type": "note"}) == (204, "")
        await running.hub.streams.committed()
        assert [(await shown(client, one))[0] for one in ids] == [404, 200]


# Who writes


async def every_way(running: Loopback, client: ClientSession, name: str, event: Any) -> set[Any]:
    """What comes of writing an event in every way there is."""
    socket = await running.reader(WebSocket, name).open("start")
    said = await socket.ask(type="append", stream=name, event=event)
    new = f"new-{uuid4().hex}"
    found = {
        await posted(client, name, event),
        await posted(client, name, [{"type": "note"}, event]),
        await posted(client, new, event, "PUT"),
    }
    codes = {code for _, code in found} | {said.get("code", "")}
    if any(codes):
        async with client.head(f"/v1/stream/{new}") as reply:
            assert reply.status == 404, "nothing is made for what is refused"
    return codes


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("allowed", [False, True])
async def test_nobody_else_writes_what_is_told_of_the_hubs_generations(
    tmp_path: Path, allowed: bool, restarted: bool
) -> None:
    streams = {"streams": {"foreign_generations": allowed}}
    async with Scripted() as upstream:
        tables = {**kept(tmp_path), **streams, **scripted(upstream)}
        async with hub_on_loopback(**tables) as running, browser(running) as client:
            ids = await generated(client, running, upstream)
            await running.hub.streams.fork("fork", "chat")
            if not restarted:
                await _is_theirs(running, client, ids, allowed=allowed)
        if restarted:
            async with hub_on_loopback(**tables) as running, browser(running) as client:
                await _is_theirs(running, client, ids, allowed=allowed)


async def _is_theirs(
    running: Loopback, client: ClientSession, ids: list[str], *, allowed: bool
) -> None:
    before = [await (await client.get(f"/v1/stream/{name}")).json() for name in ("chat", "fork")]
    for name in ("chat", "fork", "elsewhere"):
        if name == "elsewhere":
            await posted(client, name, [], "PUT")
        for one in (*ids, INVENTED):
            kinds = TYPES if one == ids[0] else ("delta",)
            for kind in kinds:
                codes = await every_way(running, client, name, forged(kind, one))
                assert codes == {"generation_owned"}, kind
    after = [await (await client.get(f"/v1/stream/{name}")).json() for name in ("chat", "fork")]
    assert after == before
    # Of a generation that is nobody's.
    for kind in TYPES:
        codes = await every_way(running, client, "elsewhere", forged(kind, MINE))
        assert codes == ({""} if allowed else {"foreign_generation"}), kind


async def test_the_refusals_say_what_to_do() -> None:
    async with hub_on_loopback(**DEFAULT) as running, browser(running) as client:
        assert await posted(client, "chat", [], "PUT") == (201, "")
        for one, status, word in ((MINE, 403, "streams.foreign_generations"), (INVENTED, 409, "")):
            async with client.post("/v1/stream/chat", json=forged("delta", one)) as reply:
                assert reply.status == status
                assert word in (await reply.json())["error"]["message"]


async def test_in_python_it_is_the_same() -> None:
    async with hub_on_loopback(**DEFAULT) as running:
        hub: Hub = running.hub
        for one in (MINE, INVENTED):
            with pytest.raises(HubError):
                hub.streams.append((await hub.streams.create("chat"))[0], Delta(one, "lies"))


NOT_OF_ONE: list[Any] = [
    {"type": "delta", "text": "nobody's"},
    {"type": "finished", "reason": "stop"},
    {"type": "note", "generation": INVENTED},
    {"type": "message", "role": "user", "text": "x", "generation": INVENTED},
    {"generation": INVENTED},
    [[forged("delta", INVENTED)]],
    1,
]


@pytest.mark.parametrize("event", NOT_OF_ONE)
async def test_what_only_speaks_of_a_generation_may_be_written(event: Any) -> None:
    """A vote for an answer, say; or text that belongs to no generation."""
    async with hub_on_loopback(**DEFAULT) as running, browser(running) as client:
        assert await posted(client, "chat", event, "PUT") == (201, "")


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"finished","generation":"%s","reason":"because"}',
        b'{"type":"failed","generation":"%s","usage":7}',
        b'{"type":"delta","generation":"%s","text":"\\ud800"}',
        b'{"type":"delta","generation":"%s","text":7}',
        b' \t{ "typ\\u0065" : "delta", "gener\\u0061tion" : "%s" }',
        b'{"type":"note","type":"delta","generation":"x","generation":"%s"}',
        b'{"type":"delta","generation":"%s","deep":' + b"[" * 250 + b"]" * 250 + b"}",
        b'{"type":"delta","generation":"%s","n":' + b"9" * 400 + b"}",
    ],
)
@pytest.mark.parametrize(
    ("one", "code"),
    [(MINE, "foreign_generation"), (INVENTED, "generation_owned")],
    ids=["somebody's own", "invented"],  # an id of each run's own would not do: see pytest-xdist
)
async def test_what_a_browser_would_take_for_such_an_event_is_one(
    body: bytes, one: str, code: str
) -> None:
    """Others read JSON less strictly than the hub."""
    async with hub_on_loopback(**DEFAULT) as running, browser(running) as client:
        _, found = await posted(client, "chat", body.replace(b"%s", one.encode()), "PUT")
        assert found == code


async def test_bytes_that_look_so_are_bytes() -> None:
    async with hub_on_loopback(**DEFAULT) as running, browser(running) as client:
        headers = {"Content-Type": "text/plain"}
        data = json.dumps(forged("delta", INVENTED))
        async with client.put("/v1/stream/text", data=data, headers=headers) as reply:
            assert reply.status == 201


@quick
@given(st.sampled_from(TYPES), st.text(min_size=1), st.binary(max_size=20), st.booleans())
def test_whatever_stands_around_it_its_author_is_looked_at(
    kind: str, generation: str, around: bytes, foreign: bool
) -> None:
    body = json.dumps(forged(kind, generation)).encode() + around
    authors = WritePermissions(foreign_generations=foreign)
    code = ""
    try:
        authors.check(StreamSettings(), [(body, recorded(body))])
    except HubError as error:
        code = error.code
    if around.strip():
        return  # not JSON, so nobody's event; and no error of ours
    assert code == ("" if foreign else "foreign_generation")
