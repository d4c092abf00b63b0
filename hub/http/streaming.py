"""The headers that keep a streaming response streaming on its way to the client."""

from __future__ import annotations

__all__ = ["streaming_headers"]


def streaming_headers(content_type: str) -> dict[str, str]:
    """The headers of a response that is written as it comes, ``Content-Type`` included.

    No cache may store it, no intermediary may transform it, which is how compressing
    proxies learn not to hold it back (RFC 9111 section 5.2.2.6), nginx must not buffer it,
    and no browser may guess another type for what a model wrote (WHATWG Fetch,
    ``X-Content-Type-Options``).
    """
    if content_type == "text/plain":
        # Without it browsers take plain text for windows-1252 (WHATWG Encoding).
        content_type = "text/plain; charset=utf-8"
    return {
        "Content-Type": content_type,
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
    }
