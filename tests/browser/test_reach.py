"""For everybody: screen readers, the keyboard alone, phones, input methods."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import ENDLESS, Chat, copied
from tests.browser.conftest import FINISHED, Axe, NewGround, Shot, StartHubProcess
from tests.browser.ground import PHONE, Ground
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Gate, openai_sse

WIDER = """
() => {
  const wide = [], room = document.documentElement.clientWidth;
  const see = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) see(element.shadowRoot);
      // What scrolls by itself may hold wide things: a table, code.
      if (element.closest("pre, .hub-table, [inert], .unseen, .skip")) continue;
      const { right, left, width } = element.getBoundingClientRect();
      if (width && (right > room + 1 || left < -1)) wide.push(
        `${element.localName}.${element.className} ${left} ${right}`);
    }
  };
  see(document);
  const scrolls = innerWidth - room;
  return scrolls > 0 ? [...wide, `the page: ${scrolls}`] : wide;
}
"""
"""What stands out of the window at its sides."""


def found(violations: list[dict[str, Any]]) -> list[str]:
    """What axe-core says, in lines that can be read."""
    return [
        f"{one['id']}: {node['target']} {node['html'][:120]} {node['failureSummary']}"
        for one in violations
        for node in one["nodes"]
    ]


async def wide(page: Page) -> list[str]:
    await page.evaluate(FINISHED)
    held: list[str] = await page.evaluate(WIDER)
    return held


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(
    upstream: Scripted,
    start_hub_process: StartHubProcess,
    new_ground: NewGround,
    axe: Axe,
    shot: Shot,
    *,
    scheme: Literal["light", "dark"],
) -> None:
    """In each state that the page can be in, in both themes."""
    gate = Gate()
    said = openai_sse(
        "Some **text**, `code` and a [link](https://example.org/).\n\n```py\n1 ", "+ 1\n"
    )
    upstream.answers(Answer(*said[:2], gate, *said[2:]))
    upstream.answers(Answer(*openai_sse("half", done=False, reason=None)))
    far = {"dialect": "openai-chat", "url": upstream.url, "model": "scripted", "retries": 0}
    hub = await start_hub_process(
        default_upstream="far",
        upstreams={"far": far, "demo": {"dialect": "demo", "options": {"pace": 5000}}},
    )
    ground = new_ground(hub.url)
    context = await ground.context(color_scheme=scheme)
    chat = Chat(await ground.tab("/#/c/one", context=context))
    page = chat.page

    async def clean(state: str) -> None:
        await page.evaluate(FINISHED)
        await shot(page, f"{state}-{scheme}")
        assert found(await axe(page)) == [], state

    await chat.live()
    await expect(page.get_by_role("heading", name="What shall we talk about?")).to_be_visible()
    await clean("empty")

    await chat.send("go")
    await expect(chat.reply).to_contain_text("Some text")
    await clean("streaming")
    gate.open()
    await chat.over()

    await chat.send("again")
    await expect(chat.ending).to_contain_text("upstream_truncated")
    await clean("error")

    await page.get_by_role("combobox", name="Model").select_option("demo")
    await chat.send("tools")
    await expect(page.get_by_role("region", name="Tool call get_weather")).to_be_visible()
    await chat.over()
    await (
        chat.replies.last.get_by_text("Thoughts")
        .or_(chat.replies.last.get_by_text("Thought for"))
        .click()
    )
    await expect(chat.replies.last.locator(".thoughts")).to_contain_text("tool call")
    await clean("reasoning")

    await chat.said.last.get_by_role("button", name="Edit this message").click()
    await expect(page.get_by_role("textbox", name="Edit the message")).to_be_focused()
    await clean("editing")
    await page.keyboard.press("Escape")

    for name in ("Export", "Share"):
        await page.get_by_role("button", name=name, exact=True).click()
        await expect(page.get_by_role("menu")).to_be_visible()
        await clean(f"menu-{name.lower()}")
        await page.keyboard.press("Escape")

    await page.get_by_role("button", name="Keys").click()
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await clean("keys")
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name=re.compile("^More about")).click()
    await page.get_by_role("menuitem", name="Delete…").click()
    await expect(page.get_by_role("dialog", name="Delete the conversation?")).to_be_visible()
    await clean("question")
    await page.keyboard.press("Escape")

    await page.goto(f"{hub.url}/#/v/one")
    await expect(chat.replies).to_have_count(3)
    await clean("view")
    await page.goto(f"{hub.url}/#/nothing here")
    await expect(page.get_by_role("heading", name="There is no conversation")).to_be_visible()
    await clean("nowhere")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 568)])
async def test_a_phone(ground: Ground, shot: Shot, axe: Axe, *, width: int, height: int) -> None:
    """Nothing stands out at the sides, and all that the page can do is there."""
    viewport = {"width": width, "height": height}
    scheme: Literal["light", "dark"] = "dark" if width == 390 else "light"
    context = await ground.context(**{**PHONE, "viewport": viewport}, color_scheme=scheme)
    chat = Chat(await ground.tab("/#/c/one", context=context))
    page = chat.page
    await chat.live()
    assert await wide(page) == []
    await shot(page, f"phone-{width}-empty")
    await chat.send("tour")
    await expect(chat.reply).to_contain_text("Say help to see what else I can do.")
    await chat.over()
    assert await wide(page) == []
    await shot(page, f"phone-{width}-answer")
    assert found(await axe(page)) == []
    await chat.send(f"echo {'unbroken' * 60} https://example.org/{'a' * 200}")
    await chat.over()
    await chat.replies.last.get_by_role("button", name="Answer again").tap()
    await expect(chat.replies.last.locator(".count")).to_have_text("2/2")
    await chat.over()
    await expect(page.locator("#bar h1")).to_contain_text("tour")
    assert await wide(page) == []

    await page.get_by_role("button", name="Show the list").tap()
    drawer = page.get_by_role("dialog", name="Conversations")
    await expect(drawer).to_be_visible()
    assert await wide(page) == []
    await shot(page, f"phone-{width}-list")
    assert found(await axe(page)) == []
    await drawer.get_by_role("button", name="Keys").tap()
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert await wide(page) == []
    await shot(page, f"phone-{width}-keys")
    await page.get_by_role("button", name="Close").tap()
    await drawer.get_by_role("link").first.tap()
    await expect(drawer).to_have_count(0)
    await page.get_by_role("button", name="Share", exact=True).tap()
    assert await wide(page) == []
    await shot(page, f"phone-{width}-share")


async def test_the_keyboard_alone(ground: Ground, shot: Shot) -> None:
    """The whole way without a pointer: send, stop, again, edit, copy, list, keys."""
    context = await ground.context(permissions=["clipboard-read", "clipboard-write"])
    older = Chat(await ground.tab("/#/c/older", context=context))
    await older.send("echo older")
    await older.answered("older")
    await older.page.close()
    chat = Chat(await ground.tab("/#/c/one", context=context))
    page, keys = chat.page, chat.page.keyboard
    await chat.live()
    await expect(chat.composer).to_be_focused()
    await keys.insert_text(ENDLESS)
    await keys.press("Enter")
    await chat.begun()
    await expect(chat.composer).to_be_focused()
    await keys.press("Escape")
    await expect(chat.ending).to_contain_text("Stopped")
    await expect(chat.composer).to_be_focused()

    await tab_to(page, "Answer again")
    await keys.press("Enter")
    await expect(chat.replies.last.locator(".count")).to_have_text("2/2")
    await chat.begun()
    await keys.press("Escape")
    await expect(chat.ending).to_contain_text("Stopped")

    await page.locator("body").evaluate("() => document.activeElement.blur()")
    await keys.press("/")
    await expect(chat.composer).to_be_focused()
    await tab_to(page, "Edit this message")
    await keys.press("Enter")
    await expect(page.get_by_role("textbox", name="Edit the message")).to_be_focused()
    await keys.press("Control+a")
    await keys.type("echo by hand")
    await keys.press("Enter")
    await chat.answered("by hand")

    await keys.press("Escape")
    await tab_to(page, "Copy this answer")
    async with copied(chat.replies.last.get_by_role("button", name="Copy this answer")):
        await keys.press("Enter")
    assert await page.evaluate("navigator.clipboard.readText()") == "by hand"

    # Keys alone, where nobody is typing.
    await keys.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    await expect(dialog).to_be_visible()
    await keys.press("Escape")
    await expect(dialog).to_have_count(0)
    await keys.press("b")
    await expect(page.get_by_role("navigation", name="Conversations")).to_be_hidden()
    await keys.press("b")
    await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
    await expect(page.get_by_role("link", name=re.compile("^echo"))).to_have_count(2)
    here = page.url
    await keys.press("Alt+ArrowDown")
    await expect(page).not_to_have_url(here)
    await keys.press("n")
    await expect(page.get_by_role("heading", name="What shall we talk about?")).to_be_visible()
    await expect(chat.composer).to_be_focused()
    # In a field they are letters.
    await keys.type("?bn/")
    await expect(chat.composer).to_have_value("?bn/")
    await expect(dialog).to_have_count(0)
    await keys.press("Control+k")
    await expect(page.get_by_role("searchbox")).to_be_focused()


async def tab_to(page: Page, name: str) -> None:
    """Press Tab, or Shift and Tab, until a button has the focus: the last of that name."""
    wanted = page.get_by_role("button", name=name).last
    for _ in range(40):
        if await wanted.evaluate("one => one.getRootNode().activeElement === one"):
            return
        await page.keyboard.press("Shift+Tab")
    raise AssertionError(f"the keyboard does not reach {name}")


async def test_enter_that_ends_a_composition_does_not_send(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await chat.composer.focus()
    devtools = await chat.page.context.new_cdp_session(chat.page)
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    composing = {"text": "にほん", "selectionStart": 3, "selectionEnd": 3}
    await devtools.send("Input.imeSetComposition", composing)
    # A browser calls each key of a composition 229; here is the one that takes the words.
    await devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    await devtools.send("Input.insertText", {"text": "日本"})
    await devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    await expect(chat.composer).to_have_value("日本")
    await chat.composer.press("Shift+Enter")
    await expect(chat.composer).to_have_value("日本\n")
    await expect(chat.said).to_have_count(0)
    await chat.composer.press("Enter")
    await expect(chat.said).to_have_count(1)
    await expect(chat.said.locator(".words")).to_have_text("日本")


async def test_what_a_screen_reader_is_told(
    upstream: Scripted, start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    """Whole paragraphs, once each, and never each token; the focus stays in the composer."""
    gate = Gate()
    said = openai_sse("First **part**.\n\nSecond", " part.\n\nThird")
    upstream.answers(Answer(*said[:2], gate, *said[2:]))
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "scripted"}
    hub = await start_hub_process(default_upstream="far", upstreams={"far": table})
    chat = Chat(await new_ground(hub.url).tab("/#/c/one"))
    await chat.live()
    await expect(chat.log).to_have_attribute("aria-live", "off")
    spoken = chat.page.locator("hub-chat .unseen")
    await spoken.evaluate(
        """region => {
          window.told = [];
          new MutationObserver((changes) => {
            for (const { addedNodes } of changes) {
              for (const node of addedNodes) told.push(node.textContent);
            }
          }).observe(region, { childList: true });
        }"""
    )
    await chat.send("go")
    await expect(spoken.locator("p")).to_have_text(["Answering.", "First part ."])
    await expect(chat.log).to_have_attribute("aria-busy", "true")
    gate.open()
    await expect(spoken.locator("p").last).to_have_text("The answer is complete.")
    # In one piece or two, as the frames fell.
    lines = await chat.page.evaluate("told")
    assert " ".join(lines[2:-1]) == "Second part. Third"
    await expect(chat.log).to_have_attribute("aria-busy", "false")
    await expect(chat.composer).to_be_focused()
