"""The fields of chat completions beside text and calls, as their many servers send them.

What a model must see again comes in several forms, each to be given back as it came
(`hub.domain.provider_fields`):

- ``reasoning_details`` (OpenRouter): pieces that belong together by ``index``; kept if any of them
  is signed or encrypted, or if they led to calls;
- ``reasoning_content`` (DeepSeek, Moonshot, Z.ai) or ``reasoning``: whole, with the calls that it
  led to; without it these servers refuse the results;
- ``audio`` (OpenAI): the id of a spoken answer, which the model hears again until it expires. Its
  text is left out then, because it is what was spoken;
- ``thinking`` parts in the content (Mistral): see `hub.dialects.reply.thoughts`;
- ``extra_content`` beside the text (Gemini's endpoint): a signature. The signature of a call stands
  in the call.

``executed_tools`` are tools that Groq has run itself, each in several pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import time
from typing import Any, Final

from hub.dialects.reply.thoughts import THINKING, Thoughts
from hub.domain.annotations import annotated, citation
from hub.domain.events import Delta
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_list, as_object, as_plain, as_string, as_text
from hub.domain.provider_fields import DETAILS, EXECUTED, EXTRA, MOST, Details, woven
from hub.domain.surrogates import whole

__all__ = ["ChatFields", "sent_message"]

_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_text")
MOST_RUNS: Final = 100
AUDIO: Final = "audio"
_JOINED: Final = ("text", "summary", "signature")


class ChatFields:
    """Collects the fields of one reply from its chunks.

    ``details`` are its ``reasoning_details``; ``about`` are fields about the whole reply.
    """

    def __init__(self) -> None:
        self.details: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {}
        self._reasoning_field = ""
        self._reasoning: list[str] = []
        self._length = 0
        """Characters of reasoning."""
        self._thoughts = Thoughts()
        self._signature = ""
        self._audio: dict[str, Any] = {}
        self._sources: list[Any] = []
        self._runs: dict[Any, dict[str, Any]] = {}
        self._executed = Details(EXECUTED)

    def add_delta(self, delta: Mapping[str, Any]) -> None:
        """Take the fields of a delta or a whole message."""
        if not self._reasoning_field:
            thinks = any(THINKING in as_object(part) for part in as_list(delta.get("content")))
            names = (name for name in _REASONING if delta.get(name))
            self._reasoning_field = next(names, THINKING if thinks else "")
        google = as_object(as_object(delta.get(EXTRA)).get("google"))
        if isinstance(signature := google.get("thought_signature"), str):
            self._signature = whole(signature)
        audio = as_object(delta.get(AUDIO))
        self._audio.update({name: audio[name] for name in ("id", "expires_at") if name in audio})
        for place, held in enumerate(as_list(delta.get(EXECUTED))):
            if isinstance(held, dict):
                self._runs.setdefault(held.get("index", place), {}).update(held)
        for held in as_list(delta.get(DETAILS)):
            if isinstance(held, dict):
                self._add_detail(held)

    def add_reasoning(self, deltas: Iterable[Delta], before: int) -> None:
        """Take reasoning as it was given out, after so many characters of text."""
        if self._reasoning_field == THINKING:
            self._thoughts.add(deltas, before)
            return
        for delta in deltas:
            if self._length <= MOST:
                self._reasoning.append(delta.reasoning)
                self._length += len(delta.reasoning)

    def add_chunk(self, held: Mapping[str, Any]) -> None:
        """Take the fields of a chunk that are about the whole reply."""
        for name in ("service_tier", "system_fingerprint"):
            if value := as_string(held.get(name)):
                self.about[name] = value
        results = held.get("search_results") or held.get("citations")  # Perplexity, xAI
        if isinstance(results, list):
            self._sources = results

    def sources(self) -> list[Delta]:
        """The pages that a server lists beside its answer, in the order of its [1], [2] …"""
        found = ({"url": one} if isinstance(one, str) else as_object(one) for one in self._sources)
        pages = [one for one in found if isinstance(one.get("url"), str)]
        return annotated(citation(one["url"], title=one.get("title")) for one in pages)

    def deltas(self, *, called: bool) -> list[Delta]:
        """The fields to be given back, at the end of the reply; ``called`` if there are calls."""
        found: list[Delta] = []
        sealed = any(held.get("signature") or held.get("data") for held in self.details)
        if (sealed or (called and self.details)) and self._length <= MOST:
            found.append(Delta(extra={DETAILS: self.details}))
        elif called and not self.details and self._reasoning_field and 0 < self._length <= MOST:
            text = "".join(self._reasoning)
            found.append(Details(self._reasoning_field).of("text", text=text))
        found += self._thoughts.deltas()
        for run in list(self._runs.values())[:MOST_RUNS]:
            arguments = run.get("arguments")
            if not isinstance(arguments, str):
                arguments = as_text(arguments or {})
            name, output = run.get("name") or run.get("type"), run.get("output")
            found += executed(self._executed.place(), name, arguments, output)
        if self._signature:
            found.append(Details(EXTRA).of("encrypted", data=self._signature))
        if audio_id := as_string(self._audio.get("id")):
            expires = as_count(self._audio.get("expires_at"))
            until = {} if expires is None else {"expires_at": expires}
            found.append(Details(AUDIO).of("encrypted", data=audio_id, **until))
        return found

    def _add_detail(self, held: dict[str, Any]) -> None:
        """Add a new detail, or a piece of the last one; encrypted ones always come whole."""
        detail = as_plain(held)
        if detail is None:
            return
        last = self.details[-1] if self.details else {}
        same = all(detail.get(name) == last.get(name) for name in ("type", "index"))
        if not same or detail.get("type") == "reasoning.encrypted" or last.get("signature"):
            self.details.append(dict(detail))
        else:
            for name, value in detail.items():
                before = last.get(name)
                if name in _JOINED and isinstance(value, str) and isinstance(before, str):
                    last[name] = before + value
                elif value is not None:
                    last[name] = value
        texts = (detail.get(name) for name in _JOINED)
        self._length += sum(len(text) for text in texts if isinstance(text, str))


def sent_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the prompt with its kept fields under the names that its server uses."""
    sent = dict(message)
    if sent.get("role") != "assistant":
        return sent
    sent.pop(EXECUTED, None)
    details = sent.pop(DETAILS, None)
    if not isinstance(details, list):
        return sent
    kept = []
    thoughts = [held for held in details if held.get("format") == THINKING]
    if thoughts:
        sent["content"] = _with_thoughts(sent.get("content"), thoughts)
    for held in details:
        name = held.get("format")
        if name in _REASONING:
            sent[name] = held.get("text")
        elif name == EXTRA:
            sent[EXTRA] = {"google": {"thought_signature": held.get("data")}}
        elif name == AUDIO:
            expires = as_count(held.get("expires_at"))
            if expires is None or expires > time():
                sent[AUDIO] = {"id": held.get("data")}
                sent.pop("content", None)
        elif name != THINKING:
            kept.append({key: value for key, value in held.items() if key != "at"})
    return {**sent, DETAILS: kept} if kept else sent


def _with_thoughts(content: Any, thoughts: list[Mapping[str, Any]]) -> list[Any]:
    """The content as a list of parts, with ``thinking`` parts among them."""
    text = content if isinstance(content, str) else ""
    parts: list[Any] = []
    for part in woven(text, 0, thoughts):
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
        elif isinstance(part, Mapping):
            thought = {"type": "text", "text": part.get("text")}
            parts.append({"type": THINKING, THINKING: [thought]})
    return [*parts, *as_list(content)]
