"""Request bodies: JSON read whole, bounded, and checked against a model."""

from __future__ import annotations

from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from hub.errors import RequestError, UnsupportedType

__all__ = ["read_json"]

M = TypeVar("M", bound=BaseModel)


async def read_json(request: web.Request, model: type[M]) -> M:
    """The request's JSON body as a model; its size is bounded by the application.

    The content type must say JSON: a page of another origin can send other types without
    being asked (the CORS protocol calls such requests simple), but not this one.

    Raises:
        UnsupportedType: the content type is not JSON.
        RequestError: it cannot be decoded, is not JSON, or a field is wrong.
    """
    if request.content_type != "application/json":
        raise UnsupportedType("send JSON, with Content-Type: application/json")
    try:
        held = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg}", code="bad_json") from None
    except web.RequestPayloadError:
        said = "the body is not what Content-Encoding or Transfer-Encoding says it is"
        raise RequestError(said, code="bad_body") from None
    if not isinstance(held, dict):
        raise RequestError("the body must be a JSON object")
    _check_depth(held)
    try:
        return model.model_validate(held)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:64] or "the body"
        raise RequestError(f"{where}: {first['msg'].lower()}") from None


def _check_depth(held: object) -> None:
    """Refuse what can be read but not written again: orjson writes 254 levels, reads 1024.

    Raises:
        RequestError: it is nested too deeply.
    """
    try:
        orjson.dumps(held)
    except orjson.JSONEncodeError:
        raise RequestError("the body is nested too deeply", code="bad_json") from None
