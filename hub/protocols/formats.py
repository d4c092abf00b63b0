"""The formats of a streaming response, of which a request chooses one."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from hub.domain.errors import RequestError
from hub.frames.chunked import Chunked
from hub.frames.encoder import Encoder

__all__ = ["Format", "chosen"]


class Format:
    """A format of a response, with the encoders that all its readers share."""

    def __init__(self, content_type: str, encoder: Encoder) -> None:
        self.content_type = content_type
        self.plain = encoder
        self.chunked = Chunked(encoder)


def chosen(request: web.Request, formats: Mapping[str, Format]) -> Format:
    """The format that ``?format`` names, or else the best that ``Accept`` has, or the first.

    Raises:
        RequestError: ``bad_format``: there is none of that name.
    """
    name = request.query.get("format")
    if name is not None:
        if name not in formats:
            raise RequestError(f"format must be one of {', '.join(formats)}", code="bad_format")
        return formats[name]
    accepted = request.headers.get("Accept", "").lower()
    ranked = sorted(
        ((_quality(part), part.split(";")[0].strip()) for part in accepted.split(",")),
        key=lambda ranking: -ranking[0],
    )
    by_type = {form.content_type: form for form in formats.values()}
    first = next(iter(by_type))
    return by_type[next((kind for _, kind in ranked if kind in by_type), first)]


def _quality(part: str) -> float:
    """The weight of one member of ``Accept`` (RFC 9110 section 12.4.2)."""
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
