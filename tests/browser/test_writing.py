"""Scripts that run the other way, and what is too wide: where the pieces of an answer stand."""

from __future__ import annotations

from typing import Final

from playwright.async_api import Locator, expect

from tests.browser.chat import Chat
from tests.browser.ground import Ground

MIXED: Final = """\
# مرحبا

هذه فقرة بالعربية.

- البند الأول
- second item

English, and then

- an item
- عنصر

| a | b |
|---|---|
| 1 | نهر |

```py
first_of_a_very_long_line = [11111111, 22222222, 33333333, 44444444, 55555555, 66666666, 77777777]
```

The end.
"""
"""An answer that begins from right to left, and goes on in other scripts."""


WIDE: Final = f"|{'a_column_of_one_word |' * 6}\n|{'---|' * 6}\n|{'a_word_that_is_long |' * 6}\n"

NARROW: Final = {"width": 420, "height": 800}


async def direction(one: Locator) -> str:
    held: str = await one.evaluate("one => getComputedStyle(one).direction")
    return held


async def side(one: Locator) -> str:
    held: str = await one.evaluate("one => getComputedStyle(one).textAlign")
    return held.removeprefix("-webkit-")


async def test_each_block_goes_its_own_way(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one"))
    await chat.live()
    await chat.send(f"echo {MIXED}")
    await chat.over()
    answer = chat.reply
    assert await direction(answer.locator("h1")) == "rtl"
    assert await direction(answer.locator("p").first) == "rtl"
    arabic, english = answer.locator("ul").first, answer.locator("ul").last
    assert await direction(arabic) == "rtl"
    assert await direction(english) == "ltr"
    # An item of another script stays beside its mark.
    assert [await side(one) for one in await arabic.locator("li").all()] == ["right", "right"]
    assert [await side(one) for one in await english.locator("li").all()] == ["left", "left"]
    assert await direction(answer.locator(".hub-table")) == "ltr"
    assert await side(answer.locator("td").last) == "left"
    assert await direction(answer.locator("p").last) == "ltr"


async def test_code_begins_at_its_beginning_in_an_arabic_answer(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one", context=await ground.context(viewport=NARROW)))
    await chat.live()
    await chat.send(f"echo {MIXED}")
    await chat.over()
    code = chat.reply.locator("pre")
    await expect(code).to_contain_text("first_of_a_very_long_line")
    assert await code.evaluate("pre => pre.scrollWidth > pre.clientWidth && pre.scrollLeft") == 0
    bar, name = chat.reply.locator(".hub-code-bar"), chat.reply.locator(".hub-code-language")
    inside, label = await bar.bounding_box(), await name.bounding_box()
    assert inside is not None
    assert label is not None
    assert label["x"] < inside["x"] + inside["width"] / 2


async def test_paper_cuts_nothing_off(ground: Ground) -> None:
    chat = Chat(await ground.tab("/#/c/one", context=await ground.context(viewport=NARROW)))
    await chat.live()
    await chat.send(f"echo {MIXED}\n{WIDE}")
    await chat.over()
    await chat.page.emulate_media(media="print")
    for one in await chat.reply.locator("pre, .hub-table").all():
        assert await one.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
