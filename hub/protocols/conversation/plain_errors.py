"""Errors in the forms that chat libraries show: a sentence instead of an object."""

from __future__ import annotations

import orjson
from aiohttp import web

from hub.http.errors import answer_to

__all__ = ["sentence", "sentence_in_json"]


def sentence(error: Exception, request: web.Request) -> web.Response:
    """As `hub.http.errors.answer_to`, in plain text: what the AI SDK's ``useChat`` shows."""
    response = answer_to(error, request)
    response.body = orjson.loads(response.text or "")["error"]["message"].encode()
    response.content_type = "text/plain"
    response.charset = "utf-8"
    return response


def sentence_in_json(error: Exception, request: web.Request) -> web.Response:
    """As `sentence`, in the form that the TanStack transport reads: ``{"error": "…"}``."""
    response = answer_to(error, request)
    shown = orjson.loads(response.text or "")["error"]
    response.body = orjson.dumps({"error": shown["message"], "code": shown["code"]})
    return response
