"""What an answer cites, and how sure the model was of it: two lists beside the text, in one form.

Annotations have the shape that they have in OpenAI's chat completions, whichever provider made
them (``docs/provider-fields.md``)::

    {"type":"url_citation","url_citation":{"url","title","start_index","end_index","content"}}
    {"type":"file_citation","file_citation":{"filename","index","start_index", …}}

``start_index`` and ``end_index`` are characters of the answer's text, and ``content`` is what is
cited. What a provider does not say is left out.

Logprobs are a list of ``{"token","logprob","bytes","top_logprobs":[…]}``, beside the text that
they are of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.domain.events import Delta
from hub.domain.json_values import as_count, as_object, as_plain

__all__ = [
    "ANNOTATIONS",
    "LOGPROBS",
    "annotated",
    "citation",
    "flat",
    "full",
    "logprobs_of",
    "nested",
    "with_logprobs",
]

ANNOTATIONS: Final = "annotations"
LOGPROBS: Final = "logprobs"

# What clients of OpenAI's expect to be there.
_NEEDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "url_citation": {"url": "", "title": "", "start_index": 0, "end_index": 0},
    "file_citation": {"file_id": "", "filename": "", "index": 0},
    "container_file_citation": {
        "container_id": "", "file_id": "", "filename": "", "start_index": 0, "end_index": 0,
    },
    "file_path": {"file_id": "", "index": 0},
}  # fmt: skip


def citation(
    url: Any = None, *, start: int | None = None, end: int | None = None, **fields: Any
) -> dict[str, Any]:
    """A citation of a page, or without a URL of a document; what is ``None`` is left out."""
    kind = "url_citation" if isinstance(url, str) and url else "file_citation"
    told = {"url": url, **fields, "start_index": start, "end_index": end}
    return {"type": kind, kind: {name: held for name, held in told.items() if held is not None}}


def annotated(held: Iterable[Any]) -> list[Delta]:
    """A delta with these annotations, if there are any."""
    found = [plain for one in held if isinstance(plain := as_plain(one), dict)]
    return [Delta(extra={ANNOTATIONS: found})] if found else []


def nested(held: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation of OpenAI's Responses, where its fields stand beside its type."""
    kind = str(held.get("type"))
    return {"type": kind, kind: {name: value for name, value in held.items() if name != "type"}}


def full(held: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation with all that clients of OpenAI's expect to be there."""
    kind = str(held.get("type"))
    return {"type": kind, kind: {**_NEEDED.get(kind, {}), **as_object(held.get(kind))}}


def flat(held: Mapping[str, Any], before: int = 0) -> dict[str, Any]:
    """An annotation for Responses, of a part with so many characters of the answer before it."""
    kind = str(held.get("type"))
    told: dict[str, Any] = full(held)[kind]
    for name in ("start_index", "end_index"):
        if (index := as_count(told.get(name))) is not None:
            told[name] = max(0, index - before)
    return {"type": kind, **told}


def logprobs_of(held: Any) -> list[dict[str, Any]]:
    """A list of tokens with their logprobs, as OpenAI has it; what is none is left out."""
    if not isinstance(held, list):
        return []
    found = [one for one in map(as_plain, held) if isinstance(one, dict) and "token" in one]
    return [{"bytes": None, "top_logprobs": [], **one} for one in found]


def with_logprobs(deltas: list[Delta], logprobs: list[dict[str, Any]]) -> list[Delta]:
    """The deltas of a piece of text with its logprobs beside the first; alone if there is none."""
    if not logprobs:
        return deltas
    first, *rest = deltas or [Delta()]
    extra = {**first.extra, LOGPROBS: logprobs}
    return [Delta(first.generation, first.text, first.reasoning, first.tool, extra), *rest]
