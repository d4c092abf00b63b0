"""Turns an HTTP response that is not a success into an error: why, and whether to try again.

The status gives the code, the body the message. The body may be JSON of any shape, the HTML of a
proxy, an event stream (``data: {"error": …}``, then ``[DONE]``), plain text or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Final

from hub.dialects.reply.error_reports import ErrorReport, clean, code_of_status, find_error, short
from hub.domain.errors import UpstreamError
from hub.domain.failures import RETRYABLE, SPENT
from hub.domain.json_values import parse

__all__ = ["explain", "retry_after"]

READ: Final = 65_536

_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
# google.rpc.RetryInfo among the details of an error.
_DELAY: Final = re.compile(rb'"retryDelay"\s*:\s*"([0-9]{1,9}(?:\.[0-9]{1,9})?)s"')
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]{1,500})", re.IGNORECASE)

_ADVICE: Final[Mapping[str, str]] = {
    "upstream_unauthorized": "check its API key",
    "upstream_model_not_found": "check its url and model",
    "upstream_rate_limited": "wait before asking again",
    "upstream_overloaded": "ask again later",
}


def explain(
    status: int,
    reason: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime | None = None,
) -> UpstreamError:
    """The error for a refused request.

    ``body`` is the response's body or the beginning of it; 64 KiB are read. A date in
    ``Retry-After`` is compared with ``now`` (aware; the present by default).
    """
    body = body[:READ]
    found = _report(body) or ErrorReport("")
    code = code_of_status(status)
    advice = f", {_ADVICE[code]}" if code in _ADVICE else ""
    sentence = f"the upstream answered {f'{status} {clean(reason)}'.strip()}{advice}"
    wait = retry_after(headers, now or datetime.now(UTC))
    if wait is None and (delay := _DELAY.search(body)) is not None:
        wait = float(delay[1])
    return UpstreamError(
        # Not cleaned again: the advice would be taken for a key.
        short(f"{sentence}: {found.message}" if found.message else sentence),
        code=code,
        retryable=code in RETRYABLE and SPENT not in found.words,
        retry_after=wait,
        # A 5xx without an error in it may come from any proxy: its status is not passed on.
        refusal=found.refusal(status if status < 500 or found.full_message else None),
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds to wait by ``Retry-After`` (RFC 9110, section 10.2.3).

    The header has a number of seconds or an HTTP date in any of its three forms (section 5.6.7); a
    past date gives 0. ``None`` if there is no valid header.
    """
    value = next((v.strip() for k, v in headers.items() if k.lower() == "retry-after"), "")
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def _report(body: bytes) -> ErrorReport | None:
    """The error in a body, ``None`` if it says nothing."""
    start = body.lstrip()[:16].lower()
    if start.startswith(b"<"):
        title = _TITLE.search(body.decode("utf-8", "replace"))
        named = f' "{clean(unescape(title[1]))}"' if title and title[1].strip() else ""
        return ErrorReport(f"an HTML page{named}")
    if start.startswith((b"data:", b"event:", b"id:", b":")):
        # An error that is split over several lines is not found.
        lines = (line.partition(b":") for line in re.split(rb"[\r\n]+", body))
        values = (value.strip() for name, _, value in lines if name == b"data")
        return next((found for value in values if (found := _json(value))), None)
    if (found := _json(body)) is not None:
        return found
    words = clean(body.decode("utf-8", "replace"))
    return ErrorReport(words) if words else None


def _json(body: bytes) -> ErrorReport | None:
    try:
        held = parse(body)
    except UpstreamError:
        return None
    if isinstance(held, str):
        return ErrorReport(clean(held))
    found = find_error(held)
    if found is None and isinstance(held, dict) and isinstance(held.get("message"), str):
        return ErrorReport(clean(held["message"]))
    return found
