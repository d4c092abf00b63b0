"""Failures of generations: as errors while the hub decides, as events for those who follow.

The event has more than the hub's own code and message, so that each protocol can pass on the
provider's error in its own format, even much later and in another process::

    {"type":"failed","code":"upstream_rejected","message":"…",
     "provider":{"status":400,"message":"…","code":"context_length_exceeded","type":"…","param":"…"},
     "retry_after":12.0, "attempts":3, "param":"…"}

``retry_after`` is how many seconds the provider asks to wait, ``attempts`` how many requests the
hub made if more than one, and ``param`` the field of the request that the hub itself refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from hub.domain.errors import HubError, Refusal, UpstreamError
from hub.domain.events import Failed, Terminal

__all__ = [
    "REFUSES_KEY",
    "RETRYABLE",
    "SPENT",
    "broken_off",
    "failed",
    "masked",
    "masked_refusal",
    "passed_on",
    "raised",
    "too_long",
]

RETRYABLE: Final = frozenset({"upstream_rate_limited", "upstream_overloaded", "upstream_error"})
"""Codes of refusals that may be temporary."""

REFUSES_KEY: Final = "upstream_unauthorized"
"""Logged, because only the operator can fix it, and operators do not see clients' errors."""

SPENT: Final = "insufficient_quota"
"""Providers report a used-up quota as a rate limit, but waiting does not help."""

OUR_KEY: Final = frozenset({401, 403, 407})
"""Statuses about the upstream's API key, which is the hub's and not the client's."""


def failed(error: HubError) -> Failed:
    """The terminal event for an error."""
    extra: dict[str, Any] = {}
    if isinstance(error, UpstreamError):
        if error.refusal is not None:
            extra["provider"] = _to_json(error.refusal)
        if error.retry_after is not None:
            extra["retry_after"] = error.retry_after
        if error.attempts > 1:
            extra["attempts"] = error.attempts
    if error.param is not None:
        extra["param"] = error.param
    return Failed(code=error.code, message=error.message, extra=extra)


def too_long(seconds: float) -> Failed:
    """The terminal event of a reply that took longer than any may."""
    message = f"stopped after {seconds:g} s, the longest allowed"
    return Failed(code="generation_too_long", message=message)


def raised(event: Failed) -> UpstreamError:
    """The error of a `failed` event, without fields of an unknown shape."""
    provider = event.extra.get("provider")
    refusal = _from_json(provider) if isinstance(provider, Mapping) else None
    wait, attempts = event.extra.get("retry_after"), event.extra.get("attempts")
    spent = refusal is not None and SPENT in (refusal.said.get("code"), refusal.said.get("type"))
    error = UpstreamError(
        event.message,
        code=event.code,
        retryable=event.code in RETRYABLE and not spent,
        retry_after=wait if isinstance(wait, int | float) else None,
        refusal=refusal,
    )
    if type(attempts) is int:
        error.attempts = attempts
    param = event.extra.get("param")
    error.param = param if isinstance(param, str) else None
    return error


def masked(event: Failed, mask: Callable[[str], str]) -> Failed:
    """The event with every text from the upstream masked, for others to see."""
    extra = event.extra
    if event.refusal is not None:
        extra = {**extra, "provider": _to_json(masked_refusal(event.refusal, mask))}
    return replace(event, message=mask(event.message), extra=extra, refusal=None)


def masked_refusal(refusal: Refusal, mask: Callable[[str], str]) -> Refusal:
    said = {k: mask(v) if isinstance(v, str) else v for k, v in refusal.said.items()}
    return Refusal(refusal.status, mask(refusal.message), said)


def _to_json(refusal: Refusal) -> dict[str, Any]:
    status = {} if refusal.status is None else {"status": refusal.status}
    return {**status, "message": refusal.message, **refusal.said}


def _from_json(provider: Mapping[str, Any]) -> Refusal:
    status, message = provider.get("status"), provider.get("message")
    said = {name: provider[name] for name in ("code", "type", "param") if name in provider}
    return Refusal(
        status if type(status) is int and 400 <= status <= 599 else None,
        message if isinstance(message, str) else "",
        {name: value for name, value in said.items() if isinstance(value, str | int | None)},
    )


def passed_on(error: HubError) -> int | None:
    """The HTTP status of a provider's refusal to pass on to the client, or ``None``.

    A refusal of the hub's key is not passed on, because the client cannot fix it.
    """
    refusal = error.refusal if isinstance(error, UpstreamError) else None
    if refusal is None or refusal.status in OUR_KEY:
        return None
    return refusal.status


def broken_off(terminal: Terminal | None) -> UpstreamError:
    """The error for a reply that ended incomplete."""
    if isinstance(terminal, Failed):
        return raised(terminal)
    return UpstreamError("the generation was stopped before its end", code="generation_stopped")
