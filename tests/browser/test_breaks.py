"""Whatever breaks between the tab, the hub and the upstream: no text is lost, none doubled."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.async_api import BrowserContext, expect

from tests.browser.chat import ENDLESS, Chat, held, reply_in, words
from tests.browser.conftest import NewGround, Shot, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.halfway import WHOLE, Halfway, far
from tests.browser.hub_process import HubProcess
from tests.support.processes import read_to_end
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Ending, openai_sse

DOWN: Final = (r"net::ERR_", r"WebSocket connection to")
"""What a browser writes to its console while the hub cannot be reached."""
NO_SHARING: Final = "delete window.SharedWorker"
"""The connection is the page's own, so that the page's clock is its clock."""
WENT: Final = "The hub stopped in the middle of this answer."


async def begun(
    ground: Ground, prompt: str = "go", *, context: BrowserContext | None = None
) -> Chat:
    """A tab in the middle of an answer."""
    chat = Chat(await ground.tab("/#/c/one", context=context))
    await chat.live()
    await chat.send(prompt)
    await chat.begun()
    return chat


async def hurry(chat: Chat) -> None:
    """Press "now", unless it connects just now by itself; in one step, since it may come and go."""
    await chat.status.evaluate("status => status.shadowRoot.querySelector('button')?.click()")


async def test_a_refresh_in_mid_answer(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    answer = Halfway(upstream)
    hub = await start_hub_process(**far(upstream))
    chat = await begun(new_ground(hub.url))
    for _ in range(2):
        await chat.page.reload()
        await chat.begun()
    answer.go_on()
    await chat.answered(WHOLE)
    assert reply_in(await held(hub.url, "one")) == (f"{WHOLE} ", "finished")


async def test_offline_and_online_again(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    answer = Halfway(upstream)
    hub = await start_hub_process(**far(upstream))
    ground = new_ground(hub.line.url)
    ground.expect(*DOWN)
    chat = await begun(ground)
    await hub.line.cut()
    await expect(chat.status).to_contain_text(re.compile(r"Offline.*· trying (again in \d+ s|now)"))
    await expect(chat.replies.last.locator(".waiting")).to_contain_text("Not connected")
    answer.go_on()
    await read_to_end(hub.url, "one")
    hub.line.mend()
    await chat.answered(WHOLE)
    await chat.live()


async def test_the_browser_says_that_it_is_offline(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    answer = Halfway(upstream)
    hub = await start_hub_process(**far(upstream))
    ground = new_ground(hub.url)
    ground.expect(*DOWN)
    chat = await begun(ground)
    await chat.page.context.set_offline(True)
    await expect(chat.status).to_contain_text("Offline")
    answer.go_on()
    await chat.page.context.set_offline(False)
    await chat.answered(WHOLE)
    await chat.live()


async def test_what_cannot_be_sent_is_kept(hub_process: HubProcess, new_ground: NewGround) -> None:
    line = hub_process.line
    ground = new_ground(line.url)
    ground.expect(*DOWN)
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await line.cut()
    await chat.send("echo at last")
    await expect(chat.page.get_by_text("Not sent yet")).to_be_visible()
    await expect(chat.composer).to_have_value("")
    line.mend()
    await chat.live()
    await chat.answered("at last")
    await expect(chat.complaint).to_have_count(0)
    await expect(chat.said).to_have_count(1)


async def test_a_network_that_is_dead_without_a_word(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    """Nothing breaks, nothing comes: the missing beats tell it."""
    answer = Halfway(upstream)
    hub = await start_hub_process(**far(upstream))
    ground = new_ground(hub.line.url)
    ground.expect(*DOWN)
    context = await ground.context()
    await context.add_init_script(NO_SHARING)
    await context.clock.install()
    chat = await begun(ground, context=context)
    hub.line.hold()
    answer.go_on()
    await context.clock.fast_forward(60_000)
    await expect(chat.status).not_to_contain_text("Live")
    hub.line.release()
    await context.clock.fast_forward(30_000)
    await chat.answered(WHOLE)
    await chat.live()


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_the_hub_restarts_in_mid_answer(
    start_hub_process: StartHubProcess, new_ground: NewGround, shot: Shot, *, kill: bool
) -> None:
    """Two tabs that share a connection and one that does not end up with what the stream has."""
    options: dict[str, object] = {"pace": 10}
    hub = await start_hub_process(upstreams={"demo": {"dialect": "demo", "options": options}})
    ground = new_ground(hub.url)
    ground.expect(*DOWN)
    said = words(500)
    first = await begun(ground, f"echo {said}")
    chats = [first, Chat(await ground.tab("/#/c/one"))]
    chats.append(Chat(await ground.tab("/#/c/one", context=await ground.context())))
    for chat in chats:
        await chat.begun()
    await (hub.kill() if kill else hub.stop())
    await expect(first.status).to_contain_text("Offline")
    await shot(first.page, f"offline-{'killed' if kill else 'stopped'}")
    options["pace"] = 20_000
    await hub.start()
    for chat in chats:
        await hurry(chat)
        await expect(chat.ending).to_contain_text(WENT)
    text, end = reply_in(await held(hub.url, "one"))
    assert end == "interrupted"
    assert said.startswith(text)
    assert "w10 " in text
    for chat in chats:
        await expect(chat.reply).to_have_text(text.strip(), use_inner_text=True)
        await expect(chat.said).to_have_count(1)
    await shot(first.page, "interrupted")
    # And it can be had after all, in every tab.
    await first.replies.last.get_by_role("button", name="Retry").click()
    for chat in chats:
        await chat.answered(said)
        await expect(chat.replies).to_have_count(1)
        await expect(chat.said).to_have_count(1)


async def test_a_stalled_upstream_is_told(
    start_hub_process: StartHubProcess, new_ground: NewGround, shot: Shot
) -> None:
    options = {"dialect": "demo", "options": {"pace": 2000}, "stall_timeout": 1.0}
    hub = await start_hub_process(upstreams={"demo": options})
    chat = Chat(await new_ground(hub.url).tab("/#/c/one"))
    await chat.live()
    await chat.send("stall")
    await expect(chat.ending).to_contain_text("upstream_stalled")
    await expect(chat.replies.last.get_by_role("button", name="Retry")).to_be_enabled()
    await chat.over()
    await shot(chat.page, "stalled")


async def test_a_silence_is_counted(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    """Before anything has failed, the page says for how long nothing came."""
    upstream.answers(Answer(Ending.HANG), Answer(*openai_sse("So", done=False), Ending.HANG))
    hub = await start_hub_process(**far(upstream))
    context = await new_ground(hub.url).context()
    await context.clock.install()
    page = await context.new_page()
    await page.goto(f"{hub.url}/#/c/one")
    chat = Chat(page)
    await chat.live()
    await chat.send("go")
    waiting = chat.replies.last.locator(".waiting")
    await expect(waiting).to_be_visible()
    await context.clock.fast_forward(15_000)
    await expect(waiting).to_contain_text(
        re.compile(r"Waiting for the first word, (1[5-9]|[2-9]\d) s so far")
    )


async def test_an_error_can_be_tried_again(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    said = openai_sse("half an", " answer", done=False, reason=None)
    upstream.answers(Answer(*said), Answer(*openai_sse("all of it")))
    hub = await start_hub_process(**far(upstream))
    ground = new_ground(hub.url)
    first, second = [Chat(await ground.tab("/#/c/one")) for _ in range(2)]
    await second.live()
    await first.send("go")
    for chat in (first, second):
        await expect(chat.ending).to_contain_text("upstream_truncated")
        await expect(chat.reply).to_have_text("half an answer")
    await second.replies.last.get_by_role("button", name="Retry").click()
    for chat in (first, second):
        await chat.answered("all of it")
        await expect(chat.said).to_have_count(1)
        await expect(chat.page.get_by_role("button", name="Retry")).to_have_count(0)
    # What failed is no part of the conversation that the upstream is told.
    assert upstream.requests[1].json["messages"] == [{"role": "user", "content": "go"}]


@pytest.mark.parametrize("shared", [True, False])
async def test_where_websockets_are_blocked(
    hub_process: HubProcess, new_ground: NewGround, *, shared: bool
) -> None:
    """Server-sent events take their place, also for stopping and for a refresh."""
    hub_process.line.refuse(b"GET /v1/ws")
    ground = new_ground(hub_process.line.url)
    ground.expect("WebSocket connection to")
    context = await ground.context()
    if not shared:
        await context.add_init_script(NO_SHARING)
    first, second = [Chat(await ground.tab("/#/c/one", context=context)) for _ in range(2)]
    for chat in (first, second):
        await chat.live()
    await first.send(f"echo {words(60)}")
    for chat in (first, second):
        await chat.answered(words(60))
    await second.send(ENDLESS)
    await first.begun()
    await first.page.reload()
    await first.begun()
    await first.composer.press("Escape")
    for chat in (first, second):
        await expect(chat.ending).to_contain_text("Stopped")
    text, end = reply_in(await held(hub_process.url, "one"))
    assert end == "cancelled"
    for chat in (first, second):
        await expect(chat.reply).to_have_text(text.strip(), use_inner_text=True)
