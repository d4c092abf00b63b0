"""Who may do what to prompts that wait: their authors, those who may cancel, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from hub.access.generations import GenerationAccess
from hub.domain.errors import Conflict, Forbidden, GenerationNotFound, StreamNotFound, Unauthorized
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import LOCAL, Principal, SharedStream
from tests.conftest import StartHub
from tests.support.loopback_hub import eventually

SLOW: Final = {"slow": {"dialect": "demo", "options": {"pace": 1}}}


def person(name: str, can: str, **limits: Any) -> Principal:
    permissions = frozenset(one for one in PERMISSIONS if one in can.split())
    grant = Grant(permissions, StreamPattern.parse("chat"), **limits)
    return Principal(name, grants=(grant,), credential=f"app:{name}")


ANN: Final = person("ann", "read generate")
BOB: Final = person("bob", "read generate")
GUEST: Final = person("guest", "read")
MODERATOR: Final = person("mod", "read generate cancel")
STRANGER: Final = person("stranger", "")


@pytest.fixture
async def generations(start_hub: StartHub) -> GenerationAccess:
    """A hub in which an answer runs in "chat"."""
    running = await start_hub(upstreams=SLOW, default_upstream="slow")
    await running.hub.generations.start(GenerationRequest("One", stream="chat"))
    return running.hub.generations


async def queue(
    generations: GenerationAccess, prompt: str, by: Principal, **more: Any
) -> Generation:
    asked = GenerationRequest(prompt, stream="chat", when_busy="queue", **more)
    return await generations.start(asked, by=by)


async def texts(generations: GenerationAccess) -> list[tuple[str | None, str | None]]:
    prompts, _ = await generations.queue("chat")
    return [(one.request.prompt, one.request.author) for one in prompts]


async def test_its_author_may_edit_move_and_drop_it(generations: GenerationAccess) -> None:
    await queue(generations, "Bob's", BOB)
    mine = await queue(generations, "Mine", ANN)
    await generations.requeue(mine.id, prompt="Better", place=1, by=ANN)
    assert await texts(generations) == [("Better", "ann"), ("Bob's", "bob")]
    assert (await generations.cancel(mine.id, by=ANN)).state is State.DROPPED
    assert await texts(generations) == [("Bob's", "bob")]


@pytest.mark.parametrize("change", [{"prompt": "x"}, {"place": 1}, {"now": True}])
async def test_the_prompts_of_others_need_cancel(
    generations: GenerationAccess, change: dict[str, Any]
) -> None:
    mine = await queue(generations, "Mine", ANN)
    for by in (BOB, GUEST):
        with pytest.raises(Forbidden):
            await generations.requeue(mine.id, **change, by=by)
        with pytest.raises(Forbidden):
            await generations.cancel(mine.id, by=by)
    with pytest.raises(GenerationNotFound):
        await generations.requeue(mine.id, **change, by=STRANGER)
    with pytest.raises(GenerationNotFound):
        await generations.cancel(mine.id, by=STRANGER)
    assert await texts(generations) == [("Mine", "ann")]
    await generations.requeue(mine.id, **change, by=MODERATOR)


@pytest.mark.parametrize("change", [{"prompt": "x"}, {"place": 1}, {"now": True}])
async def test_a_credential_of_its_author_that_only_reads_changes_nothing(
    generations: GenerationAccess, change: dict[str, Any]
) -> None:
    mine = await queue(generations, "Mine", ANN)
    key = replace(ANN, within=(Grant(frozenset({"read"}), StreamPattern.parse("**")),))
    for by in (ANN.only_reading("chat"), key):
        with pytest.raises(Forbidden):
            await generations.requeue(mine.id, **change, by=by)
        with pytest.raises(Forbidden):
            await generations.cancel(mine.id, by=by)
    assert await texts(generations) == [("Mine", "ann")]


async def test_a_link_up_to_a_position_shows_nothing_that_waits(
    generations: GenerationAccess,
) -> None:
    await queue(generations, "Mine", ANN)
    running = await generations.running_in("chat")
    assert running is not None
    assert running.position is not None
    live = SharedStream("chat", running.position.epoch)
    reads = GUEST.only_reading("chat")
    assert len((await generations.queue("chat", by=replace(reads, shared=live)))[0]) == 1
    frozen = replace(live, until=running.position)
    assert await generations.queue("chat", by=replace(reads, shared=frozen)) == ((), False)


async def test_somebody_without_a_name_owns_no_prompt(generations: GenerationAccess) -> None:
    """Two guests have the same scope."""
    grants = (Grant(frozenset(("read", "generate")), StreamPattern.parse("chat")),)
    one, other = (Principal(grants=grants, address=address) for address in ("1", "2"))
    mine = await queue(generations, "Mine", one)
    with pytest.raises(Unauthorized):
        await generations.cancel(mine.id, by=other)


async def test_who_edits_a_prompt_is_its_author(generations: GenerationAccess) -> None:
    mine = await queue(generations, "Mine", ANN)
    await generations.requeue(mine.id, place=1, by=MODERATOR)
    assert await texts(generations) == [("Mine", "ann")]
    await generations.requeue(mine.id, prompt="Not hers", by=MODERATOR)
    assert await texts(generations) == [("Not hers", "mod")]
    with pytest.raises(Forbidden):
        await generations.requeue(mine.id, prompt="Mine again", by=ANN)
    await generations.requeue(mine.id, prompt="Anybody's", by=LOCAL)
    assert await texts(generations) == [("Anybody's", "mod")]


async def test_who_edits_a_prompt_must_be_allowed_to_ask_for_it(
    generations: GenerationAccess,
) -> None:
    long = await queue(generations, "Long", ANN, options={"max_tokens": 500})
    limited = person("mod", "read generate cancel", max_tokens=100)
    with pytest.raises(Forbidden) as caught:
        await generations.requeue(long.id, prompt="Longer", by=limited)
    assert caught.value.code == "max_tokens_not_permitted"
    with pytest.raises(Forbidden):
        await generations.requeue(long.id, prompt="x", by=person("ann", "read"))


async def test_sending_one_now_stops_an_answer_only_with_cancel(
    generations: GenerationAccess,
) -> None:
    mine = await queue(generations, "Mine", ANN)
    with pytest.raises(Forbidden, match='"cancel"'):
        await generations.requeue(mine.id, now=True, by=ANN)
    for when in ("steer", "replace"):
        with pytest.raises(Forbidden):
            await generations.start(GenerationRequest("Now", stream="chat", when_busy=when), by=ANN)
    running = await generations.running_in("chat")
    assert running is not None
    await generations.cancel(running.id, by=MODERATOR)
    # Nothing runs, so nothing is stopped.
    await generations.requeue(mine.id, now=True, by=ANN)
    await eventually(lambda: mine.state not in (State.QUEUED, State.ASKED))
    # It runs, so it is not a prompt of hers any more.
    with pytest.raises(Forbidden):
        await generations.cancel(mine.id, by=ANN)
    with pytest.raises(Conflict):
        await generations.requeue(mine.id, place=1, by=ANN)


async def test_only_who_may_read_a_stream_sees_its_queue(generations: GenerationAccess) -> None:
    await queue(generations, "Mine", ANN)
    assert len((await generations.queue("chat", by=GUEST))[0]) == 1
    with pytest.raises(StreamNotFound):
        await generations.queue("chat", by=STRANGER)


async def test_the_same_key_of_two_people_is_two_prompts(generations: GenerationAccess) -> None:
    one = await queue(generations, "Same", ANN, key="k")
    other = await queue(generations, "Same", BOB, key="k")
    assert one.id != other.id
    assert (await queue(generations, "Same", ANN, key="k")).id == one.id
    assert await texts(generations) == [("Same", "ann"), ("Same", "bob")]
