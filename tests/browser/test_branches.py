"""Versions of answers and questions inside one conversation, which is one row of the list."""

from __future__ import annotations

import re
from typing import Any, Final

import aiohttp
from playwright.async_api import expect

from hub.client import Hub, Message
from tests.browser.chat import ENDLESS, Chat, held
from tests.browser.conftest import Axe, Shot
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess

BACK: Final = "Previous version"

_PLACES_AFTER_PRESS: Final = """
async (button) => {
  const root = button.getRootNode();
  const rows = () => root.querySelectorAll("hub-reply .actions");
  const top = () => [...rows()].at(-1).getBoundingClientRect().top;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  button.click();
  await new Promise((done) => setTimeout(done));
  const tops = [top()];
  for (let i = 0; i < 3; i++) { await frame(); tops.push(top()); }
  return tops;
}
"""
"""Where the last row of buttons is before the next frame, which is slow here, and after it."""


async def opened(ground: Ground, **options: Any) -> Chat:
    chat = Chat(await ground.tab("/#/c/one", **options))
    await chat.live()
    return chat


async def edited(chat: Chat, text: str) -> None:
    """Say something else in the place of the last message."""
    await chat.said.last.hover()
    await chat.said.last.get_by_role("button", name="Edit this message").click()
    await chat.page.get_by_role("textbox", name="Edit the message").fill(text)
    await chat.page.keyboard.press("Enter")
    # A long one is folded.
    await expect(chat.said.last.locator(".words")).to_contain_text(text[:20])


async def test_they_are_one_conversation_that_goes_on_where_one_looks(
    ground: Ground, hub_process: HubProcess, axe: Axe, shot: Shot
) -> None:
    chat = await opened(ground)
    await chat.send("echo one")
    await chat.answered("one")
    await chat.replies.last.get_by_role("button", name="Answer again").click()
    answers = chat.replies.last.locator(".count")
    await expect(answers).to_have_text("2/2")
    await chat.over()
    await edited(chat, "echo two")
    await chat.answered("two")
    questions = chat.said.last.locator(".count")
    await expect(questions).to_have_text("2/2")
    await chat.said.last.get_by_role("button", name=BACK).click()
    await chat.answered("one")
    await expect(answers).to_have_text("2/2")
    await chat.replies.last.get_by_role("button", name=BACK).click()
    await expect(answers).to_have_text("1/2")
    await chat.send("echo more")
    await chat.answered("more")
    await expect(chat.said).to_have_count(2)

    # The list and the title are as they were; the browser shows what it showed.
    await expect(chat.page.locator("#sidebar .list a")).to_have_count(1)
    await expect(chat.page.locator("#bar h1")).to_have_text("echo one")
    await chat.page.reload()
    await chat.answered("more")
    await expect(chat.replies.first.locator(".count")).to_have_text("1/2")
    assert await axe(chat.page) == []
    await shot(chat.page, "branches")
    await chat.page.emulate_media(color_scheme="dark")
    assert await axe(chat.page) == []
    await shot(chat.page, "branches-dark")

    # Nobody was told of another conversation.
    events = await held(hub_process.url, "one")
    assert [event["type"] for event in events].count("branch") == 0
    assert [event["text"] for event in events if event["type"] == "message"] == [
        "echo one",
        "echo two",
        "echo more",
    ]


async def test_nothing_moves_away_under_the_next_press_once_a_version_is_shown(
    ground: Ground,
) -> None:
    chat = await opened(ground)
    await chat.send("echo one")
    await chat.answered("one")
    await edited(chat, "echo two")
    await chat.answered("two")
    for name, text in ((BACK, "one"), ("Next version", "two")):
        button = chat.said.last.get_by_role("button", name=name)
        assert len(set(await button.evaluate(_PLACES_AFTER_PRESS))) == 1
        await chat.answered(text)


