"""What a stream is made as: its content type, its expiry, and the stream it forked from."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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
    """The stream whose records before ``offset`` are this stream's too."""

    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Fixed when a stream is made.

    ``ttl`` is the seconds of silence after which it expires, ``expires_at`` the time
    (RFC 3339) at which it does; at most one of the two.
    """

    content_type: str = JSON
    ttl: int | None = None
    expires_at: str | None = None
    fork: Fork | None = None

    def of_type_of(self, source: StreamSettings) -> StreamSettings:
        """With the content type of a fork's source, unless they have one of their own."""
        return replace(self, content_type=self.content_type or source.content_type)

    def expires(self, now: float) -> float | None:
        """When it does, in seconds since 1970, if it is used last at ``now``."""
        if self.ttl is not None:
            return now + self.ttl
        if self.expires_at is not None:
            return datetime.fromisoformat(self.expires_at).timestamp()
        return None

    @property
    def is_json(self) -> bool:
        """Its records are JSON values; only such a stream carries events."""
        return _is_json(self.content_type)

    @property
    def is_text(self) -> bool:
        """Its bytes are text, in UTF-8 (which is what they are if nothing is said)."""
        return _is_text(self.content_type)


# Asked for every record of every stream, of which nearly all are of one type.
@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    return essence(content_type) == JSON


@lru_cache(maxsize=64)
def _is_text(content_type: str) -> bool:
    charset = _CHARSET.search(content_type)
    return essence(content_type).startswith("text/") and (
        charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    )
