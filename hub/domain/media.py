"""Pictures and sounds that a model makes, beside its text.

::

    {"media_type":"image/png","data":"iVBO…","index":0}             whole, in base64
    {"media_type":"image/png","url":"https://…","index":0}          somewhere else
    {"media_type":"audio/pcm","data":"…","index":0,"id":"…","piece":true}

``index`` counts them in one answer. A ``piece`` is one of several of one index, each base64 by
itself; a ``preview`` is an earlier state of what comes whole. What a model may make is bounded by
what an upstream may send at once (``chunk_bytes``) and by what a stream keeps (``max_bytes``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hub.domain.events import Delta
from hub.domain.json_values import as_object, as_plain

__all__ = ["MEDIA", "Media", "data_url", "whole_ones"]

MEDIA: Final = "media"
MOST: Final = 1_000
"""Pictures and sounds of one answer."""

_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)


class Media:
    """Tells the pictures and sounds of one answer."""

    __slots__ = ("_count", "_sound")

    def __init__(self) -> None:
        self._count = 0
        self._sound: int | None = None

    def __bool__(self) -> bool:
        return self._count > 0

    def whole(self, media_type: Any, data: Any, *, preview: bool = False) -> list[Delta]:
        """A picture or a sound in base64; none if it is not that."""
        if not isinstance(data, str) or not data or self._count >= MOST:
            return []
        told = {"media_type": str(media_type or "application/octet-stream"), "data": data}
        return self._told({**told, "index": self._count, **({"preview": True} if preview else {})})

    def at(self, url: Any) -> list[Delta]:
        """A picture by its URL, which may hold it."""
        if not isinstance(url, str) or self._count >= MOST:
            return []
        if (head := _DATA_URL.match(url)) is not None:
            return self.whole(head[1].lower() or "image/png", url[head.end() :])
        if url[:8].lower().startswith(("http://", "https://")):
            return self._told({"media_type": "image/*", "url": url, "index": self._count})
        return []

    def sound(self, held: Mapping[str, Any], media_type: str) -> list[Delta]:
        """A piece of a sound; all that come are of one."""
        data = held.get("data")
        if not isinstance(data, str) or not data:
            return []
        if self._sound is None:
            self._sound, self._count = self._count, self._count + 1
        told = {"media_type": media_type, "data": data, "index": self._sound, "piece": True}
        named = {"id": held["id"]} if isinstance(held.get("id"), str) else {}
        return _delta({**told, **named})

    def _told(self, held: dict[str, Any]) -> list[Delta]:
        if not held.get("preview"):
            self._count += 1
        return _delta(held)


def _delta(held: dict[str, Any]) -> list[Delta]:
    plain = as_plain(held)
    return [] if plain is None else [Delta(extra={MEDIA: [plain]})]


def whole_ones(extra: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The pictures and sounds of a delta that are whole."""
    for held in map(as_object, extra.get(MEDIA) or ()):
        if not (held.get("piece") or held.get("preview")):
            yield held


def data_url(held: Mapping[str, Any]) -> str:
    """Where it is: a URL that holds it, unless it is somewhere else."""
    url = held.get("url")
    if isinstance(url, str):
        return url
    return f"data:{held.get('media_type')};base64,{held.get('data')}"
