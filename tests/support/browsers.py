"""What browsers send to a hub, and how somebody signs in without one."""

from __future__ import annotations

import time
from http.cookies import SimpleCookie
from typing import Final

from aiohttp import ClientResponse

from hub.auth.login_links import new_link
from hub.hub import Hub
from tests.conftest import Running

__all__ = ["CROSS", "PAGE", "cookie_of", "link", "sign_in"]

PAGE: Final = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says of requests of the hub's own pages."""

CROSS: Final = {"Sec-Fetch-Site": "cross-site"}


async def link(hub: Hub, user: str, tenant: str | None = None, *, seconds: float = 600) -> str:
    """The path of a new sign-in link."""
    now = time.time()
    secret, row = new_link(user, tenant, now=now, expires=now + seconds)
    await hub.credentials.add(row)
    return f"/login/{secret}"


async def sign_in(hub: Running, user: str, tenant: str | None = None) -> dict[str, str]:
    """The headers of a browser's requests in which somebody has signed in."""
    path = await link(hub.hub, user, tenant)
    async with hub.client.post(path, headers=PAGE, allow_redirects=False) as response:
        assert response.status == 303, await response.text()
        name, value = cookie_of(response)
    return {"Cookie": f"{name}={value}", **PAGE}


def cookie_of(response: ClientResponse) -> tuple[str, str]:
    """The name and the value of the one cookie that a response sets."""
    (line,) = response.headers.getall("Set-Cookie")
    ((name, morsel),) = SimpleCookie(line).items()
    return name, morsel.value
