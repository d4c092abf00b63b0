"""What changes between the check of a permission and the deed: it is what was checked, or nothing.

An application is asked in between (`Hooks`), or the store is read; others are at work meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from hub import Hub
from hub.access import shares
from hub.access.hooks import Hooks
from hub.domain.errors import (
    Conflict,
    Forbidden,
    HubError,
    NotFound,
    StreamNotFound,
    Unauthorized,
)
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import LOCAL, Principal
from tests.support.fake_upstream import END, FakeUpstream, Step, said
from tests.support.gated_store import GatedStore
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE


def person(name: str, can: str, match: str = "chat") -> Principal:
    permissions = frozenset(one for one in PERMISSIONS if one in can.split())
    grants = (Grant(permissions, StreamPattern.parse(match)),)
    return Principal(name, grants=grants, credential=f"app:{name}")


ANN: Final = person("ann", "read generate append")
MODERATOR: Final = person("mod", "read generate cancel")
OWNER: Final = person("olga", " ".join(PERMISSIONS - {"admin"}), "elsewhere/**")
"""May do everything with her own streams."""


class Application(Hooks):
    """An application that takes as long as a test says."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def generate(
        self, by: Principal, stream: str | None, upstream: str, model: str | None
    ) -> None:
        self.asked += 1
        await self.answers.wait()

    async def is_asked(self) -> None:
        """Wait until it is asked, which it does not answer yet."""
        before = self.asked
        await eventually(lambda: self.asked > before)


class World:
    """A hub in which an answer runs in "chat" until ``ends``."""

    def __init__(self) -> None:
        self.store, self.application, self.ends = GatedStore(), Application(), asyncio.Event()
        answers: list[list[Step]] = [[said("An answer"), self.ends, END] for _ in range(9)]
        self.upstream = FakeUpstream(*answers)
        self.hub = Hub(
            self.store,
            {self.upstream.name: self.upstream},
            self.upstream.name,
            hooks=self.application,
        )

    async def queue(self, prompt: str, by: Principal, **more: Any) -> str:
        """The id of a prompt that waits; nobody holds its generation."""
        asked = GenerationRequest(prompt, stream="chat", when_busy="queue", **more)
        return (await self.hub.generations.start(asked, by=by)).id

    async def texts(self) -> list[tuple[str | None, str | None]]:
        prompts, _ = await self.hub.generations.queue("chat")
        return [(one.request.prompt, one.request.author) for one in prompts]

    def meanwhile(self, name: str, deed: Callable[[], Awaitable[object]]) -> None:
        """Have something happen once between a check and ``Runs.name``, as if that had to wait."""
        runs = self.hub.generations._runs
        inner = getattr(runs, name)

        async def late(*args: Any, **more: Any) -> Any:
            setattr(runs, name, inner)
            await deed()
            return await inner(*args, **more)

        setattr(runs, name, late)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.hub.start()
    await made.hub.generations.start(GenerationRequest("One", stream="chat"))
    async with asyncio.timeout(PATIENCE):
        yield made
    made.store.release_all()
    made.application.answers.set()
    await made.hub.close()


async def test_what_a_moderator_has_made_its_own_is_not_dropped_by_the_author_before(
    world: World,
) -> None:
    requeue = world.hub.generations.requeue
    mine = await world.queue("Mine", ANN)
    world.meanwhile("drop", lambda: requeue(mine, prompt="Moderated", by=MODERATOR))
    with pytest.raises(Conflict) as refused:
        await world.hub.generations.cancel(mine, by=ANN)
    assert refused.value.code == "prompt_changed"
    assert await world.texts() == [("Moderated", "mod")]


async def test_what_its_author_has_changed_meanwhile_is_dropped(world: World) -> None:
    requeue = world.hub.generations.requeue
    mine = await world.queue("Mine", ANN)
    world.meanwhile("drop", lambda: requeue(mine, prompt="Still mine", place=1, by=ANN))
    await world.hub.generations.cancel(mine, by=ANN)
    assert await world.texts() == []


@pytest.mark.parametrize("change", [{"place": 1}, {"now": True}])
async def test_nor_moved(world: World, change: dict[str, Any]) -> None:
    requeue = world.hub.generations.requeue
    await world.queue("First", MODERATOR)
    mine = await world.queue("Mine", ANN)
    world.meanwhile("requeue", lambda: requeue(mine, prompt="Moderated", by=MODERATOR))
    author = person("ann", "read generate cancel") if "now" in change else ANN
    with pytest.raises(Conflict):
        await requeue(mine, **change, by=author)
    assert (await world.texts())[1] == ("Moderated", "mod")


