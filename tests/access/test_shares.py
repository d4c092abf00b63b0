"""Share links in the hub's operations: what each shows, over every store, and for how long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from hub import Hub
from hub.access import shares
from hub.access.shares import Share, check_link
from hub.domain.errors import (
    Forbidden,
    GenerationNotFound,
    HubError,
    LimitExceeded,
    NotFound,
    RequestError,
    StreamNotFound,
    Unauthorized,
)
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import PERMISSIONS, Grant, Permission, StreamPattern
from hub.domain.principal import Principal
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.stores import Credential
from tests.conftest import Running, StartHub

NAME = "chat/ann/1"


def person(name: str, match: str, *can: Permission) -> Principal:
    grants = (Grant(frozenset(can), StreamPattern.parse(match)),)
    return Principal(name, grants=grants, credential=f"key of {name}")


ANN = person("ann", "chat/ann/**", *(PERMISSIONS - {"admin"}))
BOB = person("bob", "chat/bob/**", *(PERMISSIONS - {"admin"}))
READER = person("rita", "chat/**", "read")
ADMIN = person("root", "**", *PERMISSIONS)


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest, start_hub: StartHub, tmp_path: Path) -> Running:
    url = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'hub.db'}"
    slow = {"dialect": "demo", "options": {"pace": 1}}
    running = await start_hub(store={"url": url}, upstreams={"slow": slow})
    await say(running.hub, "one", "two")
    return running


async def say(hub: Hub, *texts: str, name: str = NAME) -> None:
    for text in texts:
        await hub.streams.append_to(name, Message("user", text, "ann"), by=ANN)


async def read(hub: Hub, by: Principal, name: str = NAME) -> list[str]:
    stream = await hub.streams.open(name, by=by)
    return [one.text async for one in stream.events() if isinstance(one, Message)]


async def presented(hub: Hub, share: Share, secret: str) -> Principal:
    row = await hub.credentials.find(shares.KIND, share.id)
    return check_link(f"sl_{secret}", row, share.created).principal


async def linked(hub: Hub, **asked: Any) -> Principal:
    share, secret = await hub.shares.create(NAME, by=ANN, **asked)
    return await presented(hub, share, secret)


async def test_a_live_link_shows_all_and_whatever_comes(running: Running) -> None:
    hub = running.hub
    reader = await linked(hub)
    assert await read(hub, reader) == ["one", "two"]
    await say(hub, "three")
    assert await read(hub, reader) == ["one", "two", "three"]


async def test_a_frozen_link_shows_what_there_was(running: Running) -> None:
    hub = running.hub
    reader = await linked(hub, until="now")
    await say(hub, "three")
    stream = await hub.streams.open(NAME, by=reader)
    assert await read(hub, reader) == ["one", "two"]
    assert (stream.tail, stream.position.offset, stream.closed) == (2, 2, True)
    assert stream.place("now").offset == 2
    beyond = (await hub.streams.open(NAME)).position
    assert stream.place(beyond).reset is not None, "nobody gets behind its end"
    assert (await stream.fetch(1, 1_000_000)).position.offset == 2


async def test_a_link_may_end_at_a_position(running: Running) -> None:
    hub = running.hub
    first = (await hub.streams.open(NAME)).position_at(1)
    assert await read(hub, await linked(hub, until=first)) == ["one"]
    for wrong in (Position(first.epoch, 3), Position(first.epoch + 1, 1)):
        with pytest.raises(RequestError, match="no such position"):
            await linked(hub, until=wrong)


async def test_readers_of_one_frozen_link_share_what_they_read(running: Running) -> None:
    hub = running.hub
    reader = await linked(hub, until="now")
    stream = await hub.streams.open(NAME, by=reader)
    assert await hub.streams.open(NAME, by=reader) is stream


@pytest.mark.parametrize("until", [None, "now"])
async def test_a_link_allows_nothing_but_to_read_its_stream(
    running: Running, until: Literal["now"] | None
) -> None:
    hub = running.hub
    await say(hub, "other", name="chat/ann/2")
    reader = await linked(hub, until=until)
    stream = await hub.streams.open(NAME)
    generation = await hub.generations.start(GenerationRequest("echo hi", stream=NAME))
    refused = [
        hub.streams.append_to(NAME, Message("user", "hi"), by=reader),
        hub.streams.write(NAME, [(b"{}", None)], by=reader),
        hub.streams.write(NAME, [], close=True, by=reader),
        hub.streams.make(NAME, stream.settings, by=reader),
        hub.streams.delete(NAME, by=reader),
        hub.streams.fork("chat/ann/3", NAME, by=reader),
        hub.streams.fork("copy", NAME, by=reader),
        hub.streams.listed("", "", 10, by=reader),
        hub.generations.start(GenerationRequest("hi", stream=NAME), by=reader),
        hub.generations.start(GenerationRequest("hi"), by=reader),
        hub.generations.cancel(generation.id, by=reader),
        hub.shares.create(NAME, by=reader),
        hub.shares.listed(NAME, "", 10, by=reader),
        read(hub, reader, "chat/ann/2"),
        read(hub, reader, "chat/ann"),
        hub.streams.check_wait("chat/ann/9", by=reader),
    ]
    for one in refused:
        with pytest.raises((Forbidden, StreamNotFound, GenerationNotFound)):
            await one


async def test_a_generation_is_shown_by_a_live_link_alone(running: Running) -> None:
    hub = running.hub
    live, frozen = await linked(hub), await linked(hub, until="now")
    generation = await hub.generations.start(GenerationRequest("Hi", stream=NAME, upstream="slow"))
    assert await hub.generations.running_in(NAME, by=frozen) is None
    assert await hub.generations.running_in(NAME, by=live) is generation
    await hub.generations.cancel(generation.id)
    assert (await hub.generations.find(generation.id, by=live)).id == generation.id
    with pytest.raises(GenerationNotFound):
        await hub.generations.find(generation.id, by=frozen)
    with pytest.raises(GenerationNotFound):
        await hub.generations.wait(generation.id, by=frozen)


@pytest.mark.parametrize("until", [None, "now"])
async def test_a_link_dies_with_its_stream(running: Running, until: Literal["now"] | None) -> None:
    hub = running.hub
    share, secret = await hub.shares.create(NAME, until=until, by=ANN)
    reader = await presented(hub, share, secret)
    await hub.streams.delete(NAME, by=ANN)
    with pytest.raises(StreamNotFound):
        await read(hub, reader)
    await say(hub, "secret", "of another")
    with pytest.raises(StreamNotFound):
        await read(hub, reader)
    assert await hub.shares.listed(NAME, "", 10, by=ANN) == ([], False)
    assert await hub.generations.running_in(NAME, by=reader) is None
    # Whoever made it can still take it away.
    await hub.shares.revoke(share.id, by=ANN)


@pytest.mark.parametrize("until", [None, "now"])
async def test_a_link_dies_with_its_stream_also_if_a_fork_gets_the_name(
    running: Running, until: Literal["now"] | None
) -> None:
    """A fork has its source's epochs, which are older than the link."""
    hub = running.hub
    await hub.streams.fork("chat/ann/old", NAME, by=ANN)
    reader = await linked(hub, until=until)
    await hub.streams.delete(NAME, by=ANN)
    with pytest.raises(StreamNotFound):
        await read(hub, reader)  # its fork keeps the records, but not for links
    await hub.streams.delete("chat/ann/old", by=ANN)
    await say(hub, "source", name="chat/ann/source")
    await hub.streams.fork(NAME, "chat/ann/source", by=ANN)
    assert await read(hub, ANN) == ["source"]
    with pytest.raises(StreamNotFound):
        await read(hub, reader)


