"""Errors as clients of OpenAI expect them: ``{"error":{"message","type","param","code"}}``.

What a provider said goes on as it said it: its message, code, type and param. The codes of all
else are the hub's own, and the type says whose fault it is, in OpenAI's words where there
is one, so that a program which knows no code still knows whether to ask again.
"""

from __future__ import annotations

from typing import Any, Final

from hub.errors import HubError, UpstreamError
from hub.events import Failed, Terminal
from hub.failures import raised

__all__ = ["broken_off", "error_object", "passed_on"]

OUR_KEY: Final = frozenset({401, 403, 407})
"""Statuses about the key that is shown to the upstream: it is the hub's, not the client's."""


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


def passed_on(error: HubError) -> int | None:
    """The HTTP status of a provider's refusal that its client is to be told as it is.

    None for one of the hub's key, which the client of a hub cannot mend, and for all else.
    """
    refusal = error.refusal if isinstance(error, UpstreamError) else None
    if refusal is None or refusal.status in OUR_KEY:
        return None
    return refusal.status


def broken_off(terminal: Terminal | None) -> UpstreamError:
    """Why there is no whole answer."""
    if isinstance(terminal, Failed):
        return raised(terminal)
    return UpstreamError("the generation was stopped before its end", code="generation_stopped")


def _type(code: str, status: int) -> str:
    if code.startswith("upstream_") and code != "upstream_not_found":
        return "upstream_error"
    if code == "internal":
        return "server_error"
    if status < 500:
        return "invalid_request_error"
    return "upstream_error" if status == 502 else "server_error"
