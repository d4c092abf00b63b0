"""Documents of issuers: fetched when they are needed, and kept.

- A document is used for ten minutes, then fetched again; if that fails, it goes on holding.
- There is one request at a time for each document, of bounded size and time, to the configured
  address alone: redirects are not followed. It belongs to no request of a client, so that nobody
  who leaves ends it for the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import aiohttp

__all__ = ["FETCH_SECONDS", "Client", "Fetched", "MakeClient", "read_body", "shown"]

log = logging.getLogger("hub.auth")

DOCUMENT_BYTES: Final = 262_144
FETCH_SECONDS: Final = 10.0
FRESH_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 60.0
FIRST_SECONDS: Final = 5.0
"""Between two attempts to fetch a document: if there is one already, and if there is none yet."""

MakeClient = Callable[[], aiohttp.ClientSession]
T = TypeVar("T")


class Client:
    """The HTTP client of all issuers, made when it is first needed.

    It keeps no cookies, so that no user's request affects another's, and takes no proxy from the
    environment.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def __call__(self) -> aiohttp.ClientSession:
        """The client.

        Raises:
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError("the hub is shutting down")
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()


class Fetched(Generic[T]):
    """What ``parse`` makes of the document at ``url``, called ``what`` in the log.

    ``parse`` raises `ValueError` for a document that is of no use. ``seconds`` is how long a
    request may take; ``clock`` never goes back.
    """

    def __init__(
        self,
        what: str,
        url: str,
        parse: Callable[[bytes], T],
        client: MakeClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        self._what = what
        self._url = url
        self._parse = parse
        self._client = client
        self._clock = clock
        self._seconds = seconds
        self._held: T | None = None
        self._fetched = float("-inf")
        self._asked = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the document is."""
        return self._url

    @property
    def held(self) -> T | None:
        """The document as it was fetched last; ``None`` if it never was."""
        return self._held

    @property
    def fresh(self) -> bool:
        """Whether it need not be fetched again yet."""
        return self._clock() - self._fetched < FRESH_SECONDS

    async def fetch(self, patience: float | None = None) -> None:
        """Wait for a newer document, if it is time to fetch one, for ``patience`` seconds at most.

        A failure is logged; `held` is then what it was.
        """
        if self._fetching is None:
            pause = FIRST_SECONDS if self._held is None else AGAIN_SECONDS
            if self._clock() - self._asked < pause:
                return
            self._asked = self._clock()
            self._fetching = asyncio.create_task(self._replace(), name=self._what)
        await asyncio.wait((self._fetching,), timeout=patience)

    async def close(self) -> None:
        """End a request that is still on its way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait((self._fetching,))

    async def _replace(self) -> None:
        try:
            self._held = await self._read()
            self._fetched = self._clock()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            # A RuntimeError comes of a client that is closed: the hub is shutting down.
            log.warning("the %s %s cannot be fetched: %s", self._what, self._url, shown(error))
        finally:
            self._fetching = None

    async def _read(self) -> T:
        async with self._client().get(
            self._url,
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            allow_redirects=False,
            headers={"Accept": "application/json"},
        ) as found:
            if found.status != 200:
                raise ValueError(f"the answer has the status {found.status}")
            return self._parse(await read_body(found, DOCUMENT_BYTES))


async def read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body of a response.

    Raises:
        ValueError: it has more than ``most`` bytes.
        aiohttp.ClientError, TimeoutError: it ends too early, or not in time.
    """
    body = bytearray()  # aiohttp unpacks what is compressed piece by piece
    async for piece in response.content.iter_chunked(65_536):
        body += piece
        if len(body) > most:
            raise ValueError(f"the answer has more than {most} bytes")
    return bytes(body)


def shown(error: Exception) -> str:
    """What went wrong, for the log, in one line."""
    said = str(error)
    return said if said and said.isprintable() else type(error).__name__
