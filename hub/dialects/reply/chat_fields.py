"""What chat completions hold beside text and calls, as their many servers have it.

Reasoning that a model must see again comes in three ways, each to be given back as it came
(`hub.domain.provider_fields`):

- ``reasoning_details`` (OpenRouter): pieces that belong together by ``index``; told where any
  is signed or encrypted, or led to calls;
- ``reasoning_content`` (DeepSeek, Moonshot, Z.ai) or ``reasoning``: whole, with the calls that
  it led to; without it these servers refuse the results;
- ``extra_content`` beside the text (Gemini's endpoint): a signature. That of a call stands in the
  call.

``executed_tools`` are what Groq has run itself, each told in several pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.domain.annotations import annotated, citation
from hub.domain.events import Delta
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_object, as_plain, as_text
from hub.domain.provider_fields import DETAILS, EXECUTED, EXTRA, MOST, Details
from hub.domain.surrogates import whole

__all__ = ["ChatFields", "sent_message"]

_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_text")
MOST_RUNS: Final = 100
_JOINED: Final = ("text", "summary", "signature")


class ChatFields:
    """The fields of one answer that go back to its server, collected from its chunks."""

    __slots__ = (
        "_field",
        "_length",
        "_own",
        "_pieces",
        "_runs",
        "_signature",
        "_sources",
        "about",
        "details",
    )

    def __init__(self) -> None:
        self.details: list[dict[str, Any]] = []
        self._field = ""
        self._signature = ""
        self._pieces: list[str] = []
        self._sources: list[Any] = []
        self._runs: dict[Any, dict[str, Any]] = {}
        self._own = Details(EXECUTED)
        self.about: dict[str, Any] = {}
        self._length = 0

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take what a piece of the answer, or all of it, holds."""
        if not self._field:
            self._field = next((name for name in _REASONING if delta.get(name)), "")
        google = as_object(as_object(delta.get(EXTRA)).get("google"))
        if isinstance(signature := google.get("thought_signature"), str):
            self._signature = whole(signature)
        runs = delta.get(EXECUTED)
        for place, held in enumerate(runs if isinstance(runs, list) else ()):
            if isinstance(held, dict):
                self._runs.setdefault(held.get("index", place), {}).update(held)
        details = delta.get(DETAILS)
        for held in details if isinstance(details, list) else ():
            if isinstance(held, dict):
                self._detail(held)

    def reasoned(self, deltas: Iterable[Delta]) -> None:
        """Take reasoning as it was told."""
        for delta in deltas:
            if self._length <= MOST:
                self._pieces.append(delta.reasoning)
                self._length += len(delta.reasoning)

    def chunk(self, held: Mapping[str, Any]) -> None:
        """Take what a chunk says of the whole answer."""
        for name in ("service_tier", "system_fingerprint"):
            if isinstance(said := held.get(name), str) and said:
                self.about[name] = whole(said)
        results = held.get("search_results") or held.get("citations")  # Perplexity, xAI
        if isinstance(results, list):
            self._sources = results

    def sources(self) -> list[Delta]:
        """The pages that a server has listed beside its answer, in the order of its [1], [2] …"""
        told = ({"url": one} if isinstance(one, str) else as_object(one) for one in self._sources)
        pages = [one for one in told if isinstance(one.get("url"), str)]
        return annotated(citation(one["url"], title=one.get("title")) for one in pages)

    def told(self, *, called: bool) -> list[Delta]:
        """What is to be given back, at the end of the answer; ``called`` if there are calls."""
        found: list[Delta] = []
        sealed = any(held.get("signature") or held.get("data") for held in self.details)
        if (sealed or (called and self.details)) and self._length <= MOST:
            found.append(Delta(extra={DETAILS: self.details}))
        elif called and not self.details and self._field and 0 < self._length <= MOST:
            text = "".join(self._pieces)
            found.append(Details(self._field).of("text", text=text))
        for run in list(self._runs.values())[:MOST_RUNS]:
            arguments, output = run.get("arguments"), run.get("output")
            found += executed(
                self._own.place(),
                run.get("name") or run.get("type"),
                arguments if isinstance(arguments, str) else as_text(arguments or {}),
                output,
            )
        if self._signature:
            found.append(Details(EXTRA).of("encrypted", data=self._signature))
        return found

    def _detail(self, held: dict[str, Any]) -> None:
        """A detail, or a piece of the last one; what is encrypted is always whole."""
        told = as_plain(held)
        if told is None:
            return
        last = self.details[-1] if self.details else {}
        same = all(told.get(name) == last.get(name) for name in ("type", "index"))
        if not same or told.get("type") == "reasoning.encrypted" or last.get("signature"):
            self.details.append(dict(told))
        else:
            for name, value in told.items():
                before = last.get(name)
                if name in _JOINED and isinstance(value, str) and isinstance(before, str):
                    last[name] = before + value
                elif value is not None:
                    last[name] = value
        self._length += sum(len(told[name]) for name in _JOINED if isinstance(told.get(name), str))


def sent_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as such a server takes it: its own fields by its own names."""
    told = dict(message)
    if told.get("role") != "assistant":
        return told
    told.pop(EXECUTED, None)
    details = told.pop(DETAILS, None)
    if not isinstance(details, list):
        return told
    kept = []
    for held in details:
        name = held.get("format")
        if name in _REASONING:
            told[name] = held.get("text")
        elif name == EXTRA:
            told[EXTRA] = {"google": {"thought_signature": held.get("data")}}
        else:
            kept.append({key: value for key, value in held.items() if key != "at"})
    return {**told, DETAILS: kept} if kept else told
