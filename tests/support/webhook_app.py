"""An application that answers a hub's questions, and what can go wrong with it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

__all__ = ["SECRET", "WebhookApp"]

_BYTES: Final = b"0123456789abcdef0123456789abcdef"
SECRET: Final = f"whsec_{base64.b64encode(_BYTES).decode()}"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebhookApp:
    """Answers by event with ``answers``; keeps the questions in ``asked``.

    With ``instead`` it does that. Each question must be signed.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {
            "connect": {"allow": True, "ttl": 60, "user": "ann"},
            "refresh": {"allow": True, "ttl": 60, "user": "ann"},
            "subscribe": {"allow": True},
            "generate": {"allow": True},
        }
        self.was_asked = asyncio.Event()
        self.instead: Handler | None = None
        self.gate: asyncio.Event | None = None
        """Waited for before each answer."""
        self.held: str | None = None
        """Only questions about this user, or of this kind, wait for the ``gate``."""
        self._server: TestServer | None = None

    def events(self, event: str) -> list[dict[str, Any]]:
        """The questions of one kind."""
        return [one for one in self.asked if one["event"] == event]

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._handle)
        app.router.add_post("/elsewhere", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()

    @property
    def url(self) -> str:
        assert self._server is not None
        return str(self._server.make_url("/hook"))

    async def stop(self) -> None:
        """Be unreachable from now on."""
        if self.gate is not None:
            self.gate.set()
        assert self._server is not None
        await self._server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert _signature(request, body) == request.headers["webhook-signature"]
        question = await request.json()
        self.asked.append(question)
        self.was_asked.set()
        waits = self.held in (None, question.get("user"), question["event"])
        if self.gate is not None and waits:
            await self.gate.wait()
        return await (self._answer if self.instead is None else self.instead)(request)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        return web.json_response(self.answers[asked["event"]])

    # What can go wrong

    async def fail(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text='{"allow": true}')

    async def redirect(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async def no_json(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async def huge(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text='{"allow": true, "ttl": 60}' + " " * 100_000)

    async def bomb(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b" " * 50_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async def trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)


def _signature(request: web.Request, body: bytes) -> str:
    """What Standard Webhooks says that the signature is."""
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    made = hmac.new(_BYTES, head.encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(made).decode()}"
