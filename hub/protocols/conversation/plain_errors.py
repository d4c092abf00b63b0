"""Errors as chat libraries show them: a sentence, where the hub's own shape has an object."""

from __future__ import annotations

import orjson
from aiohttp import web

from hub.http.errors import answer_to

__all__ = ["sentence", "sentence_in_json"]


def sentence(error: Exception, request: web.Request) -> web.Response:
    """As `hub.http.errors.answer_to`, in plain text: what the AI SDK's ``useChat`` shows.

    Raises:
        web.HTTPRedirection: as it came.
    """
    answer = answer_to(error, request)
    answer.body = _told(answer)["message"].encode()
    answer.content_type = "text/plain"
    answer.charset = "utf-8"
    return answer


def sentence_in_json(error: Exception, request: web.Request) -> web.Response:
    """As `sentence`, in the shape that the TanStack transport reads: ``{"error": "…"}``.

    Raises:
        web.HTTPRedirection: as it came.
    """
    answer = answer_to(error, request)
    told = _told(answer)
    answer.body = orjson.dumps({"error": told["message"], "code": told["code"]})
    return answer


def _told(answer: web.Response) -> dict[str, str]:
    told: dict[str, str] = orjson.loads(answer.text or "")["error"]
    return told
