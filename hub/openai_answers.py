"""The answer to a request that failed, in OpenAI's shape: the hub's own, put into those words."""

from __future__ import annotations

import orjson
from aiohttp import web

from hub.openai_errors import error_object
from hub.statuses import answer_to

__all__ = ["openai_answer_to"]


def openai_answer_to(error: Exception, request: web.Request) -> web.Response:
    """As `hub.statuses.answer_to`, for the routes that OpenAI's clients call.

    Raises:
        web.HTTPRedirection: as it came.
    """
    answer = answer_to(error, request)
    told = orjson.loads(answer.text or "")["error"]
    answer.body = orjson.dumps(error_object(told["code"], told["message"], answer.status))
    return answer
