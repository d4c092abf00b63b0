"""The page, feature by feature."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

import aiohttp
from playwright.async_api import Page, expect

from tests.browser.chat import ENDLESS, Chat, copied, held, reply_in
from tests.browser.conftest import NewGround, Shot, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Gate, Step, openai_sse

EVIL: Final = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'


async def opened(ground: Ground, address: str = "/#/c/one", **options: Any) -> Chat:
    context = await ground.context(**options) if options else None
    chat = Chat(await ground.tab(address, context=context))
    await chat.live()
    return chat


async def test_the_address_and_the_titles(ground: Ground, hub_process: HubProcess) -> None:
    chat = await opened(ground, "/")
    page = chat.page
    await expect(page).to_have_title("New conversation – Streamhub")
    await expect(page).to_have_url(re.compile("#/c/chat-[0-9a-f]{32}$"))
    first = page.url
    await chat.send(ENDLESS)
    title = "echo w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15…"
    await expect(page).to_have_title(f"● {title} – Streamhub")
    await expect(page.get_by_role("img", name="is being answered")).to_be_visible()
    await chat.begun()
    await chat.stop_button.click()
    await expect(page).to_have_title(f"{title} – Streamhub")
    await expect(page.get_by_role("heading", level=1)).to_have_text(title)
    await expect(page.get_by_role("img", name="is being answered")).to_have_count(0)

    await page.get_by_role("button", name="New conversation").first.click()
    await expect(page).not_to_have_url(first)
    await chat.send("poem")
    await expect(chat.reply).to_contain_text("One River, Many Banks")
    listed = page.get_by_role("navigation", name="Conversations").get_by_role("link")
    await expect(listed.locator(".title")).to_have_text(["poem", title])
    await listed.last.click()
    await expect(page).to_have_url(first)
    await expect(page).to_have_title(f"{title} – Streamhub")
    await page.go_back()
    await expect(page).to_have_title("poem – Streamhub")

    await page.get_by_role("button", name="More about poem").click()
    await page.get_by_role("menuitem", name="Rename").click()
    await page.get_by_role("textbox", name="Title, in this browser").fill("A river")
    await page.keyboard.press("Enter")
    await expect(page).to_have_title("A river – Streamhub")
    name = page.url.rpartition("/")[2]
    await page.get_by_role("button", name="More about A river").click()
    await page.get_by_role("menuitem", name="Delete…").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator("#notice")).to_have_text("Conversation deleted")
    await expect(listed.locator(".title")).to_have_text([title])
    answer = await page.context.request.get(f"{hub_process.url}/v1/stream/{name}")
    assert answer.status in (404, 410)


async def test_a_title_and_a_link_are_only_text(ground: Ground) -> None:
    """What people and models write runs nothing, wherever it is shown."""
    chat = await opened(ground)
    page = chat.page
    link = "[here](javascript:window.ran=1) [there](https://example.org/x) <https://example.net/>"
    await chat.send(f"echo {EVIL} {link}")
    await chat.over()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    await expect(page).to_have_title(re.compile("^echo <img src=x"))
    there = chat.reply.get_by_role("link", name="there")
    await expect(there).to_have_text("there (example.org)")
    await expect(there).to_have_attribute("rel", re.compile("noopener noreferrer"))
    await expect(chat.reply.get_by_role("link", name="here", exact=True)).to_have_count(0)
    assert await chat.reply.locator("img, script").count() == 0
    await page.get_by_role("button", name="Share", exact=True).click()
    await page.keyboard.press("Escape")
    await page.goto(f"{ground.url}/#/c/{EVIL}")
    await expect(page.get_by_role("heading", name="There is no conversation")).to_be_visible()
    await page.reload()
    assert await page.evaluate("window.ran") is None


async def test_reasoning_tools_and_counts(ground: Ground, shot: Shot) -> None:
    chat = await opened(ground)
    await chat.send("tools")
    thoughts = chat.replies.last.locator("details.reasoning")
    await expect(thoughts).to_be_visible()
    assert await thoughts.get_attribute("open") is None
    tool = chat.page.get_by_role("region", name="Tool call get_weather")
    await expect(tool.locator("pre")).to_have_text(re.compile(r'"city": "Zürich",\n +"country"'))
    await chat.over()
    await expect(chat.ending).to_contain_text("The model is waiting for the result of the tool.")
    await thoughts.locator("summary").click()
    await expect(thoughts).to_contain_text("the weather is what everybody asks about")
    stats = chat.replies.last.locator(".stats")
    await expect(stats).to_have_text(
        re.compile(r"^demo · \d+ tokens · [\d.]+ s to the first word · [\d,]+ tokens/s$")
    )
    await shot(chat.page, "tools")


async def test_reasoning_and_code(ground: Ground, shot: Shot) -> None:
    """Thoughts open while they come as well as later; code is coloured, and shown as it stands."""
    chat = await opened(ground)
    other = await opened(ground)
    await chat.send("Code that reads lines from bytes")
    await chat.replies.last.locator("summary").click()
    await expect(chat.replies.last.locator(".thoughts")).to_contain_text("lines from cut bytes.")
    await chat.over()
    block = chat.reply.locator(".hub-code").first
    await expect(block.locator(".hub-code-language")).to_have_text("python")
    await expect(block.locator(".hljs-keyword").first).to_have_text("def")
    await expect(block.locator("code")).to_contain_text(
        '    held = b""\n    for piece in pieces:\n'
    )
    await expect(chat.company).to_have_text("1 other is here")
    await other.over()
    await shot(chat.page, "conversation")


async def test_copying(ground: Ground) -> None:
    chat = await opened(ground, permissions=["clipboard-read", "clipboard-write"])
    page = chat.page
    clipboard = "navigator.clipboard.readText()"
    await chat.send("code")
    await chat.over()
    block = chat.reply.locator(".hub-code").first
    button = block.get_by_role("button", name="Copy code")
    async with copied(button):
        await button.click()
    code = await page.evaluate(clipboard)
    assert code.startswith("def lines(pieces):\n    ")
    assert code.rstrip().endswith("yield held")
    button = chat.replies.last.get_by_role("button", name="Copy this answer")
    async with copied(button):
        await button.click()
    text, _ = reply_in(await held(ground.url, "one"))
    assert await page.evaluate(clipboard) == text
    button = chat.said.last.get_by_role("button", name="Copy this message")
    async with copied(button):
        await button.click()
    assert await page.evaluate(clipboard) == "code"
    links = (("c", "Copy link", "Link"), ("v", "Copy read-only link", "Read-only link"))
    for kind, name, what in links:
        await page.get_by_role("button", name="Share", exact=True).click()
        await page.get_by_role("menuitem", name=name).click()
        await expect(page.locator("#notice")).to_have_text(f"{what} copied")
        assert await page.evaluate(clipboard) == f"{ground.url}/#/{kind}/one"


async def test_what_is_exported(ground: Ground) -> None:
    chat = await opened(ground)
    await chat.send("code")
    await chat.over()
    text, _ = reply_in(await held(ground.url, "one"))

    async def exported(kind: str) -> tuple[str, str]:
        await chat.page.get_by_role("button", name="Export", exact=True).click()
        async with chat.page.expect_download() as download:
            await chat.page.get_by_role("menuitem", name=kind).click()
        file = await download.value
        text = await asyncio.to_thread((await file.path()).read_text, "utf-8")
        return file.suggested_filename, text

    name, markdown = await exported("Markdown")
    assert name == "code.md"
    assert markdown.startswith("# code\n\n*Exported 20")
    assert f"<{ground.url}/#/c/one>" in markdown
    assert "## User\n\ncode\n" in markdown
    assert text.strip() in markdown
    assert "> **Reasoning**\n>\n> Something short" in markdown
    name, whole = await exported("JSON")
    assert name == "code.json"
    told = json.loads(whole)
    assert told["stream"] == "one"
    assert [turn["kind"] for turn in told["turns"]] == ["message", "reply"]
    assert told["turns"][1]["text"] == text
    assert told["turns"][1]["state"] == "finished"


async def test_a_read_only_link(ground: Ground, shot: Shot) -> None:
    chat = await opened(ground)
    view = await opened(ground, "/#/v/one", locale="de-DE")
    await chat.send(ENDLESS)
    await view.begun()
    await expect(view.composer).to_have_count(0)
    for name in ("Stop (Esc)", "Send", "Edit this message", "Answer again"):
        await expect(view.page.get_by_role("button", name=name)).to_have_count(0)
    await expect(view.page.get_by_text("Read-only")).to_be_visible()
    await view.page.keyboard.press("Escape")
    await chat.begun(past=200)
    await chat.composer.press("Escape")
    for one in (chat, view):
        await expect(one.ending).to_contain_text("Stopped")
    text, _ = reply_in(await held(ground.url, "one"))
    for one in (chat, view):
        await expect(one.reply).to_have_text(text.strip(), use_inner_text=True)
    await expect(view.page.get_by_role("button", name="Answer again")).to_have_count(0)


async def test_the_chosen_model_is_asked(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    upstream.answers(Answer(*openai_sse("from afar")), Answer(*openai_sse("again")))
    far = {"dialect": "openai-chat", "url": upstream.url, "model": "scripted"}
    demo = {"dialect": "demo", "options": {"pace": 5000}}
    hub = await start_hub_process(upstreams={"demo": demo, "far": far})
    ground = new_ground(hub.url)
    chat = await opened(ground)
    picker = chat.page.get_by_role("combobox", name="Model")
    await expect(picker.locator("option")).to_have_text(["demo", "far"])
    await chat.send("echo near")
    await chat.answered("near")
    await picker.select_option("far")
    await chat.send("hello")
    await chat.answered("from afar")
    messages = upstream.requests[0].json["messages"]
    assert [one["content"] for one in messages] == ["echo near", "near", "hello"]
    await expect(chat.replies.last.locator(".stats")).to_contain_text("far · scripted")
    # Remembered, also by a tab that comes later.
    other = await opened(ground, "/#/c/two")
    await expect(other.page.get_by_role("combobox", name="Model")).to_have_value("far")
    await other.send("hello")
    await other.answered("again")


async def test_the_theme_is_kept(ground: Ground) -> None:
    context = await ground.context(color_scheme="dark")
    first, second = [Chat(await ground.tab("/#/c/one", context=context)) for _ in range(2)]
    await first.live()
    back = "getComputedStyle(document.querySelector('hub-chat')).backgroundColor"
    dark = await first.page.evaluate(back)
    await first.page.get_by_role("radio", name="Light").check(force=True)
    await expect(second.page.get_by_role("radio", name="Light")).to_be_checked()
    light = await second.page.evaluate(back)
    assert light != dark
    await first.page.reload()
    await expect(first.page.get_by_role("radio", name="Light")).to_be_checked()
    assert await first.page.evaluate(back) == light


async def test_scrolling_yields_to_the_reader(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround, shot: Shot
) -> None:
    gates = [Gate() for _ in range(3)]
    lines = [f"Line {number}.\n\n" for number in range(120)]
    blocks = openai_sse(*("".join(lines[start : start + 30]) for start in range(0, 120, 30)))
    steps: list[Step] = [
        blocks[0],
        blocks[1],
        gates[0],
        blocks[2],
        gates[1],
        blocks[3],
        gates[2],
        *blocks[4:],
    ]
    upstream.answers(Answer(*steps))
    far = {"dialect": "openai-chat", "url": upstream.url, "model": "scripted"}
    hub = await start_hub_process(default_upstream="far", upstreams={"far": far})
    ground = new_ground(hub.url)
    ground.lively = True
    chat = await opened(ground)
    page = chat.page
    from_end = "log => Math.round(log.scrollHeight - log.clientHeight - log.scrollTop)"

    async def at_end() -> None:
        await expect(chat.pill).to_have_count(0)
        handle = await chat.log.element_handle()
        await page.wait_for_function(f"log => ({from_end})(log) <= 1", arg=handle)

    await chat.send("go")
    await expect(chat.reply).to_contain_text("Line 29.")
    await at_end()
    await chat.log.hover()
    await page.mouse.wheel(0, -400)
    await expect(chat.pill).to_be_visible()
    top = await settled(page, chat)
    gates[0].open()
    await expect(chat.reply).to_contain_text("Line 59.")
    await expect(chat.pill).to_have_text("New text")
    assert await chat.log.evaluate("log => log.scrollTop") == top
    await shot(page, "new-text")
    await chat.pill.click()
    await at_end()
    gates[1].open()
    await expect(chat.reply).to_contain_text("Line 89.")
    await at_end()
    await page.mouse.wheel(0, -400)
    await expect(chat.pill).to_be_visible()
    top = await settled(page, chat)
    gates[2].open()
    await expect(chat.reply).to_contain_text("Line 119.")
    await chat.over()
    assert await chat.log.evaluate("log => log.scrollTop") == top
    # Back at the end by one's own wheel is back.
    await chat.log.hover()
    await page.mouse.wheel(0, 100_000)
    await at_end()


async def settled(page: Page, chat: Chat) -> float:
    """Where the reader stands, once a wheel has run out."""
    top: float = await chat.log.evaluate(
        """async log => {
          for (let before = -1, same = 0; same < 3; ) {
            same = before === log.scrollTop ? same + 1 : 0;
            before = log.scrollTop;
            await new Promise((done) => setTimeout(done, 100));
          }
          return log.scrollTop;
        }"""
    )
    return top


async def test_catching_up_is_told(ground: Ground, hub_process: HubProcess, shot: Shot) -> None:
    """A conversation of 3,000 turns: how much is still to come, and its end at once."""
    said = [{"type": "message", "role": "user", "text": f"turn {n} " * 40} for n in range(3000)]
    async with aiohttp.ClientSession() as http:
        url = f"{hub_process.url}/v1/stream/one"
        async with http.put(url, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 201
        for start in range(0, len(said), 1000):
            async with http.post(url, json=said[start : start + 1000]) as answer:
                assert answer.status == 204, await answer.text()
    chat = await opened(ground, "/#/c/two")
    await chat.status.evaluate(
        """status => {
          window.seen = [];
          new MutationObserver(() => seen.push(status.shadowRoot.textContent))
            .observe(status.shadowRoot, { childList: true, characterData: true, subtree: true });
        }"""
    )
    await chat.page.goto(f"{ground.url}/#/c/one")
    await expect(chat.said.last).to_contain_text("turn 2999")
    await chat.live()
    seen = " ".join(await chat.page.evaluate("seen"))
    assert re.search(r"Catching up\s*· [\d,]+ to go", seen), seen


async def test_the_policy_is_strict_and_kept(ground: Ground) -> None:
    """All that the page does, it does under a policy that lets it do nothing else."""
    context = await ground.context()
    await context.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation',"
        " (one) => violations.push(`${one.violatedDirective} ${one.blockedURI}`));"
    )
    page = await context.new_page()
    response = await page.goto(f"{ground.url}/#/c/one")
    assert response is not None
    policy = (await response.all_headers())["content-security-policy"]
    directives = {one.split()[0]: one.split()[1:] for one in policy.split(";") if one.strip()}
    assert directives["default-src"] == ["'none'"]
    assert directives["script-src"] == ["'self'"]
    assert directives["style-src"] == ["'self'"]
    assert directives["frame-ancestors"] == ["'none'"]
    assert "unsafe" not in policy
    chat = Chat(page)
    await chat.live()
    await chat.send("tour")
    await expect(chat.reply).to_contain_text("Say help to see what else I can do.")
    await chat.over()
    await page.get_by_role("button", name="Keys").click()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Share", exact=True).click()
    await page.keyboard.press("Escape")
    assert await page.evaluate("violations") == []
    # The watch itself works (a violation is told in a task of its own, a little later).
    ground.expect("Content Security Policy")
    await page.evaluate("document.body.setAttribute('style', 'color: red')")
    await page.wait_for_function("violations.length > 0")
    assert await page.evaluate("violations") == ["style-src-attr inline"]
