"""The settings of a stream: its content type, its expiry, and the stream it was forked from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

__all__ = ["JSON", "Fork", "StreamSettings", "essence"]

JSON: Final = "application/json"
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


def essence(content_type: str) -> str:
    """A content type without its parameters, in lower case (RFC 9110 section 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Fork:
    """The source of a fork, which has the source's records before ``offset``.

    Several hubs hold the source with a ``token``, see `hub.stores.shared.SourceHold`.
    """

    source: str
    offset: int
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings that are fixed when a stream is created.

    ``ttl`` is after how many seconds without use it expires, ``expires_at`` the time at which it
    does (RFC 3339); at most one of them is set.
    """

    content_type: str = JSON
    ttl: int | None = None
    expires_at: str | None = None
    fork: Fork | None = None
    owner: str | None = field(default=None, compare=False)
    """The subject that it belongs to (`hub.domain.principal.Principal.subject`), if any. Two
    requests for a stream mean the same one whoever sends them."""
    creator: str | None = field(default=None, compare=False)
    """The subject that began it, its first owner."""

    def of_type_of(self, source: StreamSettings) -> StreamSettings:
        """The settings of a fork, with its source's content type unless it has its own."""
        return replace(self, content_type=self.content_type or source.content_type)

    def expires(self, now: float) -> float | None:
        """When the stream expires if it was last used at ``now``, in seconds since 1970."""
        if self.ttl is not None:
            return now + self.ttl
        if self.expires_at is not None:
            return datetime.fromisoformat(self.expires_at).timestamp()
        return None

    @property
    def is_json(self) -> bool:
        """Whether its records are JSON values; only such a stream can hold events."""
        return _is_json(self.content_type)

    @property
    def is_text(self) -> bool:
        """Whether its bytes are UTF-8 text, which text is by default."""
        return _is_text(self.content_type)


# Cached because they are called for every record, and nearly all streams have the same type.
@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    return essence(content_type) == JSON


@lru_cache(maxsize=64)
def _is_text(content_type: str) -> bool:
    charset = _CHARSET.search(content_type)
    return essence(content_type).startswith("text/") and (
        charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    )
