"""Errors as clients of OpenAI expect them: ``{"error":{"message","type","param","code"}}``.

The codes are the hub's own. The type says whose fault it is, in OpenAI's words where there
is one, so that a program which knows no code still knows whether to ask again.
"""

from __future__ import annotations

from typing import Any

from hub.errors import UpstreamError
from hub.events import Failed, Terminal

__all__ = ["broken_off", "error_object"]


def error_object(code: str, message: str, status: int = 502) -> dict[str, Any]:
    """The body of an error with this HTTP status; in mid-stream it is the upstream's."""
    return {"error": {"message": message, "type": _type(code, status), "param": None, "code": code}}


def broken_off(terminal: Terminal | None) -> UpstreamError:
    """Why there is no whole answer."""
    if isinstance(terminal, Failed):
        return UpstreamError(terminal.message, code=terminal.code)
    return UpstreamError("the generation was stopped before its end", code="generation_stopped")


def _type(code: str, status: int) -> str:
    if code.startswith("upstream_") and code != "upstream_not_found":
        return "upstream_error"
    if code == "internal":
        return "server_error"
    if status < 500:
        return "invalid_request_error"
    return "upstream_error" if status == 502 else "server_error"
