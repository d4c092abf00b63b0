"""What an answer holds beside text: sources, the provider's tools, pictures and sounds."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any, Final

from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.browser.conftest import Axe, NewGround, Shot, StartHubProcess
from tests.faults.replies import chat, finish, sse
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer

SIDE: Final = 64


def png() -> bytes:
    """A picture that a browser can show: a square of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes((40, 90, 200)) * SIDE for _ in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PICTURE: Final = f"data:image/png;base64,{b64encode(png()).decode()}"
SECOND: Final = b64encode(bytes(24_000)).decode()
"""Half a second of silence, in samples of two bytes."""
PAGE: Final[dict[str, Any]] = {
    "url": "https://a.example/rivers",
    "title": "Rivers",
    "start_index": 0,
    "end_index": 4,
}
RUN: Final = {
    "index": 0,
    "type": "search",
    "arguments": '{"query":"rivers"}',
    "output": "It is wet.",
}
BODY: Final = sse(
    chat({"executed_tools": [RUN]}),
    chat({"content": "Here they are."}),
    chat({"annotations": [{"type": "url_citation", "url_citation": PAGE}]}),
    chat({"images": [{"type": "image_url", "image_url": {"url": PICTURE}}]}),
    chat({"audio": {"id": "a", "data": SECOND}}),
    chat({"audio": {"id": "a", "data": SECOND}}),
    finish(),
    "[DONE]",
)


async def test_what_an_answer_holds_is_shown(
    start_hub_process: StartHubProcess,
    new_ground: NewGround,
    upstream: Scripted,
    axe: Axe,
    shot: Shot,
) -> None:
    """Under the page's own policy, which lets in pictures and sounds of events alone."""
    upstream.answers(Answer(BODY))
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "m"}
    hub = await start_hub_process(upstreams={"scripted": table}, default_upstream="scripted")
    tab = await new_ground(hub.url).tab("/#/c/beside")
    talk = Chat(tab)
    await talk.live()
    await talk.send("Rivers?")
    await talk.over()
    picture = tab.get_by_role("img", name="Picture 1 of this answer")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == SIDE
    sound = talk.replies.last.locator("audio")
    await expect(sound).to_have_attribute("controls", "")
    length = """audio => new Promise((done, fail) => {
      audio.onerror = () => fail(audio.error.message);
      audio.onloadedmetadata = () => done(audio.duration);
      if (audio.readyState) done(audio.duration);
      else audio.load();
    })"""
    assert await sound.evaluate(length) == 1
    source = tab.get_by_role("region", name="Sources").get_by_role("link", name="Rivers")
    await expect(source).to_have_attribute("href", PAGE["url"])
    tool = tab.get_by_role("region", name="Tool call search")
    await expect(tool.get_by_label("Result")).to_have_text("It is wet.")
    await shot(tab, "beside-text")
    assert await axe(tab) == []
    await tab.reload()
    await expect(picture).to_be_visible()
    await expect(source).to_be_visible()