async def test_an_edit_undoes_nothing_that_came_while_the_application_was_asked(
    world: World,
) -> None:
    mine = await world.queue("Mine", ANN, options={"temperature": 0})
    world.application.answers.clear()
    editing = asyncio.create_task(world.hub.generations.requeue(mine, prompt="Better", by=ANN))
    await world.application.is_asked()
    await world.hub.generations.requeue(mine, prompt="By the application", by=LOCAL)
    world.application.answers.set()
    with pytest.raises(Conflict) as refused:
        await editing
    assert refused.value.code == "prompt_changed"
    assert await world.texts() == [("By the application", "ann")]


async def test_nor_takes_it_from_its_new_author(world: World) -> None:
    mine = await world.queue("Mine", ANN)
    world.application.answers.clear()
    editing = asyncio.create_task(world.hub.generations.requeue(mine, prompt="Better", by=ANN))
    await world.application.is_asked()
    taking = asyncio.create_task(world.hub.generations.requeue(mine, prompt="M", by=MODERATOR))
    await world.application.is_asked()
    world.application.answers.set()
    results = await asyncio.gather(editing, taking, return_exceptions=True)
    refused = [one for one in results if isinstance(one, HubError)]
    assert [one.code for one in refused] == ["prompt_changed"], "one of two comes first"


async def test_a_move_does_not_hinder_an_edit(world: World) -> None:
    await world.queue("First", MODERATOR)
    mine = await world.queue("Mine", ANN)
    world.application.answers.clear()
    editing = asyncio.create_task(world.hub.generations.requeue(mine, prompt="Better", by=ANN))
    await world.application.is_asked()
    await world.hub.generations.requeue(mine, place=1, by=LOCAL)
    world.application.answers.set()
    await editing
    assert await world.texts() == [("Better", "ann"), ("First", "mod")]


async def owned(world: World) -> None:
    """The stream "own" belongs to its author, and an answer runs in it."""
    await world.hub.streams.append_to("own", Message("user", "Hi"))
    await world.hub.change_owner("own", OWNER.subject)


async def test_nobody_generates_in_a_stream_that_was_given_away_meanwhile(world: World) -> None:
    await owned(world)
    world.application.answers.clear()
    asked = GenerationRequest("Mine?", stream="own")
    starting = asyncio.create_task(world.hub.generations.start(asked, by=OWNER))
    await world.application.is_asked()
    await world.hub.change_owner("own", "bob")
    world.application.answers.set()
    with pytest.raises(StreamNotFound):
        await starting
    stream = await world.hub.streams.open("own")
    assert [one.text async for one in stream.events() if isinstance(one, Message)] == ["Hi"]


async def test_nor_edits_a_prompt_in_it(world: World) -> None:
    await owned(world)
    await world.hub.generations.start(GenerationRequest("Go", stream="own"), by=OWNER)
    asked = GenerationRequest("Mine", stream="own", when_busy="queue")
    mine = await world.hub.generations.start(asked, by=OWNER)
    world.application.answers.clear()
    editing = asyncio.create_task(world.hub.generations.requeue(mine.id, prompt="M", by=OWNER))
    await world.application.is_asked()
    await world.hub.change_owner("own", "bob")
    world.application.answers.set()
    with pytest.raises((Forbidden, NotFound)):
        await editing
    prompts, _ = await world.hub.generations.queue("own")
    assert [one.request.prompt for one in prompts] == ["Mine"]


async def test_a_credential_that_is_revoked_meanwhile_edits_nothing(world: World) -> None:
    mine = await world.queue("Mine", ANN)
    world.application.answers.clear()
    editing = asyncio.create_task(world.hub.generations.requeue(mine, prompt="M", by=ANN))
    await world.application.is_asked()
    world.hub.revoke("app:ann")
    world.application.answers.set()
    with pytest.raises(Unauthorized):
        await editing
    assert await world.texts() == [("Mine", "ann")]


@pytest.mark.parametrize("change", ["revoked", "given away", "deleted"])
async def test_no_link_is_made_once_that_is_not_allowed_any_more(world: World, change: str) -> None:
    await owned(world)
    world.store.open = False
    sharing = asyncio.create_task(world.hub.shares.create("own", by=OWNER))
    await eventually(lambda: world.store.waits)  # for the disk
    world.store.open = True
    match change:
        case "revoked":
            world.hub.revoke("app:olga")
        case "given away":
            await world.hub.change_owner("own", "bob")
        case _:
            await world.hub.streams.delete("own")
            await owned(world)
    world.store.release_all()
    with pytest.raises((Unauthorized, StreamNotFound)):
        await sharing
    assert await world.hub.credentials.listed(shares.KIND, "", 9) == []


async def test_the_end_of_an_answer_is_not_told_once_its_stream_was_given_away(
    world: World,
) -> None:
    await owned(world)
    asked = GenerationRequest("Go", stream="own")
    begun = await world.hub.generations.start(asked, by=OWNER)
    world.meanwhile("wait", lambda: world.hub.change_owner("own", "bob"))
    world.ends.set()
    with pytest.raises(NotFound):
        await world.hub.generations.wait(begun.id, by=OWNER)
