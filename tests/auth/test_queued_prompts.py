"""A prompt that waits does not begin with the rights of a credential that was revoked meanwhile."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import jwt
import pytest

from hub.auth import stored_keys
from hub.auth.api_keys import ApiKey, new_key
from hub.auth.sessions import Sessions
from hub.domain.events import Dropped, Event, Message
from hub.domain.generation import State
from hub.domain.grant_rules import Rules
from hub.stores.sqlite import SQLiteStore
from tests.conftest import Running, StartHub
from tests.support.clock import Clock
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, OWN, auth, bearer

SECRET: Final = "0123456789abcdef0123456789abcdef"
ROOM: Final = {"who": "user", "match": "room", "can": OWN}


def asked(text: str) -> dict[str, Any]:
    return {"prompt": text, "stream": "room", "when_busy": "queue"}


async def ask(hub: Running, text: str, headers: dict[str, str]) -> str:
    """The id of a generation."""
    async with hub.client.post("/v1/generations", json=asked(text), headers=headers) as said:
        assert said.status == 201, await said.text()
        return str((await said.json())["id"])


async def go_on(hub: Running, generation: str) -> None:
    """Send a prompt now, and stop what runs for it."""
    change = {"now": True}
    path = f"/v1/generations/{generation}"
    async with hub.client.patch(path, json=change, headers=bearer("admin")) as said:
        assert said.status == 200, await said.text()


async def told(hub: Running) -> list[Event]:
    return [event async for event in (await hub.hub.streams.open("room")).events()]


async def ended(hub: Running, generation: str, state: State) -> None:
    found = hub.hub.generations.find
    async with asyncio.timeout(PATIENCE):
        while (await found(generation)).state is not state:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)


async def drops(hub: Running) -> list[tuple[str, str]]:
    return [(one.generation, one.code) for one in await told(hub) if isinstance(one, Dropped)]


async def texts(hub: Running) -> list[str]:
    return [one.text for one in await told(hub) if isinstance(one, Message)]


async def test_a_prompt_of_a_revoked_key_is_dropped_when_its_turn_comes(
    start_hub: StartHub,
) -> None:
    hub = await start_hub(auth=auth(ROOM))
    await ask(hub, "stall", bearer("admin"))
    anns = await ask(hub, "from ann", bearer("ann"))
    bobs = await ask(hub, "from bob", bearer("bob"))
    hub.hub.revoke(KEYS["ann"].split("_")[1])
    await go_on(hub, anns)
    await ended(hub, bobs, State.FINISHED)
    assert await texts(hub) == ["stall", "from bob"], "it holds nobody up"
    assert await drops(hub) == [(anns, "credential_revoked")]


async def test_it_begins_if_somebody_else_has_made_it_theirs(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(ROOM))
    await ask(hub, "stall", bearer("admin"))
    anns = await ask(hub, "from ann", bearer("ann"))
    hub.hub.revoke(KEYS["ann"].split("_")[1])
    path, change = f"/v1/generations/{anns}", {"prompt": "from the moderator"}
    async with hub.client.patch(path, json=change, headers=bearer("bob")) as said:
        assert said.status == 200, await said.text()
    await go_on(hub, anns)
    await ended(hub, anns, State.FINISHED)
    assert await texts(hub) == ["stall", "from the moderator"]


@pytest.mark.parametrize("how", ["revoked", "removed"])
async def test_also_one_that_was_revoked_while_no_hub_ran(
    start_hub: StartHub, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "hub.db"
    tables: dict[str, Any] = {"store": {"url": f"sqlite:{file}"}}
    people = auth(ROOM)
    secret, id_, digest = new_key()
    hub = await start_hub(auth=people, **tables)
    row = stored_keys.row_of(ApiKey(id_, digest, user="carl", created=time.time()))
    await hub.hub.credentials.add(row)
    await ask(hub, "stall", bearer("admin"))
    carl = {"Authorization": f"Bearer {secret}"}
    waiting = await ask(hub, "later", bearer("ann") if how == "removed" else carl)
    others = await ask(hub, "from bob", bearer("bob"))
    await hub.client.close()

    if how == "removed":
        del people["keys"]["ann"]
    else:
        store = SQLiteStore(file)
        await store.start()
        await store.credentials.revoke(stored_keys.KIND, id_, time.time())
        await store.stop()
    again = await start_hub(auth=people, **tables)
    await ended(again, others, State.FINISHED)
    assert await drops(again) == [(waiting, "credential_revoked")]
    assert await texts(again) == ["stall", "from bob"]


async def test_one_whose_token_has_expired_begins(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setenv("APP_SECRET", SECRET)
    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    hub = await start_hub(auth=auth(ROOM, issuers=issuers))
    held: dict[str, Any] = {"iss": "app", "aud": "hub", "sub": "carl", "exp": time.time() + 60}
    token = jwt.encode(held, SECRET, "HS256")
    await ask(hub, "stall", bearer("admin"))
    waiting = await ask(hub, "from carl", {"Authorization": f"Bearer {token}"})
    clock.leap(60)
    await go_on(hub, waiting)
    await ended(hub, waiting, State.FINISHED)


async def test_one_of_a_session_that_was_ended_is_dropped(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(ROOM))
    await ask(hub, "stall", bearer("admin"))
    sessions = Sessions(hub.hub.credentials, Rules(()), seconds=60, revoked=hub.hub.revoke)
    token, _ = await sessions.begin("ann", None, {}, by="link")
    waiting = await ask(hub, "from ann", {"Authorization": f"Bearer {token}"})
    await sessions.end(token)
    await go_on(hub, waiting)
    await ended(hub, waiting, State.DROPPED)
    assert await drops(hub) == [(waiting, "credential_revoked")]
