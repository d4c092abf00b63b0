"""OpenAI chat completions, as OpenAI and the many servers that copy it stream them.

``data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}`` and so
on, then ``data: [DONE]``. What the copies do differently, and is taken here:

- the first chunk has no choices, or none of them a role; every chunk has a new id;
- usage stands in a chunk of its own, with the finish, after it, in every chunk (the last
  one counts), under ``x_groq`` or inside the choice;
- ``finish_reason`` is missing or ``""`` instead of null, comes with the last text, or never;
  ``[DONE]`` never comes. Either of the two ends a reply, neither is a truncation;
- reasoning is ``reasoning_content``, ``reasoning``, a list of parts in ``content`` or, with
  the option ``think``, text between ``<think>`` and ``</think>``;
- a whole ``chat.completion`` comes although a stream was asked for;
- an error comes instead of chunks, between them, beside them or after the finish. It is
  always the end of a failed reply, whatever is said later.

Options: ``include_usage`` (true): ask for token counts; some servers refuse the question.
``think`` (false): split ``<think>`` off the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.complaint import Complaint, announced, complaint_in
from hub.dialects import Call
from hub.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.framing import SSE, Chunk, Framing, Sniffed
from hub.jsonvalue import as_count, as_object, malformed, parse
from hub.options import Options
from hub.prompt import Prompt
from hub.requested import no_option
from hub.speech import Speech
from hub.toolcalls import ToolCalls

__all__ = ["OpenAIChat"]

DIALECT: Final = "openai-chat"

_REASONS: Final[Mapping[str, Reason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "tool_use": "tool",
    "content_filter": "filter",
    "safety": "filter",
    "sensitive": "filter",
    "refusal": "filter",
}
# These say that there is no good end, most of them without a word about why.
_FAILURES: Final[Mapping[str, str]] = {
    "error": "upstream_error",
    "abort": "upstream_error",
    "network_error": "upstream_error",
    "insufficient_system_resource": "upstream_overloaded",
}


class OpenAIChat:
    """Reads one reply in the OpenAI chat completions format."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("include_usage", "think"))
        self._ask_for_usage = chosen.flag("include_usage", True)
        self._speech = Speech(think=chosen.flag("think", False))
        self._calls = ToolCalls()
        self.usage: Usage | None = None
        self._reason: str | None = None
        self._over = False

    @property
    def ending(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        if prompt.options.get("n") not in (None, 1):
            raise no_option("n", DIALECT, "an answer has one choice; ask again for another")
        body = dict(prompt.options)
        body.pop("stream_options", None)
        if prompt.model is not None:
            body["model"] = prompt.model
        body["messages"] = [dict(message) for message in prompt.messages]
        body["stream"] = True
        if self._ask_for_usage:
            body["stream_options"] = {"include_usage": True}
        return Call("/chat/completions", body, {"Accept": "text/event-stream"})

    def framing(self, limit: int) -> Framing:
        return Sniffed(SSE(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body, name = chunk
        if self._over:
            return ()
        if name == "error":
            return self._fail(announced(body))
        if body[:1] != b"{":
            body = body.strip()
            if not body:
                return ()
            if body == b"[DONE]":
                return self._finish()
        held = parse(body)
        text = _only_text(held)
        if text is not None:
            return self._speech.say(text)
        return self._chunk(held)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        if self._reason is not None:
            return self._finish()
        self._over = True
        return self._rest()

    def _chunk(self, held: Any) -> Iterable[Event]:
        if not isinstance(held, dict):
            complaint = complaint_in(held)
            if complaint is None:
                raise malformed("a chunk that is not an object")
            return self._fail(complaint)
        found: list[Event] = []
        complaint = None
        choices = held.get("choices")
        if choices:
            choice = _first(choices)
            if choice is not None:
                complaint = self._choice(choice, found)
        if (usage := held.get("usage")) is not None:
            self._count(usage)
        if (groq := held.get("x_groq")) is not None:
            self._count(as_object(groq).get("usage"))
        if "error" in held or not choices:
            complaint = complaint_in(held) or complaint
        if complaint is not None:
            found += self._fail(complaint)
        return found

    def _choice(self, choice: Mapping[str, Any], found: list[Event]) -> Complaint | None:
        """What the choice adds; ``message`` is where an answer that is not streamed has it.

        Beside a delta, ``message`` is the text so far once more (Perplexity).
        """
        delta = choice["delta"] if "delta" in choice else choice.get("message")
        if delta:
            if not isinstance(delta, dict):
                raise malformed("a delta that is not an object")
            self._delta(delta, found)
        if (usage := choice.get("usage")) is not None:
            self._count(usage)
        reason = choice.get("finish_reason")
        if not reason or reason == "null":
            return None
        self._reason = reason if isinstance(reason, str) else "stop"
        code = _FAILURES.get(self._reason)
        if code is None:
            return None
        return complaint_in(choice) or Complaint(f'finish_reason "{self._reason}"', code)

    def _delta(self, delta: Mapping[str, Any], found: list[Event]) -> None:
        content = delta.get("content")
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning:
            self._reason_aloud(reasoning, found)
        if content:
            self._content(content, found)
        refusal = delta.get("refusal")
        if isinstance(refusal, str):
            found += self._speech.refuse(refusal)
        calls = delta.get("tool_calls")
        if not calls and isinstance(old := delta.get("function_call"), dict):
            calls = [{"function": old}]  # as it was before there could be several
        if calls:
            if not isinstance(calls, list):
                raise malformed("tool calls that are not a list")
            pieces = (self._calls.piece(held, place) for place, held in enumerate(calls))
            found += [Delta(tool=piece) for piece in pieces if piece is not None]

    def _content(self, content: Any, found: list[Event]) -> None:
        """Text, or a list of parts: text and what was thought before it."""
        if isinstance(content, str):
            found += self._speech.say(content)
            return
        if not isinstance(content, list):
            raise malformed("content that is not text")
        for part in map(as_object, content):
            if isinstance(text := part.get("text"), str):
                found += self._speech.say(text)
            thoughts = part.get("thinking")
            for thought in thoughts if isinstance(thoughts, list) else [{"text": thoughts}]:
                self._reason_aloud(as_object(thought).get("text"), found)

    def _reason_aloud(self, reasoning: Any, found: list[Event]) -> None:
        if isinstance(reasoning, str):
            found += self._speech.reason(reasoning)

    def _count(self, held: Any) -> None:
        """Counts are cumulative, so that the last ones said are the right ones.

        Only noughts are a server that does not count.
        """
        if isinstance(held, dict):
            said = _usage(held, self.usage or Usage())
            if said.prompt_tokens or said.completion_tokens:
                self.usage = said

    def _finish(self) -> Iterable[Event]:
        reason = _REASONS.get(self._reason or "", "stop")
        if reason == "stop" and self._calls:
            reason = "tool"  # said by servers that were told which tool to call
        found = self._rest()
        self._over = True
        return [*found, Finished(reason=reason, usage=self.usage)]

    def _fail(self, complaint: Complaint) -> Iterable[Event]:
        found = self._rest()
        self._over = True
        return [*found, complaint.failure(self.usage)]

    def _rest(self) -> list[Event]:
        """What was held back, in case its other half came."""
        return [*self._speech.rest(), *(Delta(tool=piece) for piece in self._calls.rest())]


def _only_text(held: Any) -> str | None:
    """The text of a chunk that says nothing else: nearly all do, and this is their short way.

    ``None`` for any other chunk, which takes the long way and is not judged here.
    """
    try:
        (choice,) = held["choices"]
        ((name, text),) = choice["delta"].items()
        if name != "content" or type(text) is not str or choice.get("finish_reason"):
            return None
        if choice.get("index") or "usage" in choice or held.get("usage") is not None:
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if "error" in held or "x_groq" in held else text


def _first(choices: Any) -> Mapping[str, Any] | None:
    """The choice numbered 0, which the only one may fail to be called."""
    if not isinstance(choices, list):
        raise malformed("choices that are not a list")
    for choice in choices:
        if not isinstance(choice, dict):
            raise malformed("a choice that is not an object")
        if not choice.get("index"):
            return choice
    return None


def _usage(held: Mapping[str, Any], before: Usage) -> Usage:
    asked = as_object(held.get("prompt_tokens_details"))
    answered = as_object(held.get("completion_tokens_details"))
    cached = as_count(
        asked.get("cached_tokens"),
        held.get("prompt_cache_hit_tokens"),  # DeepSeek
        held.get("cached_tokens"),  # Moonshot
    )
    return Usage(
        prompt_tokens=as_count(held.get("prompt_tokens"), before.prompt_tokens),
        completion_tokens=as_count(held.get("completion_tokens"), before.completion_tokens),
        reasoning_tokens=as_count(answered.get("reasoning_tokens"), before.reasoning_tokens),
        cached_tokens=as_count(cached, before.cached_tokens),
    )
