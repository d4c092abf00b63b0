"""OpenAI chat completions, as OpenAI and the many servers that copy it stream them.

``data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}`` and so
on, then ``data: [DONE]``. What the copies do differently, and is taken here:

- the first chunk has no choices, or none of them a role; every chunk has a new id;
- usage stands in a chunk of its own, with the finish, after it, in every chunk (the last
  one counts), under ``x_groq`` or inside the choice;
- ``finish_reason`` is missing or ``""`` instead of null, comes with the last text, or never;
  ``[DONE]`` never comes. Either of the two ends a reply, neither is a truncation;
- reasoning is ``reasoning_content``, ``reasoning``, ``reasoning_text``, ``reasoning_details``,
  a list of parts in ``content`` or, with the option ``think``, text between ``<think>`` and
  ``</think>``. Where several of them come in one delta they say the same, and one is read;
- a whole ``chat.completion`` comes although a stream was asked for, or after one, in which
  case it only says everything once more. Its JSON has an end, so it needs no reason to be
  complete;
- the words of an answer that is spoken are its ``transcript``;
- an error comes instead of chunks, between them, beside them or after the finish. It is
  always the end of a failed reply, whatever is said later.

A server that refuses the question for token counts, or one of the two names of the limit of
an answer, is asked without the one and by the other name.

Options: ``include_usage`` (true): ask for token counts. ``think`` (false): split ``<think>``
off the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from hub.complaint import Complaint, announced, complaint_in
from hub.dialects import Call
from hub.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.framing import SSE, Chunk, Framing, Sniffed
from hub.jsonvalue import as_count, as_object, as_text, malformed, parse
from hub.options import Options
from hub.prompt import Prompt
from hub.requested import no_option
from hub.speech import Speech
from hub.toolcalls import ToolCalls

__all__ = ["OpenAIChat"]

DIALECT: Final = "openai-chat"

# Reasons are compared in lower case, up to a colon: Gemini's endpoint says "content_filter: …".
_REASONS: Final[Mapping[str, Reason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Z.ai
    "time_limit": "length",  # watsonx
    "token_limit": "length",
    "tool_call": "tool",
    "tool_calls": "tool",
    "function_call": "tool",
    "tool_use": "tool",
    "content_filter": "filter",
    "safety": "filter",
    "recitation": "filter",
    "sensitive": "filter",
    "refusal": "filter",
}
# These say that there is no good end, most of them without a word about why.
_FAILURES: Final[Mapping[str, str]] = {
    "error": "upstream_error",
    "abort": "upstream_error",
    "cancelled": "upstream_error",
    "timeout": "upstream_error",
    "network_error": "upstream_error",
    "function_call_filter": "upstream_error",
    "malformed_function_call": "upstream_error",
    "insufficient_system_resource": "upstream_overloaded",
}


class OpenAIChat:
    """Reads one reply in the OpenAI chat completions format."""

    swaps: ClassVar[Mapping[str, str | None]] = {
        "stream_options": None,
        "max_tokens": "max_completion_tokens",  # OpenAI's models that reason
        "max_completion_tokens": "max_tokens",  # servers from before these
    }

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("include_usage", "think"))
        self._ask_for_usage = chosen.flag("include_usage", True)
        self._speech = Speech(think=chosen.flag("think", False))
        self._calls = ToolCalls()
        self.usage: Usage | None = None
        self._reason: str | None = None
        self._begun = False
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
            if text:
                self._begun = True
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
                whole = held.get("object") == "chat.completion"
                complaint = self._choice(choice, whole, found)
        if (usage := held.get("usage")) is not None:
            self._count(usage)
        if (groq := held.get("x_groq")) is not None:
            complaint = complaint_in({"error": as_object(groq).get("error")}) or complaint
            self._count(as_object(groq).get("usage"))
        if not choices or "error" in held or "base_resp" in held:
            complaint = complaint_in(held) or complaint
        if complaint is not None:
            found += self._fail(complaint)
        return found

    def _choice(
        self, choice: Mapping[str, Any], whole: bool, found: list[Event]
    ) -> Complaint | None:
        """What the choice adds; ``whole`` if it stands in an answer that is not streamed."""
        delta, message = choice.get("delta"), choice.get("message")
        if delta:
            self._delta(delta, found)
        # Beside deltas (Perplexity) and after them (MiniMax) it is the text so far once more.
        if message and (not self._begun or not (whole or delta)):
            self._delta(message, found)
        if (usage := choice.get("usage")) is not None:
            self._count(usage)
        reason = choice.get("finish_reason") or as_object(choice.get("finish_details")).get("type")
        if not reason or reason == "null":
            reason = "stop" if whole and message and "delta" not in choice else None
        if reason:
            self._reason = reason if isinstance(reason, str) else "stop"
        if "error" in choice and (complaint := complaint_in({"error": choice["error"]})):
            return complaint
        code = _FAILURES.get(_word(self._reason)) if reason else None
        return None if code is None else Complaint(f'finish_reason "{self._reason}"', code)

    def _delta(self, delta: Any, found: list[Event]) -> None:
        if not isinstance(delta, dict):
            raise malformed("a delta that is not an object")
        content = delta.get("content") or as_object(delta.get("audio")).get("transcript")
        reasoning = _reasoning(delta)
        if reasoning:
            self._begun = True
            found += self._speech.reason(reasoning)
        if content:
            self._begun = True
            self._content(content, found)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._begun = True
            found += self._speech.refuse(refusal)
        calls = delta.get("tool_calls")
        if not calls and any((old := as_object(delta.get("function_call"))).values()):
            calls = [{"function": old}]  # as it was before there could be several
        if calls:
            self._begun = True
            if not isinstance(calls, list):
                raise malformed("tool calls that are not a list")
            pieces = (self._calls.piece(held, place) for place, held in enumerate(calls))
            found += [Delta(tool=piece) for piece in pieces if piece is not None]

    def _content(self, content: Any, found: list[Event]) -> None:
        """Text, or a list of parts: text and what was thought before it, or a JSON answer."""
        if isinstance(content, str):
            found += self._speech.say(content)
        elif isinstance(content, dict):
            found += self._speech.say(as_text(content))  # Cloudflare, where a schema was given
        elif isinstance(content, list):
            for part in map(as_object, content):
                if isinstance(text := part.get("text"), str):
                    found += self._speech.say(text)
                thoughts = part.get("thinking") or part.get("summary")  # Mistral · Databricks
                for thought in thoughts if isinstance(thoughts, list) else [{"text": thoughts}]:
                    found += self._speech.reason(_text_of(thought))
        else:
            raise malformed("content that is not text")

    def _count(self, held: Any) -> None:
        """Counts are cumulative, so that the last ones said are the right ones.

        Only noughts are a server that does not count.
        """
        if isinstance(held, dict):
            said = _usage(held, self.usage or Usage())
            if said.prompt_tokens or said.completion_tokens:
                self.usage = said

    def _finish(self) -> Iterable[Event]:
        reason = _REASONS.get(_word(self._reason), "stop")
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


def _reasoning(delta: Mapping[str, Any]) -> str:
    said = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("reasoning_text")
    if isinstance(said, str):
        return said
    details = delta.get("reasoning_details")  # alone at Snowflake, the same again at OpenRouter
    return "".join(map(_text_of, details)) if isinstance(details, list) else ""


def _text_of(part: Any) -> str:
    """The text of a piece of reasoning; there may also be a signature or a cipher in it."""
    held = as_object(part)
    text = held.get("text") or held.get("summary")
    return text if isinstance(text, str) else ""


def _word(reason: str | None) -> str:
    return (reason or "").partition(":")[0].lower()


def _usage(held: Mapping[str, Any], before: Usage) -> Usage:
    asked = as_object(held.get("prompt_tokens_details") or held.get("prompt_token_details"))
    answered = as_object(
        held.get("completion_tokens_details") or held.get("completion_token_details")  # Writer
    )
    cached = as_count(
        asked.get("cached_tokens"),
        held.get("prompt_cache_hit_tokens"),  # DeepSeek
        held.get("cached_tokens"),  # Moonshot, Together
        held.get("num_cached_tokens"),  # Mistral
        held.get("cache_read_input_tokens"),  # Databricks
    )
    thought = as_count(answered.get("reasoning_tokens"), held.get("reasoning_tokens"))
    return Usage(
        prompt_tokens=as_count(held.get("prompt_tokens"), before.prompt_tokens),
        completion_tokens=as_count(held.get("completion_tokens"), before.completion_tokens),
        reasoning_tokens=as_count(thought, before.reasoning_tokens),
        cached_tokens=as_count(cached, before.cached_tokens),
    )
