"""The header of a proxy that signs people in: believed of that proxy alone, and never an error."""

from __future__ import annotations

from typing import Any

import pytest

from hub.config.schema import Config
from tests.conftest import Running, StartHub
from tests.support.browsers import CROSS, PAGE, sign_in
from tests.support.people import auth, bearer

NAME = "X-Forwarded-User"


async def start(start_hub: StartHub, *trusted: str) -> Running:
    return await start_hub(
        auth=auth(header=NAME),
        server={"trusted_proxies": list(trusted), "list_streams": True},
    )


@pytest.fixture
async def proxied(start_hub: StartHub) -> Running:
    """A hub whose only clients come through its proxy."""
    return await start(start_hub, "127.0.0.1")


async def me(hub: Running, headers: dict[str, str]) -> dict[str, Any]:
    async with hub.client.get("/v1/me", headers=headers) as response:
        assert response.status == 200
        held: dict[str, Any] = await response.json()
        return held


async def test_a_proxy_names_the_user(proxied: Running) -> None:
    known = await me(proxied, {NAME: "ann"})
    assert (known["user"], known["signed_in"], known["folder"]) == ("ann", "header", "chat/ann/")
    assert known["expires"] is not None
    assert known["methods"][0]["kind"] == "header"
    event = {"type": "message", "role": "user", "text": "Hello"}
    for user, status in (("ann", 201), ("bob", 404)):
        path = f"/v1/stream/chat/{user}/1"
        async with proxied.client.put(path, json=[event], headers={NAME: "ann"}) as response:
            assert response.status == status
    subscribe = {"type": "subscribe", "stream": "chat/ann/1"}
    async with proxied.client.ws_connect("/v1/ws", headers={NAME: "ann"}) as socket:
        await socket.send_json(subscribe)
        assert (await socket.receive_json())["type"] == "ok"
    async with proxied.client.ws_connect("/v1/ws", headers={NAME: "bob"}) as socket:
        await socket.send_json(subscribe)
        assert (await socket.receive_json())["code"] == "stream_not_found"


async def test_nobody_else_names_a_user(start_hub: StartHub) -> None:
    hub = await start(start_hub, "192.0.2.1", "unix")
    known = await me(hub, {NAME: "ann"})
    assert (known["user"], known["allowed"]) == (None, False)
    # Nor is it an error beside another credential.
    assert (await me(hub, {NAME: "ann", **bearer("bob")}))["user"] == "bob"
    async with hub.client.get("/v1/streams", headers={NAME: "ann"}) as response:
        assert response.status == 401


async def test_a_header_that_is_there_twice_is_refused(proxied: Running) -> None:
    for values in (["ann", "admin"], ["ann", "ann"], ["", "ann"]):
        headers = [(NAME, value) for value in values]
        async with proxied.client.get("/v1/streams", headers=headers) as response:
            assert response.status == 400
            assert (await response.json())["error"]["code"] == "bad_header"


@pytest.mark.parametrize("name", ["", " ", "a" * 257, "a\tb", "a\u202eb"])
async def test_a_name_that_no_user_can_have_is_refused(proxied: Running, name: str) -> None:
    async with proxied.client.get("/v1/streams", headers={NAME: name}) as response:
        assert response.status == 400


async def test_names_that_look_alike_are_two(proxied: Running) -> None:
    """A name is never read as a pattern, and one in another script is another."""
    folders = {
        (await me(proxied, {NAME: name}))["folder"] for name in ("ann", "Ann", "a/../ann", "*")
    }
    assert len(folders) == 4
    assert all(str(one).startswith("chat/") for one in folders)


@pytest.mark.parametrize("headers", [CROSS, {"Origin": "https://evil.example"}], ids=str)
async def test_another_site_does_not_act_for_the_user(
    proxied: Running, headers: dict[str, str]
) -> None:
    """The proxy adds its header to whatever the browser sends with the proxy's cookie."""
    async with proxied.client.get("/v1/streams", headers={NAME: "ann", **headers}) as response:
        assert response.status == 401


async def test_a_key_goes_before_the_proxy_and_the_proxy_before_a_session(
    proxied: Running,
) -> None:
    session = await sign_in(proxied, "bob")
    assert (await me(proxied, {**session, NAME: "ann", **bearer("bob")}))["user"] == "bob"
    assert (await me(proxied, {**session, NAME: "ann"}))["user"] == "ann"
    assert (await me(proxied, session))["user"] == "bob"
    assert (await me(proxied, PAGE))["user"] is None


def test_a_header_without_a_proxy_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"only counts from server\.trusted_proxies"):
        Config.model_validate({"auth": {"header": NAME}})
    assert Config.model_validate(
        {"auth": {"header": NAME}, "server": {"trusted_proxies": ["unix"]}}
    ).auth.enabled
