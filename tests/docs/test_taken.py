"""What the documents say that a client may send is what the hub takes: no less.

Whoever generates clients or tests from the documents holds the hub to each word of them. So each
schema is tried here with what it takes, at its limits above all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse
from hypothesis import assume, given
from hypothesis import strategies as st

from hub.docs.codes import status
from hub.docs.frames import COMMANDS
from hub.docs.openapi import MODELS
from hub.domain.errors import CommandError
from hub.domain.events import Message
from hub.protocols.websocket import commands
from tests.support.documented_answers import ROUTES, asyncapi_document, openapi_document, validator
from tests.support.from_schema import taken_by
from tests.support.loopback_hub import Loopback, hub_on_loopback
from tests.support.people import UNLIMITED, auth, bearer
from tests.support.strategies import json_values, quick

STATE: Final = {401, 403, 404, 409, 410, 422, 429}
"""What is refused with these is not malformed: another hub, or this one later, may take it."""


class Asking:
    """A hub, and an operator who asks it, from functions that cannot wait."""

    def __init__(self, runner: asyncio.Runner, hub: Loopback, session: ClientSession) -> None:
        self._runner = runner
        self._url = f"http://127.0.0.1:{hub.port}"
        self._session = session

    def ask(self, method: str, path: str, body: Any) -> tuple[int, str]:
        """The status and the text of the answer."""
        return self._runner.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: Any) -> tuple[int, str]:
        async with self._session.request(method, self._url + path, json=body) as answer:
            return answer.status, (await answer.read()).decode()

    def command(self, command: Any) -> dict[str, Any]:
        """The reply to a command."""
        return self._runner.run(self._command(command))

    async def _command(self, command: Any) -> dict[str, Any]:
        async with self._session.ws_connect(f"{self._url}/v1/ws") as socket:
            if command["type"] in ("presence", "unsubscribe"):  # of what is followed
                await _reply(
                    socket, {"type": "subscribe", "stream": command["stream"], "wait": True}
                )
            return await _reply(socket, command)


async def _reply(socket: ClientWebSocketResponse, command: Any) -> dict[str, Any]:
    await socket.send_json(command)
    while True:
        frame: dict[str, Any] = await socket.receive_json()
        # An error without an id may be about a stream that is followed.
        if frame["type"] == "ok" or (frame["type"] == "error" and "stream" not in frame):
            return frame


@pytest.fixture(scope="module")
def asking() -> Iterator[Asking]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> Asking:
            # A refusal for a limit would hide another one.
            short = {"sse_rotate_seconds": 0.01}
            hub = await stack.enter_async_context(
                hub_on_loopback(auth=auth(limits=UNLIMITED), streams=short, tutorial={"pace": 0})
            )
            await hub.hub.streams.append_to("team/rivers", Message("user", "Hello"))
            session = await stack.enter_async_context(ClientSession(headers=bearer("admin")))
            return Asking(runner, hub, session)

        yield runner.run(start())
        runner.run(stack.aclose())


def test_every_body_is_tried() -> None:
    assert {*ROUTES, "QueueChange"} == set(MODELS)


@pytest.mark.parametrize("name", ROUTES)
def test_what_the_schema_of_a_body_takes_the_hub_takes(name: str, asking: Asking) -> None:
    @quick
    @given(taken_by(openapi_document(), name))
    def check(body: Any) -> None:
        if name == "FollowRequest":  # JSON Schema has no word for this
            assume(len({one["stream"] for one in body}) == len(body))
        found, said = asking.ask("POST", ROUTES[name], body)
        assert found < 300 or found in STATE, said

    check()


@quick
@given(taken_by(openapi_document(), "QueueChange"))
def test_what_the_schema_of_a_change_takes_the_hub_takes(asking: Asking, change: Any) -> None:
    prompt = {"prompt": "stall", "stream": "queued", "when_busy": "queue"}
    state = ""
    while state != "queued":  # but the first one begins
        _, begun = asking.ask("POST", "/v1/generations", prompt)
        state = json.loads(begun)["state"]
    path = f"/v1/generations/{json.loads(begun)['id']}"
    found, said = asking.ask("PATCH", path, change)
    assert found == 200, said
    asking.ask("DELETE", path, None)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_schema_of_a_command_takes_the_hub_takes(name: str, asking: Asking) -> None:
    @quick
    @given(taken_by(asyncapi_document(), name))
    def check(command: Any) -> None:
        # JSON Schema cannot tell 1.0, which is no id, from 1.
        assume(type(command.get("id")) is not float)
        assert type(commands.parse(json.dumps(command))).__name__ == name
        reply = asking.command(command)
        if reply["type"] == "ok":
            validator(asyncapi_document(), f"{name}Ok").validate(reply)
        else:
            validator(asyncapi_document(), "ErrorFrame").validate(reply)
            assert status(reply["code"]) in STATE, reply
        assert reply.get("id") == command.get("id")

    check()


VALUES = json_values | st.integers(-(2**40), 2**40).map(float) | st.sampled_from(["now", "queue"])


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_hub_refuses_the_schema_refuses(name: str) -> None:
    schema = asyncapi_document()["components"]["schemas"][name]
    keys = st.sampled_from([*schema["properties"], "other"])

    @given(st.dictionaries(keys, VALUES, max_size=5))
    def check(held: dict[str, Any]) -> None:
        held = {**held, "type": name.lower()}
        try:
            commands.parse(json.dumps(held))
        except CommandError:
            assume(type(held.get("id")) is not float)
            assert not validator(asyncapi_document(), name).is_valid(held)

    check()
