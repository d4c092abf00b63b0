"""Errors as clients of OpenAI expect them: ``{"error":{"message","type","param","code"}}``.

What a provider said goes on as it said it: its message, code, type and param. The codes of all
else are the hub's own, and the type says whose fault it is, in OpenAI's words where there
is one, so that a program which knows no code still knows whether to ask again.
"""

from __future__ import annotations

from typing import Any

from hub.domain.errors import HubError, UpstreamError
from hub.domain.failures import passed_on

__all__ = [
    "error_object",
]


def error_object(error: HubError, status: int = 502) -> dict[str, Any]:
    """The body of an error with this HTTP status; in mid-stream it is the upstream's."""
    told: dict[str, Any] = {
        "message": error.message,
        "type": _type(error.code, status),
        "param": error.param,
        "code": error.code,
    }
    if passed_on(error) is not None and isinstance(error, UpstreamError) and error.refusal:
        told["message"] = error.refusal.message or error.message
        told |= error.refusal.said
    return {"error": told}


def _type(code: str, status: int) -> str:
    if code.startswith("upstream_") and code != "upstream_not_found":
        return "upstream_error"
    if code == "internal":
        return "server_error"
    if status < 500:
        return "invalid_request_error"
    return "upstream_error" if status == 502 else "server_error"
