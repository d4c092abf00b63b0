"""Formulas, which KaTeX sets, and diagrams, which Mermaid draws: both once they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.browser.chat import Chat, copied
from tests.browser.conftest import Axe, NewGround, Shot, StartHubProcess
from tests.browser.ground import PHONE, Ground
from tests.faults.replies import chat as chunk
from tests.faults.replies import finish, sse
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer

FORMULAS: Final = r"""Euler's identity is $e^{i\pi} + 1 = 0$, and \(a_1 * b_2\) is in its line.

$$
\begin{aligned}
f(x) &= \int_{-\infty}^{\infty} \hat f(\xi)\, e^{2\pi i \xi x}\, d\xi \\
- g(x) &= \sqrt{\frac{n(n+1)}{2}} + \vec v \cdot \overbrace{a + b}^{c}
\end{aligned}
$$

1. 矩阵 $A = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$，**其中 $\det A = -2$**。
2. \[ \lim_{n \to \infty} \left(1 + \frac{1}{n}\right)^n = e \]

| symbol | means |
|---|---|
| $\mathbb{R}$ | $\{x \mid x \text{ real}\}$ |

It costs $5, or $10 for two. This is none: $\frac{1}{$, nor is $$\nosuchcommand{1}$$ one.
"""
DIAGRAM: Final = """Here it is:

```mermaid
graph LR
  Upstream -->|once| Hub
  Hub --> Tab1[A tab]
  Hub --> Tab2[Another <b>tab</b>]
```

```mermaid
graph LR
  A --> --> B
```

```mermaid
sequenceDiagram
  Alice->>Bob: Hello
  Bob-->>Alice: 你好
```
"""
SET: Final = 8
"""How many of the formulas are ones."""

StartChat = Callable[..., Any]


@pytest.fixture
def answered(
    start_hub_process: StartHubProcess, new_ground: NewGround, upstream: Scripted
) -> StartChat:
    """A tab in which a model has answered with this text, and its ground."""

    async def start(text: str, **options: Any) -> tuple[Chat, Ground]:
        upstream.answers(Answer(sse(chunk({"content": text}), finish(), "[DONE]")))
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m"}
        hub = await start_hub_process(upstreams={"scripted": table}, default_upstream="scripted")
        ground = new_ground(hub.url)
        chat = Chat(await ground.tab("/#/c/one", context=await ground.context(**options)))
        await chat.live()
        return chat, ground

    return start


async def asked(chat: Chat) -> None:
    await chat.send("Show me.")
    await chat.over()


async def theme(page: Page, name: str) -> None:
    await page.get_by_role("radio", name=name).check(force=True)


async def test_formulas_are_set_under_the_page_s_policy(
    answered: StartChat, axe: Axe, shot: Shot
) -> None:
    chat, _ = await answered(FORMULAS, viewport={"width": 1000, "height": 900})
    page = chat.page
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    await page.reload()
    await chat.live()
    assert not [name for name in loaded if "math" in name or "KaTeX" in name]
    await asked(chat)
    await expect(chat.reply.locator(".katex")).to_have_count(SET)
    # For screen readers, in MathML; what is seen is hidden from them.
    await expect(chat.reply.locator("math")).to_have_count(SET)
    await expect(chat.reply.locator(".katex-html")).to_have_count(SET)
    for drawn in await chat.reply.locator(".katex-html").all():
        await expect(drawn).to_have_attribute("aria-hidden", "true")
    await page.evaluate("document.fonts.ready.then(() => 0)")
    fonts = "[...document.fonts].filter((one) => one.status === 'loaded').map((one) => one.family)"
    assert {"KaTeX_Main", "KaTeX_Math"} <= set(await page.evaluate(fonts))
    assert any(name.startswith("KaTeX_Main-Regular") for name in loaded)
    # A root has its size by a style, which the policy allows only as properties.
    root = chat.reply.locator("svg").first
    assert (await root.bounding_box() or {})["height"] > 5
    # What is no formula stands there as it was written.
    shown = await chat.shown()
    assert "It costs $5, or $10 for two." in shown
    assert r"This is none: $\frac{1}{$, nor is" in shown
    assert r"$$\nosuchcommand{1}$$" in shown
    for name in ("Light", "Dark"):
        await theme(page, name)
        await shot(page, f"formulas-{name.lower()}")
        assert await axe(page) == []


async def test_formulas_are_copied_as_they_were_written(answered: StartChat) -> None:
    chat, _ = await answered(FORMULAS, permissions=["clipboard-read", "clipboard-write"])
    page = chat.page
    await asked(chat)
    await expect(chat.reply.locator(".katex")).to_have_count(SET)
    select = """text => {
      const selection = text.getRootNode().getSelection?.() ?? document.getSelection();
      selection.selectAllChildren(text.querySelector(".hub-markdown"));
    }"""
    await chat.reply.evaluate(select)
    await page.keyboard.press("ControlOrMeta+c")
    clipped = await page.evaluate("navigator.clipboard.readText()")
    assert clipped.startswith(
        "Euler's identity is $e^{i\\pi} + 1 = 0$, and \\(a_1 * b_2\\) is in its line.\n$$\n"
    )
    assert r"- g(x) &= \sqrt{\frac{n(n+1)}{2}}" in clipped
    assert "$\\mathbb{R}$\t$\\{x \\mid x \\text{ real}\\}$" in clipped
    button = chat.replies.last.get_by_role("button", name="Copy this answer")
    async with copied(button):
        await button.click()
    assert await page.evaluate("navigator.clipboard.readText()") == FORMULAS


async def test_a_wide_formula_scrolls_on_a_phone_and_covers_nothing(
    answered: StartChat, shot: Shot
) -> None:
    wide = "$$" + " + ".join(f"x_{{{n}}}^2" for n in range(60)) + "$$\n\n$\\kern-99em a$ after"
    chat, _ = await answered(wide, **PHONE)
    await asked(chat)
    await expect(chat.reply.locator(".katex")).to_have_count(2)
    assert await chat.page.evaluate("document.documentElement.scrollWidth") <= 390
    display = chat.reply.locator(".hub-math-display")
    assert await display.evaluate("one => one.scrollWidth > one.clientWidth")
    await shot(chat.page, "formulas-phone")


async def test_a_diagram_is_drawn_when_it_is_asked_for(
    answered: StartChat, axe: Axe, shot: Shot
) -> None:
    chat, _ = await answered(
        DIAGRAM,
        viewport={"width": 1000, "height": 1100},
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = chat.page
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    await asked(chat)
    first, broken, last = [chat.reply.locator(".hub-code").nth(n) for n in range(3)]
    show = first.get_by_role("button", name="Show diagram")
    await expect(show).to_have_attribute("aria-expanded", "false")
    assert not [name for name in loaded if "diagram" in name]
    for name in ("Light", "Dark"):
        await theme(page, name)
        for block in (first, last):
            await block.get_by_role("button", name="Show diagram").click()
        frame = first.frame_locator("iframe[title=Diagram]")
        await expect(frame.locator("svg")).to_contain_text("Upstream")
        await expect(last.frame_locator("iframe").locator("svg")).to_contain_text("你好")
        # It knows nothing of the page, and the text stands there as before.
        origin = await frame.locator("body").evaluate("() => window.origin")
        assert origin == "null"
        await expect(first.locator("pre")).to_contain_text("Upstream -->|once| Hub")
        height = "frame => frame.clientHeight > 60 && frame.style.height !== ''"
        handle = await first.locator("iframe").element_handle()
        assert handle is not None
        await page.wait_for_function(height, arg=handle)
        await shot(page, f"diagram-{name.lower()}")
        assert await axe(page, iframes=False) == []
        for block in (first, last):
            await block.get_by_role("button", name="Hide diagram").click()
        await expect(first.locator("iframe")).to_have_count(0)

    await broken.get_by_role("button", name="Show diagram").click()
    await expect(broken.locator(".hub-diagram-error")).to_contain_text("cannot be drawn")
    await expect(broken.locator("pre")).to_contain_text("A --> --> B")
    button = first.locator(".hub-copy")
    async with copied(button):
        await button.click()
    clipped = await page.evaluate("navigator.clipboard.readText()")
    assert clipped.startswith("graph LR\n  Upstream -->|once| Hub\n")
    assert "Copy" not in clipped


ELSEWHERE: Final = """\
<!doctype html>
<link rel="icon" href="data:,">
<script type="module" src="HUB/elements.js"></script>
<hub-stream stream="one"></hub-stream>
"""


async def test_formulas_and_diagrams_of_an_element_in_a_page_of_somebody_else(
    elsewhere: Callable[[str], str],
    start_hub_process: StartHubProcess,
    new_ground: NewGround,
    upstream: Scripted,
) -> None:
    text = "$e^{i\\pi}$\n\n```mermaid\ngraph LR\n  A --> B\n```\n"
    upstream.answers(Answer(sse(chunk({"content": text}), finish(), "[DONE]")))
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "m"}
    hub = await start_hub_process(
        upstreams={"scripted": table},
        default_upstream="scripted",
        server={"origins": [elsewhere("")]},
    )
    ground = new_ground(hub.url)
    origin = elsewhere(ELSEWHERE.replace("HUB", hub.url))
    ground.allow(origin)
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await asked(chat)
    page = await ground.tab(origin)
    await expect(page.locator("hub-stream math")).to_have_count(1)
    await page.evaluate("document.fonts.ready.then(() => 0)")
    fonts = "[...document.fonts].filter((one) => one.status === 'loaded').map((one) => one.family)"
    assert "KaTeX_Math" in await page.evaluate(fonts)
    await page.get_by_role("button", name="Show diagram").click()
    await expect(page.frame_locator("hub-stream iframe").locator("svg")).to_contain_text("B")
