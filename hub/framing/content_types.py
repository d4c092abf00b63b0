"""Which framing a content type promises."""

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

    None where the type does not say (``application/json`` may be one object, several or an
    array) or is unknown: look at the body, with `hub.framing.Sniffed`. Servers send the
    wrong type often enough that a dialect which knows its framing should trust itself.

    Raises:
        FramingError: ``upstream_unsupported``, the type is one that cannot be read here.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _AMAZON:
        raise FramingError(
            f"the upstream answered in {_AMAZON}, a binary format that is not read here: "
            "use an endpoint of it that streams server-sent events or JSON",
            code="upstream_unsupported",
        )
    made = _FRAMINGS.get(kind)
    return None if made is None else made(limit)
