"""Gemini's sources as annotations: the pages that it found, and the texts that it recited.

Gemini counts places in its text in bytes of UTF-8; annotations count characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hub.domain.annotations import citation
from hub.domain.json_values import as_count, as_list, as_object

__all__ = ["Grounding", "logprobs"]

MOST: Final = 4 * 1024 * 1024
"""Characters of text in which places can be found."""


class Grounding:
    """The sources of one answer; each is given once."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._given: set[tuple[Any, ...]] = set()

    def add(self, text: str) -> None:
        """Add a piece of the answer's text."""
        self._length += len(text)
        if self._length <= MOST:
            self._pieces.append(text)

    def citations(self, candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The sources of a candidate that have not been given."""
        found = []
        for one in self._all(candidate):
            held = one[one["type"]]
            key = tuple(held.get(name) for name in ("url", "filename", "start_index", "end_index"))
            if key not in self._given:
                self._given.add(key)
                found.append(one)
        return found

    def _all(self, candidate: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        grounding = as_object(candidate.get("groundingMetadata"))
        recited = as_object(candidate.get("citationMetadata"))
        if not (grounding or recited):
            return
        text = "".join(self._pieces).encode("utf-8", "replace")
        sources = [_source(chunk) for chunk in _list(grounding.get("groundingChunks"))]
        used: set[int] = set()
        for support in _list(grounding.get("groundingSupports")):
            segment = as_object(support.get("segment"))
            for number in support.get("groundingChunkIndices") or ():
                if type(number) is int and 0 <= number < len(sources):
                    used.add(number)
                    words = segment.get("text")
                    yield citation(**sources[number], **_place(segment, text), content=words)
        for number, source in enumerate(sources):
            if number not in used:
                yield citation(**source)
        for held in _list(recited.get("citationSources") or recited.get("citations")):
            fields = {"title": held.get("title"), "license": held.get("license") or None}
            yield citation(held.get("uri"), **_place(held, text), **fields)


def logprobs(candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The logprobs of a candidate, in OpenAI's shape."""
    held = as_object(candidate.get("logprobsResult"))
    tops = _list(held.get("topCandidates"))
    found = []
    for place, chosen in enumerate(_list(held.get("chosenCandidates"))):
        others = _list(tops[place].get("candidates")) if place < len(tops) else []
        found.append({**_token(chosen), "top_logprobs": [_token(other) for other in others]})
    return found


def _token(held: Mapping[str, Any]) -> dict[str, Any]:
    token = str(held.get("token", ""))
    encoded = list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": held.get("logProbability"), "bytes": encoded}


def _source(chunk: Mapping[str, Any]) -> dict[str, Any]:
    kinds = (name for name in ("web", "retrievedContext", "maps") if name in chunk)
    held = as_object(chunk.get(next(kinds, "")))
    title = held.get("title")
    return {"url": held["uri"], "title": title} if held.get("uri") else {"filename": title}


def _place(held: Mapping[str, Any], text: bytes) -> dict[str, int]:
    end = as_count(held.get("endIndex"))
    if end is None or end > len(text):
        return {}
    start = as_count(held.get("startIndex")) or 0
    places = {"start": start, "end": end}
    return {name: len(text[:place].decode("utf-8", "ignore")) for name, place in places.items()}


def _list(held: Any) -> list[Mapping[str, Any]]:
    return [one for one in as_list(held) if isinstance(one, dict)]
