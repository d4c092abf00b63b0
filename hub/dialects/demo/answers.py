"""The answers of the built-in demo, and which prompt gets which.

The same prompt always gets the same answer. Together the answers hold everything that a reply can
be made of: headings, lists, a table, code, several scripts, and emoji of one and of many code
points, which a cut in the wrong place would break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

__all__ = ["BROKEN", "Answer", "answer_to", "tokens"]

Ending = Literal["stop", "tool", "fail", "cut", "stall"]


class Answer(NamedTuple):
    """``reasoning``, then ``text``, then one tool call (``name``, ``arguments``) if any.

    Of an answer that ends in ``fail``, ``cut`` or ``stall`` only the first half is sent.
    """

    text: str
    reasoning: str = ""
    tool: tuple[str, str] | None = None
    ending: Ending = "stop"


HELP: Final = """\
Say one of these; anything else gets the tour.

| Prompt | Answer |
| --- | --- |
| `poem` | a short poem |
| `code` | a piece of Python |
| `table` | a table of numbers |
| `long` | about 10,000 tokens |
| `tools` | a tool call |
| `echo …` | what you said |
| `你好` | an answer in Chinese |
| `fail` | an error in the middle |
| `cut` | an end without an ending |
| `stall` | silence in the middle |
"""

POEM: Final = """\
## One River, Many Banks

A word is born upstream, and goes
where every listener may stand;
it does not ask, it does not slow
for one cold engine, one full hand.

And you who left, and you who slept,
come back: the place you marked is kept. 🌊
"""

CODE: Final = '''\
Here is a function that reads lines from bytes cut anywhere:

```python
def lines(pieces):
    """Whole lines, however the bytes were cut."""
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\\n")
        yield from whole
    if held:
        yield held
```

It keeps the unfinished end of each piece and puts it before the next one. Try it:

```console
>>> list(lines([b"one\\ntw", b"o\\nth", b"ree"]))
[b'one', b'two', b'three']
```
'''

TABLE: Final = """\
| City | Country | People (millions) | Greeting |
| :--- | :---: | ---: | --- |
| Tokyo | 🇯🇵 | 37.0 | こんにちは |
| Delhi | 🇮🇳 | 34.7 | नमस्ते |
| Shanghai | 🇨🇳 | 30.5 | 你好 |
| Cairo | 🇪🇬 | 23.1 | مرحبا |
| Seoul | 🇰🇷 | 9.9 | 안녕하세요 |
| Berlin | 🇩🇪 | 3.7 | Hallo |

Six cities, six scripts, one stream.
"""

CHINESE: Final = """\
## 你好！👋

这是内置的演示模型，不需要网络。它一个字一个字地输出，好让你看到**流式传输**的样子：

1. 上游只读取一次；
2. 每个订阅者都按顺序收到每一段，不多也不少；
3. 刷新页面或断线之后，从原来的位置继续。

> 大江东去，浪淘尽，千古风流人物。

输入 `help` 可以看到其他示例。🀄️🐼
"""

TOUR: Final = """\
# Hello from the demo 👋

You said:

> {said}

This answer was written in advance and is typed one token at a time. It needs no network,
so that you can watch **one reply reach many readers** before you configure a real model.

## What to try

1. Open this stream in a *second* window: both show the same text.
2. Refresh in the middle: the answer goes on where it was.
3. Press **Stop** in one window: it stops in all of them.
   - Closing a window is not stopping.
   - Nor is losing the network.

## What is in it

| Kind | Example |
| --- | --- |
| Chinese, Japanese, Korean | 流 · ながれ · 흐름 |
| Right to left | نهر · נהר |
| Accents | café, naïve, Ångström, Việt Nam |
| Emoji | 🌊 🚀 🎉 |
| Emoji of many parts | 👩‍👩‍👧‍👦 👨🏽‍💻 🏳️‍🌈 ❤️‍🔥 |
| Flags | 🇫🇷 🇧🇷 🇿🇦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 |

```python
async with hub.pipeline(source) as chunks:
    await chunks.map(parse).filter(wanted).append_to(stream)  # 一次读取，处处可见 ✨
```

Say `help` to see what else I can do.
"""

TOUR_REASONING: Final = """\
The prompt is not one of my set pieces, so I give the tour: greet, quote the prompt, say \
what to try, and show every kind of text that streaming tends to break. 先想一想，再回答。🤔"""

TOLD: Final = """\
The tool says:

> {said}

So that is the answer. 🌤️
"""

_SET_PIECES: Final = {
    "help": Answer(HELP),
    "poem": Answer(POEM, "A poem, then: a river for the stream, and somebody who comes back."),
    "code": Answer(CODE, "Something short, useful and about streams: lines from cut bytes."),
    "table": Answer(TABLE, "A few cities, with flags and greetings in their own scripts."),
    "tools": Answer(
        "",
        "They want to see a tool call; the weather is what everybody asks about.",
        tool=("get_weather", '{"city":"Zürich","country":"🇨🇭","units":"celsius"}'),
        ending="tool",
    ),
}
BROKEN: Final[tuple[Ending, ...]] = ("fail", "cut", "stall")

_HAN: Final = re.compile("[\u3400-\u9fff]")
# Roughly the tokens of models: a word or a part of one with the space before it, one character of
# scripts without spaces, one code point of an emoji.
_TOKEN: Final = re.compile(r" ?[0-9A-Za-z\u00c0-\u024f\u1e00-\u1eff]{1,8}|\n+| +|.", re.DOTALL)

LONG_PARTS: Final = 58


def answer_to(said: str, *, by_tool: bool = False) -> Answer:
    """The answer to the last message; ``by_tool`` if that is a tool's result."""
    if by_tool:
        return Answer(TOLD.format(said=_quoted(said)))
    first, _, rest = said.strip().partition(" ")
    word = first.strip(".!?").lower()
    tour = Answer(TOUR.format(said=_quoted(said)), TOUR_REASONING)
    if word == "echo":
        return Answer(rest)
    if word == "long":
        return Answer("".join(_long()), "They asked for a long one: sections, many of them.")
    for ending in BROKEN:
        if word == ending:
            return tour._replace(ending=ending)
    if word in _SET_PIECES:
        return _SET_PIECES[word]
    return Answer(CHINESE, "用户说中文，我也用中文回答。") if _HAN.search(said) else tour


def tokens(text: str) -> list[str]:
    """The tokens of a text."""
    return _TOKEN.findall(text)


def _quoted(said: str) -> str:
    """At most 200 characters, as the inside of a Markdown quotation."""
    short = said if len(said) <= 200 else f"{said[:199]}…"
    return "\n> ".join(short.splitlines() or ["(nothing)"])


def _long() -> Iterator[str]:
    yield "# A long answer\n"
    for number in range(1, LONG_PARTS + 1):
        yield (
            f"\n## Part {number} of {LONG_PARTS}\n\n"
            f"This is part {number}. Long answers are where streaming earns its keep: the first"
            " words can be read while the last are still being written, and whoever comes late"
            f" is caught up in one step. After this part, {LONG_PARTS - number} are left.\n\n"
            f"- step {number}.1: read the upstream **once**, whatever the number of readers;\n"
            f"- step {number}.2: write each record once, and send the same bytes to everybody;\n"
            f"- step {number}.3: 断线之后，从第 {number} 段继续，一个字也不丢。🌊\n\n"
            f"| {number} | squared | cubed |\n| ---: | ---: | ---: |\n"
            f"| {number} | {number**2} | {number**3} |\n"
        )
    yield "\nThat was all of it. 🎉\n"
