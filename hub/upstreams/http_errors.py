"""An HTTP answer that is not a success: what it says, and whether to try again.

The status gives the code, the body the words. Bodies come as JSON of every shape, as
HTML of a proxy in between, as an event stream (``data: {"error": …}``, then ``[DONE]``),
as plain text and as nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Final

from hub.dialects.reply.error_reports import (
    ErrorReport,
    clean,
    code_of_status,
    complaint_in,
    short,
)
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
    """The error that a refused request becomes.

    ``body`` is the answer's body or the beginning of it; 64 KiB are looked at. ``now``
    (aware; the present if left out) is what a date in ``Retry-After`` is compared with.
    """
    found = _words(body[:READ]) or ErrorReport("")
    code = code_of_status(status)
    spent = SPENT in found.words
    return UpstreamError(
        _sentence(status, reason, code, found.message),
        code=code,
        retryable=code in RETRYABLE and not spent,
        retry_after=_wait(headers, body[:READ], now or datetime.now(UTC)),
        # A 5xx without an error in it may be anybody's on the way: to the client it is a 502.
        refusal=found.refusal(status if status < 500 or found.whole else None),
    )


def _wait(headers: Mapping[str, str], body: bytes, now: datetime) -> float | None:
    """The seconds to wait that the answer asks for: by a header, or as Google does, in its body."""
    asked = retry_after(headers, now)
    if asked is None and (found := _DELAY.search(body)) is not None:
        return float(found[1])
    return asked


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds to wait that ``Retry-After`` asks for (RFC 9110, section 10.2.3).

    A number of seconds or an HTTP date in any of its three forms (section 5.6.7); a date
    gone by is 0. ``None`` where there is no such header or it makes no sense.
    """
    said = next((v.strip() for k, v in headers.items() if k.lower() == "retry-after"), "")
    if _SECONDS.fullmatch(said):
        return float(said)
    try:
        date = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def _sentence(status: int, reason: str, code: str, words: str) -> str:
    named = f"{status} {clean(reason)}".strip()
    advice = _ADVICE.get(code, "")
    said = f"the upstream answered {named}" + (f", {advice}" if advice else "")
    # Each part is clean by itself; our own advice would look like a key to `clean`.
    return short(f"{said}: {words}" if words else said)


def _words(body: bytes) -> ErrorReport | None:
    """What the body says, ``None`` for one that says nothing."""
    start = body.lstrip()[:16].lower()
    if start.startswith(b"<"):
        return _page(body)
    if start.startswith((b"data:", b"event:", b"id:", b":")):
        return _event_stream(body)
    return _json(body) or _text(body)


def _json(body: bytes) -> ErrorReport | None:
    try:
        held = parse(body)
    except UpstreamError:
        return None
    if isinstance(held, str):
        return ErrorReport(clean(held))
    found = complaint_in(held)
    if found is None and isinstance(held, dict) and isinstance(held.get("message"), str):
        return ErrorReport(clean(held["message"]))
    return found


def _event_stream(body: bytes) -> ErrorReport | None:
    """The first complaint among the data lines; one that is cut over lines is not looked for."""
    lines = (line.partition(b":") for line in re.split(rb"[\r\n]+", body))
    said = (value.strip() for name, _, value in lines if name == b"data")
    return next((found for value in said if (found := _json(value))), None)


def _page(body: bytes) -> ErrorReport:
    title = _TITLE.search(body.decode("utf-8", "replace"))
    named = f' "{clean(unescape(title[1]))}"' if title and title[1].strip() else ""
    return ErrorReport(f"an HTML page{named}")


def _text(body: bytes) -> ErrorReport | None:
    words = clean(body.decode("utf-8", "replace"))
    return ErrorReport(words) if words else None
