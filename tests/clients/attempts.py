"""What each official client makes of a refusal, with the retries that it has by itself."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import openai

from tests.clients.framework_process import FRAMEWORKS, ask_framework
from tests.clients.node import told
from tests.support.openai_client import HELLO

__all__ = ["CLIENTS", "Asked", "Caught", "caught"]

CLIENTS: Final = ("openai-python", "openai-node", "ai 5", "ai 6", "ai 7", *FRAMEWORKS)

Caught = dict[str, Any]
"""``kind``, ``status``, ``code``, ``param``, ``type`` and ``message`` of what was raised."""


class Asked(NamedTuple):
    """The base URL that a client is given, and what it asks for there."""

    url: str
    model: str
    stream: bool


async def caught(client: str, asks: list[Asked]) -> list[Caught]:
    """What a client raises for each question; all are asked at once, because it waits long."""
    if client == "openai-python":
        return await asyncio.gather(*map(_python, asks))
    if client in FRAMEWORKS:
        more = {"api": "chat", "prompt": "Hello", "tool": None, "schema": False, "run": False}
        asked = [{**ask._asdict(), **more, "retries": True} for ask in asks]
        answers = await ask_framework(client, asked, together=True)
        return [answer["error"] or {"kind": None} for answer in answers]
    given = {"client": client, "asks": [ask._asdict() for ask in asks]}
    (found,) = await told("attempts.mjs", given)
    held: list[Caught] = found
    return held


async def _python(ask: Asked) -> Caught:
    async with openai.AsyncOpenAI(api_key="none", base_url=ask.url) as client:
        try:
            answer: Any = await client.chat.completions.create(
                model=ask.model, messages=HELLO, stream=ask.stream
            )
            if ask.stream:
                async for _ in answer:
                    pass
        except openai.APIError as error:
            return {
                "kind": type(error).__name__,
                "status": getattr(error, "status_code", None),
                "code": error.code,
                "param": error.param,
                "type": error.type,
                "message": error.body["message"] if isinstance(error.body, dict) else None,
            }
    raise AssertionError("nothing was raised")
