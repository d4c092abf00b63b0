"""Many tabs, one conversation: all see the same, and any of them may stop it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from playwright.async_api import expect

from tests.browser.chat import Chat, held, reply_in, words
from tests.browser.conftest import NewGround, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.halfway import WHOLE, Halfway, far
from tests.browser.hub_process import HubProcess
from tests.support.processes import read_to_end
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Ending, openai_sse

NO_SHARING = "delete window.SharedWorker"
"""A browser that has none: each tab then has a connection of its own."""


async def chats(ground: Ground, count: int, *, apart: bool = False) -> list[Chat]:
    """Tabs on one conversation: in one browser, or each in one of its own."""
    opened = []
    for _ in range(count):
        context = await ground.context() if apart else None
        opened.append(Chat(await ground.tab("/#/c/one", context=context)))
    for chat in opened:
        await chat.live()
    return opened


async def connections(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        found = re.search(r"^streamhub_connections (\d+)", await answer.text(), re.MULTILINE)
    assert found
    return int(found[1])


def hanging(upstream: Scripted, *texts: str) -> dict[str, object]:
    """An upstream that says this and then nothing more; the tables of a hub that asks it."""
    upstream.answers(Answer(*openai_sse(*texts, reason=None, done=False), Ending.HANG))
    return far(upstream)


@pytest.mark.parametrize(("count", "apart"), [(2, False), (7, False), (2, True)])
async def test_all_tabs_see_the_same(
    ground: Ground, hub_process: HubProcess, *, count: int, apart: bool
) -> None:
    opened = await chats(ground, count, apart=apart)
    assert await connections(hub_process.url) == (count if apart else 1)
    await opened[0].send(f"echo {words(150)}")
    for chat in opened:
        await chat.answered(words(150))
        await expect(chat.said).to_have_count(1)
    assert reply_in(await held(hub_process.url, "one")) == (words(150), "finished")


async def test_seven_tabs_without_a_shared_connection(
    ground: Ground, hub_process: HubProcess
) -> None:
    """Browsers open six HTTP/1.1 connections to a host: what is followed must not use them up."""
    context = await ground.context()
    await context.add_init_script(NO_SHARING)
    opened = [Chat(await ground.tab("/#/c/one", context=context)) for _ in range(7)]
    for chat in opened:
        await chat.live()
    assert await connections(hub_process.url) == 7
    await opened[-1].send(f"echo {words(60)}")
    for chat in opened:
        await chat.answered(words(60))
    await opened[0].send(f"echo {words(40)}")
    for chat in opened:
        await chat.answered(words(40))


async def test_a_tab_that_comes_later_is_caught_up(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    answer = Halfway(upstream)
    ground = new_ground((await start_hub_process(**far(upstream))).url)
    (first,) = await chats(ground, 1)
    await first.send("go")
    await first.begun()
    (second,) = await chats(ground, 1)
    (third,) = await chats(ground, 1, apart=True)
    for chat in (second, third):
        await chat.begun()
    answer.go_on()
    for chat in (first, second, third):
        await chat.answered(WHOLE)


@pytest.mark.parametrize("apart", [True, False])
async def test_stop_in_another_tab_stops_the_upstream(
    upstream: Scripted,
    start_hub_process: StartHubProcess,
    new_ground: NewGround,
    *,
    apart: bool,
) -> None:
    hub = await start_hub_process(**hanging(upstream, "The beginning"))
    first, second = await chats(new_ground(hub.url), 2, apart=apart)
    await first.send("go")
    for chat in (first, second):
        await expect(chat.reply).to_have_text("The beginning")
    await second.stop_button.click()
    await (await upstream.request()).left()
    for chat in (first, second):
        await expect(chat.ending).to_contain_text("Stopped")
        await chat.answered("The beginning")


async def test_stop_before_the_first_word(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    hub = await start_hub_process(**hanging(upstream))
    (chat,) = await chats(new_ground(hub.url), 1)
    await chat.send("go")
    request = await upstream.request()
    await chat.composer.press("Escape")
    await request.left()
    await expect(chat.ending).to_contain_text("Stopped")
    await chat.over()


async def test_to_close_the_tab_that_asked_stops_nothing(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    answer = Halfway(upstream)
    hub = await start_hub_process(**far(upstream))
    first, second = await chats(new_ground(hub.url), 2)
    await first.send("go")
    await second.begun()
    await first.page.close()
    answer.go_on()
    await second.answered(WHOLE)
    assert reply_in(await held(hub.url, "one")) == (f"{WHOLE} ", "finished")


async def test_to_close_every_tab_stops_nothing(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    answer = Halfway(upstream)
    hub = await start_hub_process(**far(upstream))
    ground = new_ground(hub.url)
    (first,) = await chats(ground, 1)
    await first.send("go")
    await first.begun()
    await first.page.close()
    answer.go_on()
    await read_to_end(hub.url, "one")
    (again,) = await chats(ground, 1)
    await again.answered(WHOLE)


@asynccontextmanager
async def typing(chat: Chat) -> AsyncIterator[None]:
    """Somebody types all the while: who pauses for four seconds is not seen to."""
    over = asyncio.Event()

    async def type_on() -> None:
        while not over.is_set():
            await chat.composer.press_sequentially("hello ", delay=50)

    typed = asyncio.create_task(type_on())
    yield
    over.set()
    await typed


async def test_the_others_are_seen_and_gone(ground: Ground) -> None:
    first, second = await chats(ground, 2)
    (third,) = await chats(ground, 1, apart=True)
    for chat in (first, second, third):
        await expect(chat.company).to_have_text("2 others are here")
    async with typing(second):
        await expect(first.company).to_have_text("Somebody is typing…")
        await expect(third.company).to_have_text("Somebody is typing…")
        await expect(second.company).to_have_text("2 others are here")
    await second.page.close()
    await expect(first.company).to_have_text("1 other is here")
    await third.page.context.close()
    await expect(first.company).to_have_count(0)


async def test_drafts_are_shared_and_kept(ground: Ground) -> None:
    first, second = await chats(ground, 2)
    await first.composer.fill("half a thou")
    await expect(second.composer).to_have_value("half a thou")
    await first.page.reload()
    await expect(first.composer).to_have_value("half a thou")
    # A conversation's draft is its own.
    elsewhere = Chat(await ground.tab("/#/c/two"))
    await expect(elsewhere.composer).to_have_value("")
    await first.composer.fill("echo sent")
    await first.composer.press("Enter")
    await first.answered("sent")
    await expect(second.composer).to_have_value("")
    await first.page.reload()
    await expect(first.composer).to_have_value("")


async def test_a_draft_does_not_overwrite_what_is_typed(ground: Ground) -> None:
    first, second = await chats(ground, 2)
    await first.page.bring_to_front()
    await first.composer.fill("mine")
    await expect(second.composer).to_have_value("mine")
    await second.page.bring_to_front()
    await second.composer.press("End")
    await second.composer.press_sequentially(" and yours")
    await expect(first.composer).to_have_value("mine and yours")


async def test_a_link_shared_early_comes_alive(ground: Ground) -> None:
    """A conversation has its address before anything was said in it."""
    first = Chat(await ground.tab("/"))
    await first.live()
    await expect(first.page).to_have_url(re.compile("#/c/chat-[0-9a-f]{32}$"))
    context = await ground.context()
    second = Chat(await ground.tab(first.page.url, context=context))
    view = Chat(await ground.tab(first.page.url.replace("#/c/", "#/v/"), context=context))
    await expect(view.log).to_contain_text("Nothing has been said here yet.")
    await first.send("echo it lives")
    for chat in (first, second):
        await chat.answered("it lives")
    await expect(view.reply).to_have_text("it lives")


async def test_versions_in_both_tabs(ground: Ground) -> None:
    """To have an answer again, and to edit, make versions that every tab can go to."""
    first, second = await chats(ground, 2)
    await first.send("echo one")
    await first.answered("one")
    await first.replies.last.get_by_role("button", name="Answer again").click()
    for chat in (first, second):
        await expect(chat.replies.last.locator(".count")).to_have_text("2/2")
        await chat.answered("one")
    await first.said.last.get_by_role("button", name="Edit this message").click()
    editor = first.page.get_by_role("textbox", name="Edit the message")
    await expect(editor).to_be_focused()
    await editor.fill("echo two")
    await editor.press("Enter")
    # Who has not gone to another version sees the one that the conversation is on.
    for chat in (first, second):
        await chat.answered("two")
        await expect(chat.said.last.locator(".count")).to_have_text("2/2")
        await expect(chat.replies.last.locator(".count")).to_have_count(0)
    await expect(second.said.last.get_by_role("button", name="Next version")).to_be_disabled()
    await first.said.last.get_by_role("button", name="Previous version").click()
    await expect(first.said.last.locator(".count")).to_have_text("1/2")
    await expect(first.replies.last.locator(".count")).to_have_text("2/2")
    await first.answered("one")
    await expect(second.said.last.locator(".count")).to_have_text("2/2")
    await expect(first.page).to_have_url(re.compile("#/c/one$"))
    await first.send("echo three")
    await first.answered("three")
    # What is said in one version is not said in the other.
    await second.answered("three")
    await second.said.first.get_by_role("button", name="Next version").click()
    await second.answered("two")
    await expect(second.replies).to_have_count(1)