async def test_an_answer_elsewhere_is_told_and_can_be_stopped(
    ground: Ground, axe: Axe, shot: Shot
) -> None:
    first = await opened(ground)
    await first.send("echo one")
    await first.answered("one")
    await edited(first, ENDLESS)
    await first.begun()
    second = await opened(ground, context=await ground.context())
    await second.said.last.get_by_role("button", name=BACK).click()
    await expect(second.reply).to_have_text("one", use_inner_text=True)
    elsewhere = second.page.locator("hub-chat .elsewhere")
    await expect(elsewhere).to_contain_text("Another version is being answered.")
    assert await axe(second.page) == []
    await shot(second.page, "branches-elsewhere")
    # It waits for its turn, and comes where it was asked.
    await second.send("echo here")
    await expect(second.page.locator("hub-queue")).to_contain_text("echo here")
    await elsewhere.get_by_role("button", name="Show").click()
    await second.begun()
    await second.said.last.get_by_role("button", name=BACK).click()
    await second.stop_button.click()
    await expect(first.ending).to_contain_text("Stopped")
    await expect(elsewhere).to_have_count(0)
    await second.page.get_by_role("button", name="Send now").click()
    await second.answered("here")
    await expect(second.said).to_have_count(2)
    await expect(second.said.first.locator(".words")).to_have_text("echo one")


async def test_branches_of_other_programs_are_shown(
    ground: Ground, hub_process: HubProcess
) -> None:
    """As useChat of the AI SDK regenerates and edits."""

    async def asked(http: aiohttp.ClientSession, text: str, **more: str) -> None:
        said = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
        body = {"id": "one", "messages": [said], **more}
        async with http.post(f"{hub_process.url}/api/chat", json=body) as response:
            assert response.status == 200, await response.text()
            await response.read()

    async with aiohttp.ClientSession() as http:
        await asked(http, "echo one", trigger="submit-message")
        chat = await opened(ground)
        await chat.answered("one")
        await asked(http, "echo one", trigger="regenerate-message")
        await expect(chat.replies.last.locator(".count")).to_have_text("2/2")
        await asked(http, "echo two", trigger="submit-message", messageId="m1")
        await chat.answered("two")
    await expect(chat.said.last.locator(".count")).to_have_text("2/2")
    await chat.said.last.get_by_role("button", name=BACK).click()
    await expect(chat.replies.last.locator(".count")).to_have_text("2/2")
    await chat.over()
    # The row is back in its place, so that nothing moves away under the next press.
    await expect(chat.said.last.get_by_role("button", name="Next version")).to_be_focused()
    # And the page goes on with what only it can name: the first of two with one id.
    async with chat.page.expect_response("**/v1/generations") as answer:
        await chat.replies.last.get_by_role("button", name="Answer again").click()
    assert (await answer.value).status == 201
    await expect(chat.replies.last.locator(".count")).to_have_text("3/3")
    await chat.answered("one")


async def test_versions_that_are_conversations_of_their_own_are_shown_still(
    ground: Ground, hub_process: HubProcess
) -> None:
    """As earlier pages made them: a fork, with an event in both that leads to the other."""
    async with Hub(hub_process.url) as hub:
        question = await hub.append("one", Message("user", "echo one"))
        start = f"{question[:17]}{0:016}"
        await hub.fork("one~1", "one", start)
        await hub.append("one~1", {"type": "branch", "from": "one", "position": start})
        await hub.append("one~1", Message("user", "echo two"))
        await hub.append("one", {"type": "branch", "to": "one~1", "position": start})
    chat = await opened(ground)
    count = chat.said.last.locator(".count")
    await expect(count).to_have_text("1/2")
    # One of them is edited, and has two versions in itself.
    await edited(chat, "echo three")
    await chat.answered("three")
    await expect(count).to_have_text("2/3")
    await chat.said.last.get_by_role("button", name="Next version").click()
    await expect(chat.page).to_have_url(re.compile(r"#/c/one~1$"))
    await expect(chat.said.last.locator(".words")).to_have_text("echo two")
    await expect(count).to_have_text("2/2")
    await chat.said.last.get_by_role("button", name=BACK).click()
    await expect(chat.page).to_have_url(re.compile(r"#/c/one$"))
