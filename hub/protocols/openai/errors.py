"""Errors as OpenAI's clients expect them: ``{"error":{"message","type","param","code"}}``.

A provider's error keeps the provider's message, code, type and param. Other errors have the
hub's codes. Their type is one of OpenAI's where there is one, so that a program that does not
know the code still knows whether to ask again.
"""

from __future__ import annotations

from typing import Any

from hub.domain.errors import HubError, Unauthorized, UpstreamError
from hub.domain.failures import passed_on

__all__ = ["error_object"]


def error_object(error: HubError, status: int = 502) -> dict[str, Any]:
    """The body of an error with this HTTP status. In mid-stream, errors are the upstream's."""
    shown: dict[str, Any] = {
        "message": error.message,
        "type": _type(error.code, status),
        "param": error.param,
        "code": error.code,
    }
    if isinstance(error, Unauthorized):
        shown["code"] = "invalid_api_key"  # whatever is wrong with it, this is what OpenAI has
    if passed_on(error) is not None and isinstance(error, UpstreamError) and error.refusal:
        shown["message"] = error.refusal.message or error.message
        shown |= error.refusal.said
    return {"error": shown}


def _type(code: str, status: int) -> str:
    if code.startswith("upstream_") and code != "upstream_not_found":
        return "upstream_error"
    if code == "internal":
        return "server_error"
    if status < 500:
        return "invalid_request_error"
    return "upstream_error" if status == 502 else "server_error"
