"""A real OpenID provider from npm, oidc-provider, in a process of its own, and people who log in.

It is pinned in ``tests/openid/package-lock.json`` and installed at its first use.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from tests.support.patience import PATIENCE
from web.node import find_node, install

__all__ = ["CLIENT", "SECRET", "OpenIDProvider", "Person", "openid_provider"]

FOLDER: Final = Path(__file__).parents[1] / "openid"
CLIENT: Final = "streamhub"
SECRET: Final = "a secret: with+odd/characters%"


class OpenIDProvider:
    """A provider that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.issuer = ""

    async def started(self) -> None:
        """Wait until it can be reached."""
        self.issuer = (await self._line())["issuer"]

    async def rotate(self) -> None:
        """Give it new keys: it forgets the old ones, and everything else."""
        await self._obey({"rotate": True})

    async def client(self, **fields: Any) -> None:
        """Change what it knows of the hub; it forgets everything else."""
        await self._obey({"client": fields})

    async def users(self, **claims: Mapping[str, Any]) -> None:
        """What it says of each user, by name."""
        await self._obey({"users": claims})

    async def _obey(self, order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        assert await self._line() == {"done": order}

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not line:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode())
        return json.loads(line)


@asynccontextmanager
async def openid_provider(redirect_uri: str, **given: Any) -> AsyncIterator[OpenIDProvider]:
    """Run a provider that knows the hub as `CLIENT`; its fields can be given in ``client``.

    ``host`` is the name by which it is reached, if not 127.0.0.1; ``claims_in_token``,
    ``methods`` and ``users`` are as in the script.
    """
    client = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": [redirect_uri],
        "post_logout_redirect_uris": [str(URL(redirect_uri).with_path("/"))],
        **given.pop("client", {}),
    }
    await asyncio.to_thread(install, FOLDER)
    process = await asyncio.create_subprocess_exec(
        *find_node().node,
        str(FOLDER / "provider.mjs"),
        json.dumps({"client": client, **given}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    provider = OpenIDProvider(process)
    try:
        await provider.started()
        yield provider
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class Person:
    """Somebody with a browser: it keeps cookies, and follows where it is sent."""

    def __init__(self) -> None:
        self.browser = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def close(self) -> None:
        await self.browser.close()

    async def get(self, url: str) -> aiohttp.ClientResponse:
        """What is at an address."""
        async with self.browser.get(url, allow_redirects=False) as response:
            await response.read()
            return response

    async def log_in(self, url: str, name: str | None, *, back: str) -> str:
        """Log in at the provider's address ``url``, and come back to an address.

        It begins with ``back``. Without a name, the person cancels the login.
        """
        while not url.startswith(back):
            response = await self.get(url)
            if response.status in (302, 303):
                url = _next(response)
                continue
            page = await response.text()
            assert response.status == 200, page
            if name is None:
                url = _found(page, r'href="([^"]+/abort)"')
                continue
            form = {"prompt": _found(page, r'name="prompt" value="(\w+)"')}
            if form["prompt"] == "login":
                form |= {"login": name, "password": "any"}
            action = _found(page, r'action="([^"]+)"')
            async with self.browser.post(action, data=form, allow_redirects=False) as response:
                url = _next(response)
        return url


def _next(response: aiohttp.ClientResponse) -> str:
    return str(response.url.join(URL(response.headers["Location"], encoded=True)))


def _found(page: str, pattern: str) -> str:
    found = re.search(pattern, page)
    assert found, page
    return unescape(found[1])
