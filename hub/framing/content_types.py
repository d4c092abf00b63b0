"""The framing for a ``Content-Type``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hub.domain.errors import FramingError
from hub.framing.chunk import DEFAULT_LIMIT, Framing
from hub.framing.lines import NDJSON
from hub.framing.sse import SSE
from hub.framing.text import Text
from hub.framing.values import JSONSeq

__all__ = ["for_content_type"]

_FRAMINGS: Final[Mapping[str, Callable[[int], Framing]]] = {
    "text/event-stream": SSE,
    "application/x-ndjson": NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/json-seq": JSONSeq,
    "text/plain": Text,
}
_AMAZON: Final = "application/vnd.amazon.eventstream"


def for_content_type(content_type: str, limit: int = DEFAULT_LIMIT) -> Framing | None:
    """The framing of a body by its ``Content-Type``, parameters and case ignored.

    None if the type is unknown or ambiguous (``application/json`` may be one object, several or
    an array): use `hub.framing.Sniffed`. Servers often send the wrong type, so a dialect that
    knows its framing should not ask.

    Raises:
        FramingError: ``upstream_unsupported``: the hub cannot read this type.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _AMAZON:
        raise FramingError(
            f"the upstream replied in {_AMAZON}, a binary format that the hub cannot read: "
            "use an endpoint that streams server-sent events or JSON",
            code="upstream_unsupported",
        )
    framing = _FRAMINGS.get(kind)
    return None if framing is None else framing(limit)
