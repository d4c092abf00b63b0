"""Users of the same name in two tenants, whose folders are called alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hub import Hub
from hub.access.guard import Allowed, Guard
from hub.domain.errors import StreamNotFound
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.domain.grant_rules import Identity, filled
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import Principal
from hub.domain.stream_settings import StreamSettings
from tests.conftest import StartHub

FOLDER = "chat/ann/1"
GRANT = Grant(frozenset(PERMISSIONS), StreamPattern.parse("chat/{user}/**"))


def of_tenant(tenant: str | None) -> Principal:
    """Ann of a tenant, whose folder is called like that of Ann of any other."""
    grants = filled([GRANT], Identity(user="ann", tenant=tenant))
    return Principal("ann", tenant, grants=grants, credential="app:ann")


IN_FOLDER: dict[str, Callable[[Hub, Principal], Awaitable[object]]] = {
    "append": lambda hub, by: hub.streams.append_to(FOLDER, Message("user", "Hi"), by=by),
    "write": lambda hub, by: hub.streams.write(FOLDER, [(b"{}", None)], by=by),
    "create": lambda hub, by: hub.streams.create(FOLDER, by=by),
    "make": lambda hub, by: hub.streams.make(FOLDER, StreamSettings(), [(b"{}", None)], by=by),
    "fork into it": lambda hub, by: hub.streams.fork(FOLDER, "chat/ann/source", by=by),
    "generate": lambda hub, by: hub.generations.start(
        GenerationRequest("Hi", stream=FOLDER), by=by
    ),
    "read": lambda hub, by: hub.streams.open(FOLDER, by=by),
}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("deed", IN_FOLDER)
async def test_what_another_tenant_begins_after_the_check_is_not_touched(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, deed: str, there: bool
) -> None:
    """Under the same name, which did not exist then, or was a stream of Ann's own."""
    hub = (await start_hub()).hub
    await hub.streams.create("chat/ann/source", by=of_tenant(None))
    await hub.streams.append_to("chat/ann/source", Message("user", "Hi"))
    if there:
        await hub.streams.create(FOLDER, by=of_tenant(None))
    check, begun = Guard.check, False

    async def checked(guard: Guard, by: Principal, needs: Any, name: str) -> Allowed:
        nonlocal begun
        found = await check(guard, by, needs, name)
        if name == FOLDER and not begun:
            begun = True
            if there:
                await hub.streams.delete(FOLDER)
            await hub.streams.create(FOLDER, by=of_tenant("acme"))
        return found

    monkeypatch.setattr(Guard, "check", checked)
    if deed in ("read", "create") and there:
        # What is returned is Ann's own, which is over.
        await IN_FOLDER[deed](hub, of_tenant(None))
    else:
        with pytest.raises(StreamNotFound):
            await IN_FOLDER[deed](hub, of_tenant(None))
    assert begun
    taken = await hub.streams.open(FOLDER)
    assert (taken.settings.owner, taken.tail) == ("acme/ann", 0)


@pytest.mark.parametrize("deed", ["append", "create", "generate"])
async def test_what_the_same_user_begins_after_the_check_is_gone_on_with(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    """Two tabs begin a conversation at once."""
    hub = (await start_hub()).hub
    check, begun = Guard.check, False

    async def checked(guard: Guard, *given: Any) -> Allowed:
        nonlocal begun
        found = await check(guard, *given)
        if not begun:
            begun = True
            await hub.streams.append_to(FOLDER, Message("user", "Hi"), by=of_tenant(None))
        return found

    monkeypatch.setattr(Guard, "check", checked)
    await IN_FOLDER[deed](hub, of_tenant(None))
    assert begun
