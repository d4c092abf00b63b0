"""An upstream that keeps its word, or breaks it in the way that the prompt names.

The prompt is ``MODE COUNT``: so many words, a pause between them.

==========  ===========================================================
steady      all words, and the end
truncated   half of them, and a clean end of the body without the mark
torn        half of them, and the connection is gone
stalled     half of them, then silence
broken      half of them, then an error
refused     500, at every other time that it is asked
silent      nothing at all, for a while; then all words
==========  ===========================================================
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

from aiohttp import web

__all__ = ["MODES", "Mock", "words"]

MODES: Final = ("steady", "truncated", "torn", "stalled", "broken", "refused", "silent")
PAUSE: Final = 0.02


def words(count: int) -> str:
    """The text of an answer."""
    return "".join(f"{number} wörd " for number in range(count))


class Mock:
    """Serves at ``url``; ``answering`` are the prompts whose answers the hub is reading."""

    def __init__(self) -> None:
        self.answering: set[str] = set()
        self.asked = 0
        self._runner: web.AppRunner
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        prompt = (await request.json())["query"]
        mode, count, *_ = prompt.split()
        self.answering.add(prompt)
        try:
            return await self._say(request, mode, int(count))
        except ConnectionError:
            return web.Response()  # nobody reads it
        finally:
            self.answering.discard(prompt)

    async def _say(self, request: web.Request, mode: str, count: int) -> web.StreamResponse:
        if mode == "refused" and self.asked % 2:
            return web.json_response({"error": {"message": "not now"}}, status=500)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        if mode == "silent":
            await asyncio.sleep(0.7)
        await response.prepare(request)
        whole = mode in ("steady", "refused", "silent")
        for number in range(count if whole else count // 2):
            await response.write(b'{"text":"%d w\xc3\xb6rd "}\n' % number)
            await asyncio.sleep(PAUSE)
        if mode == "stalled":
            await asyncio.sleep(60)
        if mode == "broken":
            await response.write(b'{"error":{"message":"it broke"}}\n')
        if mode == "torn" and request.transport is not None:
            request.transport.abort()
        if whole:
            await response.write(b'{"text":"","done":true}\n')
        return response