async def test_a_fork_is_shown_with_what_it_has_of_its_source(running: Running) -> None:
    hub = running.hub
    stream = await hub.streams.open(NAME)
    await hub.streams.fork("chat/ann/fork", NAME, stream.position_at(1), by=ANN)
    await say(hub, "elsewhere", name="chat/ann/fork")
    share, secret = await hub.shares.create("chat/ann/fork", by=ANN)
    reader = await presented(hub, share, secret)
    assert await read(hub, reader, "chat/ann/fork") == ["one", "elsewhere"]
    with pytest.raises(StreamNotFound):
        await read(hub, reader)
    await hub.streams.delete(NAME, by=ANN)
    assert await read(hub, reader, "chat/ann/fork") == ["one", "elsewhere"]


async def test_a_link_outlives_a_restart(start_hub: StartHub, tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    hub = (await start_hub(store=store)).hub
    await hub.streams.make("empty", StreamSettings(), by=ADMIN)
    await say(hub, "one")
    live, secret = await hub.shares.create(NAME, by=ANN)
    frozen, other = await hub.shares.create(NAME, until="now", by=ANN)
    unbegun, third = await hub.shares.create("empty", by=ADMIN)
    for _ in range(2):
        await hub.close()
        hub = (await start_hub(store=store)).hub
        await say(hub, "more")
        assert await read(hub, await presented(hub, frozen, other)) == ["one"]
        await read(hub, await presented(hub, unbegun, third), "empty")
    assert await read(hub, await presented(hub, live, secret)) == ["one", "more", "more"]


async def test_who_may_share_and_who_sees_and_revokes_links(running: Running) -> None:
    hub = running.hub
    for nobody in (BOB, READER):
        with pytest.raises((StreamNotFound, Forbidden)):
            await hub.shares.create(NAME, by=nobody)
    share, _ = await hub.shares.create(NAME, title="For Bob", by=ANN)
    by_admin, _ = await hub.shares.create(NAME, by=ADMIN)
    both = sorted((share.id, by_admin.id))
    for somebody in (ANN, ADMIN):
        held, more = await hub.shares.listed(NAME, "", 10, by=somebody)
        assert ([one.id for one in held], more) == (both, False)
    assert [one.id for one in (await hub.shares.listed(None, "", 10, by=ANN))[0]] == [share.id]
    assert [one.id for one in (await hub.shares.listed(None, "", 10, by=ADMIN))[0]] == both
    assert await hub.shares.listed(None, "", 10, by=BOB) == ([], False)
    for nobody in (BOB, READER):
        with pytest.raises((StreamNotFound, Forbidden)):
            await hub.shares.listed(NAME, "", 10, by=nobody)
        with pytest.raises((NotFound, Forbidden)):
            await hub.shares.revoke(share.id, by=nobody)
    await hub.shares.revoke(by_admin.id, by=ANN)
    await hub.shares.revoke(share.id, by=ADMIN)
    assert await hub.shares.listed(NAME, "", 10, by=ANN) == ([], False)
    with pytest.raises(NotFound):
        await hub.shares.revoke("none", by=ADMIN)


@pytest.mark.parametrize("writes", ["append", "generate"])
async def test_an_owner_that_may_share_nothing_sees_and_revokes_what_others_share(
    running: Running, writes: Permission
) -> None:
    hub = running.hub
    owner = person("ann", "chat/ann/**", "read", writes)
    share, _ = await hub.shares.create(NAME, by=ADMIN)
    with pytest.raises(Forbidden):
        await hub.shares.create(NAME, by=owner)
    only_reads = person("ann", "chat/ann/**", "read")
    other = person("bob", "chat/**", "read", writes)
    for nobody in (only_reads, owner.only_reading(NAME), other):
        with pytest.raises(Forbidden):
            await hub.shares.listed(NAME, "", 10, by=nobody)
        with pytest.raises(NotFound):
            await hub.shares.revoke(share.id, by=nobody)
    assert await hub.shares.listed(NAME, "", 10, by=owner) == ([share], False)
    await hub.shares.revoke(share.id, by=owner)
    assert await hub.shares.listed(NAME, "", 10, by=owner) == ([], False)


async def test_a_narrowed_credential_of_their_maker_neither_sees_nor_revokes_links(
    running: Running,
) -> None:
    hub = running.hub
    share, _ = await hub.shares.create(NAME, by=ANN)
    other = replace(ANN, within=(Grant(PERMISSIONS, StreamPattern.literal("chat/ann/2")),))
    for narrowed in (ANN.only_reading(NAME), other):
        assert await hub.shares.listed(None, "", 10, by=narrowed) == ([], False)
        with pytest.raises(NotFound):
            await hub.shares.revoke(share.id, by=narrowed)
    here = replace(ANN, within=(Grant(frozenset({"share"}), StreamPattern.literal(NAME)),))
    assert await hub.shares.listed(None, "", 10, by=here) == ([share], False)
    await hub.shares.revoke(share.id, by=here)


async def test_links_come_in_pages(running: Running) -> None:
    hub = running.hub
    ids = sorted([(await hub.shares.create(NAME, by=ANN))[0].id for _ in range(5)])
    found: list[str] = []
    more = True
    while more:
        page, more = await hub.shares.listed(NAME, found[-1] if found else "", 2, by=ANN)
        found += [one.id for one in page]
    assert found == ids


async def test_a_stream_has_so_many_links_at_a_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = running.hub
    monkeypatch.setattr(shares, "OF_ONE_STREAM", 2)
    first, _ = await hub.shares.create(NAME, by=ANN)
    await hub.shares.create(NAME, by=ANN)
    with pytest.raises(LimitExceeded):
        await hub.shares.create(NAME, by=ANN)
    await hub.shares.revoke(first.id, by=ANN)
    await hub.shares.create(NAME, by=ANN)


async def limited(start_hub: StartHub, of_one: int) -> Hub:
    """A hub in which one user makes so many links."""
    hub = (await start_hub(auth={"limits": {"shares": of_one}, "open": True})).hub
    for name in (NAME, "chat/bob/1"):
        await hub.streams.append_to(name, Message("user", "one"))
    return hub


async def test_one_user_has_so_many_links_at_a_time(start_hub: StartHub) -> None:
    hub = await limited(start_hub, 2)
    first, _ = await hub.shares.create(NAME, by=ANN)
    await hub.shares.create(NAME, by=replace(ANN, credential="another key"))
    with pytest.raises(LimitExceeded, match=r"auth\.limits\.shares.*revoke some") as refused:
        await hub.shares.create(NAME, by=ANN)
    assert refused.value.code == "too_many_shares"
    await hub.shares.create("chat/bob/1", by=BOB)
    for _ in range(4):
        await hub.shares.create(NAME)  # the application itself
    await hub.shares.revoke(first.id, by=ANN)
    await hub.shares.create(NAME, by=ANN)


async def test_all_without_a_name_share_one_number_of_links(start_hub: StartHub) -> None:
    hub = await limited(start_hub, 2)
    nameless = Principal(grants=ADMIN.grants, credential="1")
    for by in (nameless, replace(nameless, credential="2")):
        await hub.shares.create(NAME, by=by)
    with pytest.raises(LimitExceeded):
        await hub.shares.create(NAME, by=replace(nameless, credential="3"))
    await hub.shares.create(NAME, by=ANN)


async def test_ones_own_links_of_deleted_streams_make_room(start_hub: StartHub) -> None:
    hub = await limited(start_hub, 2)
    await say(hub, "gone", name="chat/ann/gone")
    await hub.shares.create("chat/ann/gone", by=ANN)
    await hub.shares.create(NAME, by=ANN)
    await hub.streams.delete("chat/ann/gone", by=ANN)
    await hub.shares.create(NAME, by=ANN)
    with pytest.raises(LimitExceeded):
        await hub.shares.create(NAME, by=ANN)


async def test_many_at_once_do_not_pass_the_limit(start_hub: StartHub) -> None:
    hub = await limited(start_hub, 3)
    made = await asyncio.gather(
        *(hub.shares.create(NAME, by=ANN) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, LimitExceeded) for one in made) == 7


async def test_a_request_reads_no_links_but_those_it_is_about(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = running.hub
    for number in range(5):
        await say(hub, "one", name=f"chat/ann/{number}")
        for _ in range(5):
            await hub.shares.create(f"chat/ann/{number}", by=ANN)
    await hub.streams.append_to("chat/bob/1", Message("user", "one"))
    read: list[Credential] = []
    understand = Share.of

    def counted(row: Credential) -> Share:
        read.append(row)
        return understand(row)

    monkeypatch.setattr(Share, "of", counted)
    assert await hub.shares.listed(None, "", 10, by=BOB) == ([], False)
    await hub.shares.create("chat/bob/1", by=BOB)
    await hub.shares.create(NAME, by=ANN)
    assert read == []
    found, more = await hub.shares.listed("chat/ann/2", "", 10, by=ANN)
    assert (len(found), more, len(read)) == (5, False, 5)
    for by in (ANN, ADMIN):
        read.clear()
        found, more = await hub.shares.listed(None, "", 3, by=by)
        assert (len(found), more, len(read)) == (3, True, 4)


async def test_a_full_hub_is_not_searched_for_room(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = running.hub
    for where in ("hub.stores.memory", "hub.stores.sqlite.credentials"):
        monkeypatch.setattr(f"{where}.CREDENTIALS", 10)
    monkeypatch.setattr(shares, "LOOKED_UP", 4)
    for _ in range(10):
        await hub.shares.create(NAME, by=ANN)
    looked: list[str] = []

    async def counted(stream: str, epoch: int) -> bool:
        looked.append(stream)
        return True

    monkeypatch.setattr(hub.shares._streams, "exists", counted)
    with pytest.raises(LimitExceeded):
        await hub.shares.create(NAME, by=ANN)
    assert len(looked) == 4


async def test_links_of_deleted_streams_make_room(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = running.hub
    for where in ("hub.stores.memory", "hub.stores.sqlite.credentials"):
        monkeypatch.setattr(f"{where}.CREDENTIALS", 3)
    await say(hub, "kept", name="chat/ann/kept")
    await hub.shares.create("chat/ann/kept", by=ANN)
    await say(hub, "gone", name="chat/ann/gone")
    await hub.shares.create("chat/ann/gone", by=ANN)
    await hub.shares.create(NAME, by=ANN)
    with pytest.raises(LimitExceeded):
        await hub.shares.create(NAME, by=ANN)
    await hub.streams.delete("chat/ann/gone", by=ANN)
    await hub.shares.create(NAME, by=ANN)
    await hub.streams.delete("chat/ann/kept", by=ANN)
    await say(hub, "of another", name="chat/ann/kept")
    await hub.shares.create("chat/ann/kept", by=ANN)
    with pytest.raises(LimitExceeded):
        await hub.shares.create(NAME, by=ANN)


@pytest.mark.parametrize("asked", [{"expires_in": 59}, {"expires_in": 10**10}, {"title": "a\nb"}])
async def test_what_is_asked_for_is_checked(running: Running, asked: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        await linked(running.hub, **asked)
    assert await running.hub.credentials.listed(shares.KIND, "", 10) == []


async def test_a_link_that_does_not_hold_is_never_told_apart(running: Running) -> None:
    hub = running.hub
    share, secret = await hub.shares.create(NAME, expires_in=60, by=ANN)
    row = await hub.credentials.find(shares.KIND, share.id)
    assert row is not None
    assert check_link(f"sl_{secret}", row, share.created + 59) == share
    revoked = await hub.credentials.revoke(shares.KIND, share.id, share.created)
    newer = Credential(shares.KIND, share.id, row.hash, grants='{"stream":"s","epoch":1,"x":2}')
    said = set()
    for token, kept, later in (
        (f"sl_{secret}", None, 0),
        (f"sl_{secret}", revoked, 0),
        (f"sl_{secret}", row, 60),
        (f"sl_{secret}", newer, 0),
        (f"sl_{secret[:-1]}", row, 0),
    ):
        with pytest.raises(Unauthorized) as refused:
            check_link(token, kept, share.created + later)
        said.add((refused.value.code, refused.value.message))
    assert len(said) == 1


async def test_the_secret_is_not_kept(running: Running) -> None:
    share, secret = await running.hub.shares.create(NAME, by=ANN)
    assert secret not in repr(await running.hub.credentials.find(shares.KIND, share.id))


async def test_a_revoked_link_reads_nothing_more(running: Running) -> None:
    """Also not by a request that was let in before, such as a long poll."""
    hub = running.hub
    share, secret = await hub.shares.create(NAME, by=ANN)
    reader = await presented(hub, share, secret)
    await hub.shares.revoke(share.id, by=ANN)
    with pytest.raises(HubError) as refused:
        await read(hub, reader)
    assert isinstance(refused.value, Unauthorized)
