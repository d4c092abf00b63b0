"""Somebody signs in with a real OpenID provider, on another site, in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Axe, NewGround, Shot, StartHubProcess
from tests.browser.ground import Ground
from tests.browser.hub_process import HubProcess
from tests.support.openid_provider import CLIENT, OpenIDProvider, Person, openid_provider

CAN: Final = ["read", "append", "generate", "cancel", "presence"]
FONTS: Final = "https://fonts.googleapis.com/"
"""What the provider's own pages load."""


class Scene:
    """A hub, its provider, and the tabs of people."""

    def __init__(self, hub: HubProcess, provider: OpenIDProvider, ground: Ground) -> None:
        self.hub = hub
        self.provider = provider
        self.ground = ground

    async def tab(self, address: str = "/login") -> Page:
        """A tab of a new browser."""
        context = await self.ground.context()
        await context.route(f"{FONTS}**", _nothing)
        return await self.ground.tab(address, context=context)

    async def sign_in(self, tab: Page, name: str) -> None:
        """From the hub's page for it to the provider, and back to the conversations."""
        await tab.get_by_role("link", name="Sign in with Example Ltd").click()
        await expect(tab).to_have_url(re.compile(re.escape(self.provider.issuer)))
        await tab.get_by_placeholder("Enter any login").fill(name)
        await tab.get_by_placeholder("and password").fill("any")
        await tab.get_by_role("button", name="Sign-in").click()
        await tab.get_by_role("button", name="Continue").click()
        await self.is_home(tab)

    async def is_home(self, tab: Page) -> None:
        """Wait until a tab shows the hub's page."""
        await expect(tab).to_have_url(re.compile(rf"{re.escape(self.hub.url)}/(#.*)?$"))


async def _nothing(route: Route) -> None:
    await route.fulfill(status=200, content_type="text/css", body="")


@pytest_asyncio.fixture(loop_scope="package")
async def scene(start_hub_process: StartHubProcess, new_ground: NewGround) -> AsyncIterator[Scene]:
    # To a browser, localhost is another site than 127.0.0.1, which the hub has.
    async with openid_provider("http://127.0.0.1/", host="localhost") as provider:
        oidc = {"issuer": provider.issuer, "client_id": CLIENT, "title": "Example Ltd"}
        more = {"scopes": ["openid", "groups"], "sign_out_at_provider": True}
        staff = {"who": "claim groups=staff", "match": "*", "can": CAN}
        hub = await start_hub_process(auth={"oidc": {**oidc, **more}, "grants": [staff]})
        await provider.client(
            redirect_uris=[f"{hub.url}/login/oidc/callback"],
            post_logout_redirect_uris=[f"{hub.url}/"],
            token_endpoint_auth_method="none",
        )
        await provider.users(ann={"groups": ["staff"]}, bob={"groups": ["guests"]})
        ground = new_ground(hub.url)
        ground.allow(provider.issuer)
        ground.allow(FONTS)
        yield Scene(hub, provider, ground)


async def test_somebody_signs_in_and_asks(scene: Scene, shot: Shot, axe: Axe) -> None:
    tab = await scene.tab("/")
    assert await axe(tab) == []
    await shot(tab, "oidc-sign-in")
    await scene.sign_in(tab, "ann")
    await tab.get_by_role("textbox").fill("help")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("log")).to_contain_text("poem")
    [cookie] = await tab.context.cookies(scene.hub.url)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("streamhub", True, "Lax")
    second = await scene.ground.tab(tab.url, context=tab.context)
    await expect(second.get_by_role("log")).to_contain_text("poem")


async def test_somebody_cancels_and_is_told(scene: Scene, shot: Shot, axe: Axe) -> None:
    scene.ground.expect("401")
    tab = await scene.tab()
    await tab.get_by_role("link", name="Sign in with Example Ltd").click()
    await tab.get_by_role("link", name="Cancel").click()
    await expect(tab.get_by_role("main")).to_contain_text("End-User aborted interaction")
    assert await axe(tab) == []
    await shot(tab, "oidc-cancelled")
    await tab.get_by_role("link", name="Sign in another way").click()
    await expect(tab).to_have_url(f"{scene.hub.url}/login")
    await scene.sign_in(tab, "ann")


async def test_somebody_signs_out_here_and_there(scene: Scene) -> None:
    scene.ground.expect("401")  # the page asks for what nobody may see any more
    tab = await scene.tab()
    await scene.sign_in(tab, "ann")
    await expect(tab.get_by_title("Signed in as ann")).to_be_visible()
    await tab.get_by_role("button", name="Sign out").click()
    await tab.get_by_role("button", name="Yes, sign me out").click()
    await scene.is_home(tab)
    await scene.sign_in(tab, "bob")  # is asked who they are
    await expect(tab.get_by_role("main")).to_contain_text("You are signed in as bob")


async def test_signing_out_without_scripts(scene: Scene) -> None:
    scene.ground.expect("401")
    tab = await scene.tab()
    await scene.sign_in(tab, "ann")
    await tab.goto(f"{scene.hub.url}/login")
    await tab.get_by_role("button", name="Sign out").click()
    await expect(tab.get_by_role("button", name="Yes, sign me out")).to_be_visible()


async def test_the_browser_of_somebody_else_is_not_signed_in(scene: Scene) -> None:
    """Login CSRF: a link with the code of somebody, opened in another browser."""
    scene.ground.expect("401")
    attacker = Person()
    back = f"{scene.hub.url}/login/oidc/callback"
    address = await attacker.log_in(f"{scene.hub.url}/login/oidc", "eve", back=back)
    await attacker.close()
    victim = await scene.tab()
    await victim.goto(address)
    await expect(victim.get_by_role("main")).to_contain_text("login_expired")
    assert await victim.context.cookies(scene.hub.url) == []
