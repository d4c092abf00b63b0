"""Pages that are not the hub's use what it serves for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import StartHubProcess
from tests.browser.ground import Ground
from tests.support.loopback_hub import eventually

NewGround = Callable[[str], Ground]

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "page.md")

STRANGER = """\
<!doctype html>
<link rel="icon" href="data:,">
<title>A page of somebody else</title>
<pre id="answer"></pre>
<script type="module">
  import { connect } from "HUB/client.js";
  const hub = connect("HUB/");
  const { stream } = await hub.generate({ prompt: "poem" });
  for await (const { event } of hub.follow(stream, { from: "start" }))
    if (event?.text) document.getElementById("answer").append(event.text);
</script>
<iframe src="HUB/single.html" title="framed"></iframe>
"""


async def test_a_page_of_an_allowed_origin_imports_the_client_and_frames_the_page(
    elsewhere: Callable[[str], str], start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    origin = elsewhere("")
    hub = await start_hub_process(server={"origins": [origin], "frame_ancestors": [origin]})
    ground = new_ground(hub.url)
    ground.allow(origin)
    elsewhere(STRANGER.replace("HUB", hub.url))
    tab = await ground.tab(origin)
    await expect(tab.locator("#answer")).to_contain_text("stream")
    await expect(tab.frame_locator("iframe").locator("h1")).to_have_text("One fetch")


async def test_a_page_of_another_origin_can_do_neither(
    elsewhere: Callable[[str], str], start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    hub = await start_hub_process()
    ground = new_ground(hub.url)
    origin = elsewhere(STRANGER.replace("HUB", hub.url))
    ground.allow(origin)
    ground.expect("blocked by CORS policy", "net::ERR_FAILED")
    refused = 'violates the following Content Security Policy directive: "frame-ancestors'
    ground.expect(refused)
    tab = await ground.tab(origin)
    wanted = ("client.js' from origin", refused)
    await eventually(lambda: all(any(part in fault for fault in ground.faults) for part in wanted))
    await expect(tab.locator("#answer")).to_be_empty()
    await expect(tab.frame_locator("iframe").locator("body")).not_to_contain_text("One fetch")


def pages_in_the_documents() -> list[str]:
    """Their blocks of HTML, as whole pages: as they stand, but without a missing favicon."""
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    blocks = re.findall(r"^```html\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ['<link rel="icon" href="data:,">\n' + block for block in blocks]


async def test_the_pages_in_the_documents_work_word_for_word(
    elsewhere: Callable[[str], str], start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    origin = elsewhere("")
    hub = await start_hub_process(server={"origins": [origin]})
    ground = new_ground(hub.url)
    ground.allow(origin)
    elements, client = [
        page.replace("http://127.0.0.1:7000", hub.url) for page in pages_in_the_documents()
    ]
    elsewhere(client)
    tab = await ground.tab(origin)
    await expect(tab.locator("#answer")).to_contain_text("stream")
    elsewhere(elements)
    other = await ground.tab(origin)
    await expect(other.locator("hub-stream")).to_contain_text("stream")
    composer = other.locator("hub-chat textarea")
    await composer.fill("poem")
    await composer.press("Enter")
    await expect(other.locator("hub-chat")).to_contain_text("stream")
