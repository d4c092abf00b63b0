"""Citations and logprobs of a reply, in one format for all providers.

Annotations have the format of OpenAI's chat completions (``docs/provider-fields.md``)::

    {"type":"url_citation","url_citation":{"url","title","start_index","end_index","content"}}
    {"type":"file_citation","file_citation":{"filename","index","start_index", …}}

``start_index`` and ``end_index`` count characters of the reply's text, and ``content`` is the
cited text. Fields that the provider does not send are left out.

Logprobs are a list of ``{"token","logprob","bytes","top_logprobs":[…]}`` in the delta of their
text.
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

# Fields that OpenAI's clients require.
_REQUIRED: Final[Mapping[str, Mapping[str, Any]]] = {
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
    """A citation of a page, or of a document if there is no URL; ``None`` is left out."""
    kind = "url_citation" if isinstance(url, str) and url else "file_citation"
    fields = {"url": url, **fields, "start_index": start, "end_index": end}
    return {"type": kind, kind: {k: value for k, value in fields.items() if value is not None}}


def annotated(annotations: Iterable[Any]) -> list[Delta]:
    """At most one delta, with these annotations."""
    found = [plain for one in annotations if isinstance(plain := as_plain(one), dict)]
    return [Delta(extra={ANNOTATIONS: found})] if found else []


def nested(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an annotation of OpenAI's Responses, whose fields are next to its type."""
    kind = str(annotation.get("type"))
    return {
        "type": kind,
        kind: {name: value for name, value in annotation.items() if name != "type"},
    }


def full(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation with all the fields that OpenAI's clients require."""
    kind = str(annotation.get("type"))
    return {"type": kind, kind: {**_REQUIRED.get(kind, {}), **as_object(annotation.get(kind))}}


def flat(annotation: Mapping[str, Any], before: int = 0) -> dict[str, Any]:
    """Convert an annotation to OpenAI's Responses.

    ``before`` is how many characters of the reply come before the part with the annotation.
    """
    kind = str(annotation.get("type"))
    fields: dict[str, Any] = full(annotation)[kind]
    for name in ("start_index", "end_index"):
        if (index := as_count(fields.get(name))) is not None:
            fields[name] = max(0, index - before)
    return {"type": kind, **fields}


def logprobs_of(value: Any) -> list[dict[str, Any]]:
    """Tokens with their logprobs in OpenAI's format; everything else in the list is dropped."""
    if not isinstance(value, list):
        return []
    found = [one for one in map(as_plain, value) if isinstance(one, dict) and "token" in one]
    return [{"bytes": None, "top_logprobs": [], **one} for one in found]


def with_logprobs(deltas: list[Delta], logprobs: list[dict[str, Any]]) -> list[Delta]:
    """Add the logprobs of a text to the first of its deltas, or to an empty one."""
    if not logprobs:
        return deltas
    first, *rest = deltas or [Delta()]
    extra = {**first.extra, LOGPROBS: logprobs}
    return [Delta(first.generation, first.text, first.reasoning, first.tool, extra), *rest]
