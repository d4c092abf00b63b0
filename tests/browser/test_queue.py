"""What is written while an answer runs, or while the hub is away, waits, and everybody sees it."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.async_api import Locator, expect

from tests.browser.chat import ENDLESS, Chat, held, words
from tests.browser.conftest import Axe, NewGround, Shot
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess

DOWN: Final = (r"net::ERR_", r"WebSocket connection to")


class Waiting(Chat):
    """A tab that also shows what waits."""

    @property
    def queue(self) -> Locator:
        return self.page.get_by_role("region", name="Waiting")

    @property
    def waiting(self) -> Locator:
        return self.queue.locator(".what")

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()


async def opened(ground: Ground, *, apart: bool = False) -> Waiting:
    context = await ground.context() if apart else None
    chat = Waiting(await ground.tab("/#/c/one", context=context))
    await chat.live()
    return chat


async def asked(hub: HubProcess) -> list[str]:
    events = await held(hub.url, "one")
    return [event["text"] for event in events if event["type"] == "message"]


async def test_what_is_written_meanwhile_waits_for_everybody(
    ground: Ground, hub_process: HubProcess, axe: Axe, shot: Shot
) -> None:
    one, other = await opened(ground), await opened(ground, apart=True)
    await one.send(ENDLESS)
    await one.begun()
    for prompt in ("echo two", "echo three", "echo four", "echo five"):
        await one.send(prompt)
        await expect(one.composer).to_have_value("")
    for chat in (one, other):
        await expect(chat.waiting).to_have_text(
            ["echo two", "echo three", "echo four", "echo five"]
        )
        await expect(chat.queue).to_contain_text("Next, when the answer is complete")
    await shot(one.page, "queue")
    assert [found["id"] for found in await axe(one.page)] == []

    # Any tab changes it, and all tabs see that.
    await other.press("Move up: echo four")
    await other.press("Drop: echo three")
    await other.press("Edit: echo five")
    field = other.page.get_by_role("textbox", name="Edit the prompt")
    await field.fill("echo 5")
    await field.press("Enter")
    for chat in (one, other):
        await expect(chat.waiting).to_have_text(["echo two", "echo four", "echo 5"])

    await one.page.reload()
    await expect(one.waiting).to_have_text(["echo two", "echo four", "echo 5"])
    await one.begun()
    await other.press("Stop and send now: echo four")
    for chat in (one, other):
        await expect(chat.waiting).to_have_count(0)
        await chat.answered("5")
    assert await asked(hub_process) == [ENDLESS, "echo four", "echo two", "echo 5"]


async def test_stop_holds_what_waits(ground: Ground, hub_process: HubProcess) -> None:
    chat = await opened(ground)
    await chat.send(ENDLESS)
    await chat.begun()
    await chat.send("echo two")
    await chat.send("echo three")
    await expect(chat.waiting).to_have_count(2)
    await chat.page.keyboard.press("Escape")
    await expect(chat.queue).to_contain_text("Held back because the last answer did not finish")
    await chat.page.reload()
    await expect(chat.queue).to_contain_text("Held back")
    await expect(chat.replies).to_have_count(1)
    await chat.press("Send now: echo three")
    await chat.answered("two")
    assert await asked(hub_process) == [ENDLESS, "echo three", "echo two"]


@pytest.mark.parametrize("kill", [False, True])
async def test_a_restart_goes_on_with_what_waits(
    ground: Ground, hub_process: HubProcess, *, kill: bool
) -> None:
    ground.expect(*DOWN)
    chat = await opened(ground)
    await chat.send(ENDLESS)
    await chat.begun()
    for prompt in (f"echo {words(20)}", "echo three"):
        await chat.send(prompt)
    await expect(chat.waiting).to_have_count(2)
    await hub_process.restart(kill=kill)
    await expect(chat.waiting).to_have_count(0)
    await chat.answered("three")
    await expect(chat.said).to_have_count(3)
    assert await asked(hub_process) == [ENDLESS, f"echo {words(20)}", "echo three"]


async def test_what_is_written_offline_is_sent_once_the_hub_is_back(
    hub_process: HubProcess, new_ground: NewGround, axe: Axe, shot: Shot
) -> None:
    line = hub_process.line
    ground = new_ground(line.url)
    ground.expect(*DOWN)
    context = await ground.context()
    tabs = [Waiting(await ground.tab("/#/c/one", context=context)) for _ in range(2)]
    for chat in tabs:
        await chat.live()
    one, other = tabs
    await line.cut()
    await expect(one.status).to_contain_text(re.compile("Offline|Connecting"))
    for prompt in ("echo one", "echo two", "echo three"):
        await one.send(prompt)
        await expect(one.composer).to_have_value("")
    for chat in tabs:
        await expect(chat.waiting).to_have_text(["echo one", "echo two", "echo three"])
        await expect(chat.queue).to_contain_text("Not sent yet")
    await expect(one.complaint).to_have_count(0)
    await shot(one.page, "offline")
    assert [found["id"] for found in await axe(one.page)] == []
    await other.press("Drop: echo two")
    await expect(one.waiting).to_have_count(2)
    # The tab that wrote them is gone, and they are not.
    await one.page.close()
    line.mend()
    await other.answered("three")
    await expect(other.waiting).to_have_count(0)
    assert await asked(hub_process) == ["echo one", "echo three"]
