"""Images and audio that a model makes.

::

    {"media_type":"image/png","data":"iVBO…","index":0}             whole, in base64
    {"media_type":"image/png","url":"https://…","index":0}          somewhere else
    {"media_type":"audio/pcm","data":"…","index":0,"id":"…","piece":true}

In a message of a prompt they are its ``images``, as OpenRouter has them (`image_parts`).

``index`` numbers them within a reply. A ``piece`` is one of several with the same index, each
base64 on its own; a ``preview`` is an earlier state of one that follows. Their size is bounded by
what an upstream may send at once (``chunk_bytes``) and by what a stream keeps (``max_bytes``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hub.domain.events import Delta
from hub.domain.json_values import as_object, as_plain

__all__ = [
    "DATA_URL",
    "IMAGES",
    "MEDIA",
    "Media",
    "data_url",
    "image_part",
    "image_parts",
    "whole_ones",
]

MEDIA: Final = "media"
IMAGES: Final = "images"
MOST: Final = 1_000
"""The most images of one reply."""

DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)
"""The beginning of a URL that holds base64, with the media type as its first group."""


class Media:
    """Makes deltas of the images and audio of one reply; each method returns at most one."""

    __slots__ = ("_count", "_sound", "_sound_id")

    def __init__(self) -> None:
        self._count = 0
        self._sound: int | None = None
        self._sound_id = ""

    def __bool__(self) -> bool:
        return self._count > 0

    def whole(self, media_type: Any, data: Any, *, preview: bool = False) -> list[Delta]:
        """An image or audio in base64."""
        if not isinstance(data, str) or not data or self._count >= MOST:
            return []
        kind = str(media_type or "application/octet-stream")
        media = {"media_type": kind, "data": data, "index": self._count}
        if preview:
            return _delta({**media, "preview": True})
        self._count += 1
        return _delta(media)

    def at(self, url: Any) -> list[Delta]:
        """An image by its URL, which may be a ``data:`` URL."""
        if not isinstance(url, str) or self._count >= MOST:
            return []
        if (head := DATA_URL.match(url)) is not None:
            return self.whole(head[1].lower() or "image/png", url[head.end() :])
        if url[:8].lower().startswith(("http://", "https://")):
            self._count += 1
            return _delta({"media_type": "image/*", "url": url, "index": self._count - 1})
        return []

    def sound(self, audio: Mapping[str, Any], media_type: str) -> list[Delta]:
        """A piece of the reply's audio, of which there is only one.

        Its id may come earlier than its first data.
        """
        if isinstance(key := audio.get("id"), str):
            self._sound_id = key
        data = audio.get("data")
        if not isinstance(data, str) or not data:
            return []
        if self._sound is None:
            self._sound, self._count = self._count, self._count + 1
        piece = {"media_type": media_type, "data": data, "index": self._sound, "piece": True}
        return _delta({**piece, "id": self._sound_id} if self._sound_id else piece)


def _delta(media: dict[str, Any]) -> list[Delta]:
    plain = as_plain(media)
    return [] if plain is None else [Delta(extra={MEDIA: [plain]})]


def whole_ones(extra: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The images and audio of a delta that are complete."""
    for media in map(as_object, extra.get(MEDIA) or ()):
        if not (media.get("piece") or media.get("preview")):
            yield media


def image_parts(extra: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The whole images and audio of a delta, as the ``images`` of a message."""
    return [image_part(data_url(media), media.get("index")) for media in whole_ones(extra)]


def image_part(url: str, index: Any) -> dict[str, Any]:
    """One of the ``images`` of a message."""
    return {"type": "image_url", "image_url": {"url": url}, "index": index}


def data_url(media: Mapping[str, Any]) -> str:
    """The URL of an image or audio: its own, or a ``data:`` URL."""
    url = media.get("url")
    if isinstance(url, str):
        return url
    return f"data:{media.get('media_type')};base64,{media.get('data')}"
