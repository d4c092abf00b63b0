"""Links and tickets, as a program makes and uses them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from hub.client import Hub, HubError, Message, SyncHub
from hub.domain.errors import NotFound
from tests.conftest import Running, StartHub
from tests.support.patience import PATIENCE
from tests.support.people import OWN, auth, bearer

GRANT = {"who": "user", "match": "talk", "can": [*OWN, "share"]}


@pytest.fixture
async def running(start_hub: StartHub) -> Running:
    running = await start_hub(auth=auth(GRANT))
    await running.hub.streams.append_to("talk", Message("user", "Hello"))
    return running


def at(running: Running) -> str:
    return str(running.client.make_url("")).rstrip("/")


async def read(url: str, token: str) -> list[Any]:
    async with Hub(url, headers={"Authorization": f"Bearer {token}"}) as hub:
        return [event async for event in hub.follow("talk")]


async def test_a_link_is_made_used_and_revoked(running: Running) -> None:
    url = at(running)
    async with Hub(url, headers=bearer("ann")) as hub:
        link = await hub.share("talk", until="now", expires_in=3600, title="For Bob")
        assert link.url is not None
        assert link.url.startswith(f"{url}/s/")
        token = "sl_" + link.url.rpartition("/")[2]
        assert (link.title, link.created_by) == ("For Bob", "ann")
        assert token[3:] not in repr(link)
        await hub.append("talk", Message("user", "Later", "ann"))
        (seen,) = await read(url, token)
        assert seen.text == "Hello"
        for listed in (hub.shares("talk"), hub.shares()):
            assert [(one.id, one.url) async for one in listed] == [(link.id, None)]
        await hub.revoke_share(link.id)
        await hub.revoke_share(link.id)
        assert [one async for one in hub.shares("talk")] == []
        with pytest.raises(NotFound):
            await hub.revoke_share("none")
    with pytest.raises(HubError) as refused:
        await read(url, token)
    assert refused.value.code in ("invalid_credential", "link_ended")


async def test_links_come_in_pages(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.client.hub.PAGE", 2)
    async with Hub(at(running), headers=bearer("ann")) as hub:
        made = sorted([(await hub.share("talk")).id for _ in range(5)])
        assert [one.id async for one in hub.shares("talk")] == made


async def test_a_ticket_reads_where_no_header_can_be_sent(running: Running) -> None:
    url = at(running)
    async with Hub(url, headers=bearer("ann")) as hub:
        ticket = await hub.ticket("talk", expires_in=60)
    assert ticket.ticket not in repr(ticket)
    async with aiohttp.ClientSession() as plain, plain.get(ticket.url) as response:
        assert response.status == 200
        async with asyncio.timeout(PATIENCE):
            assert b"Hello" in await response.content.readuntil(b"Hello")


async def test_a_hub_without_authentication_has_none(start_hub: StartHub) -> None:
    url = at(await start_hub())
    async with Hub(url) as hub:
        with pytest.raises(HubError) as refused:
            await hub.share("talk")
        assert refused.value.code == "auth_off"


async def test_the_same_without_async(running: Running) -> None:
    def use() -> None:
        with SyncHub(at(running), headers=bearer("ann")) as hub:
            link = hub.share("talk")
            assert [one.id for one in hub.shares("talk")] == [link.id]
            hub.revoke_share(link.id)
            assert hub.ticket("talk").url.startswith(at(running))

    await asyncio.to_thread(use)
