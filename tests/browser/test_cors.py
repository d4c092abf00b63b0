"""A page of another origin uses the hub with a token, and never with a visitor's cookies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.browser.conftest import NewGround, StartHubProcess
from tests.browser.hub_process import HubProcess
from tests.support.people import KEYS, auth

PAGE: Final = '<!doctype html><link rel="icon" href="data:,"><title>Another page</title>'

ASK: Final = """
async ([url, options]) => {
  try {
    const reply = await fetch(url, options);
    const headers = Object.fromEntries(reply.headers);
    return {status: reply.status, headers, text: await reply.text()};
  } catch (error) {
    return {status: 0, headers: {}, text: String(error)};
  }
}
"""


def asks(who: str, **more: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEYS[who]}", **more.pop("headers", {})}
    return {"headers": headers, **more}


async def started(start_hub_process: StartHubProcess, *origins: str) -> HubProcess:
    return await start_hub_process(server={"origins": list(origins)}, auth=auth())


@pytest.mark.parametrize("everybody", [False, True])
async def test_a_page_of_an_allowed_origin_uses_a_token(
    everybody: bool,
    elsewhere: Callable[[str], str],
    start_hub_process: StartHubProcess,
    new_ground: NewGround,
) -> None:
    origin = elsewhere(PAGE)
    hub = await started(start_hub_process, "*" if everybody else origin)
    ground = new_ground(hub.url)
    ground.allow(origin)
    ground.expect("status of 401", "status of 404")
    tab = await ground.tab(origin)

    async def ask(path: str, options: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await tab.evaluate(ASK, [f"{hub.url}{path}", options])
        return found

    begun = await ask(
        "/v1/generations",
        asks(
            "ann",
            method="POST",
            body='{"prompt": "echo hello there", "stream": "chat/ann/1"}',
            headers={"Content-Type": "application/json", "Idempotency-Key": "once"},
        ),
    )
    assert begun["status"] == 201, begun
    assert begun["headers"]["location"].endswith("/v1/stream/chat/ann/1")
    assert begun["headers"]["x-request-id"]
    read = await ask("/v1/stream/chat/ann/1?offset=-1&live=long-poll", asks("ann"))
    assert read["status"] == 200
    assert read["headers"]["stream-next-offset"]
    # What is refused can be read as well, or a page could not tell why.
    assert (await ask("/v1/stream/chat/ann/1", asks("bob")))["status"] == 404
    nobody = await ask("/v1/stream/chat/ann/1", {})
    assert (nobody["status"], "unauthorized" in nobody["text"]) == (401, True)


@pytest.mark.parametrize("everybody", [False, True])
async def test_no_page_of_another_origin_sends_cookies_and_reads_the_answer(
    everybody: bool,
    elsewhere: Callable[[str], str],
    start_hub_process: StartHubProcess,
    new_ground: NewGround,
) -> None:
    origin = elsewhere(PAGE)
    hub = await started(start_hub_process, "*" if everybody else origin)
    ground = new_ground(hub.url)
    ground.allow(origin)
    ground.expect("blocked by CORS policy", "net::ERR_FAILED")
    tab = await ground.tab(origin)
    options = asks("ann", credentials="include")
    told = await tab.evaluate(ASK, [f"{hub.url}/v1/models", options])
    assert (told["status"], "Failed to fetch" in told["text"]) == (0, True)


async def test_a_page_of_a_strange_origin_gets_nothing_even_with_a_token(
    elsewhere: Callable[[str], str], start_hub_process: StartHubProcess, new_ground: NewGround
) -> None:
    origin = elsewhere(PAGE)
    hub = await started(start_hub_process, "https://chat.example.org")
    ground = new_ground(hub.url)
    ground.allow(origin)
    ground.expect("blocked by CORS policy", "net::ERR_FAILED", "status of 403")
    tab = await ground.tab(origin)
    for options in (asks("ann"), {}):
        told = await tab.evaluate(ASK, [f"{hub.url}/v1/models", options])
        assert (told["status"], "Failed to fetch" in told["text"]) == (0, True)
