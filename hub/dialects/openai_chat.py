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
off the text, or
with ``"closing"`` what comes before a ``</think>`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

from hub.dialects import Call
from hub.dialects.reply.chat_fields import ChatFields, sent_message
from hub.dialects.reply.error_reports import ErrorReport, announced, complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import CLOSING, TextDeltas
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.dialects.request.chat_request import no_option
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, logprobs_of, with_logprobs
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.json_values import as_count, as_object, as_text, malformed, parse
from hub.domain.media import Media
from hub.domain.prompt import Prompt
from hub.framing import SSE, Chunk, Framing, Sniffed

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

    alternatives: ClassVar[Mapping[str, str | None]] = {
        "stream_options": None,
        "max_tokens": "max_completion_tokens",  # OpenAI's models that reason
        "max_completion_tokens": "max_tokens",  # servers from before these
    }

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("include_usage", "think"))
        self._ask_for_usage = chosen.flag("include_usage", True)
        self._speech = TextDeltas(think=chosen.flag_or("think", CLOSING))
        self._calls = ToolCalls()
        self._fields = ChatFields()
        self._media = Media()
        self._sound = "audio/*"
        self.usage: Usage | None = None
        self._reason: str | None = None
        self._begun = False
        self._by_delta = False
        self._cited = False
        self._over = False

    @property
    def ending(self) -> bool:
        return self._reason is not None

    @property
    def reasoned(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        if prompt.options.get("n") not in (None, 1):
            raise no_option("n", DIALECT, "an answer has one choice; ask again for another")
        if prompt.options.get("include"):
            raise no_option("include", DIALECT)
        sound = as_object(prompt.options.get("audio")).get("format")
        self._sound = f"audio/{sound}" if isinstance(sound, str) else self._sound
        body = dict(prompt.options)
        body.pop("stream_options", None)
        body.pop("truncation", None)  # of responses: it permits what is not asked for here
        if prompt.model is not None:
            body["model"] = prompt.model
        body["messages"] = [sent_message(message) for message in prompt.messages]
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
            if body == b"[DONE]":
                return self._finish()
            if is_padding(body):
                return ()
        try:
            held = parse(body)
            text = _only_text(held) if self._reason is None else None
            if text is None:
                return self._chunk(held)
        except UpstreamError:
            if self._reason is None:
                raise
            return ()  # broken behind the finish: nothing of the answer is missing
        if text:
            self._begun = self._by_delta = True
        return self._speech.say(text)

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
        self._fields.chunk(held)
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
    ) -> ErrorReport | None:
        """What the choice adds; ``whole`` if it stands in an answer that is not streamed."""
        reason = choice.get("finish_reason") or as_object(choice.get("finish_details")).get("type")
        delta, message = choice.get("delta"), choice.get("message")
        if not message and isinstance(text := choice.get("text"), str) and text:
            message = {"content": text}  # of the completions before there was a chat
        if delta:
            last = bool(reason) or self._reason is not None
            self._delta(delta, found, self._last if last else self._piece)
            found += annotated(_list(delta.get("annotations")))
            self._cited = self._cited or "annotations" in delta
            self._by_delta = self._by_delta or self._begun
        if probable := _logprobs(choice.get("logprobs")):
            found[:] = with_logprobs([e for e in found if isinstance(e, Delta)], probable)
        if message:
            # Beside deltas (Perplexity) and after them (MiniMax) it is the text so far once more.
            # Where there are none it may be a piece, or all so far in every chunk.
            told = self._by_delta or whole or bool(delta)
            self._delta(message, found, self._whole if told else self._message)
            if not self._cited:
                found += annotated(_list(message.get("annotations")))
        if (usage := choice.get("usage")) is not None:
            self._count(usage)
        if not reason or reason == "null":
            reason = "stop" if whole and message and "delta" not in choice else None
        if reason:
            self._reason = reason if isinstance(reason, str) else "stop"
        if "error" in choice and (complaint := complaint_in({"error": choice["error"]})):
            return complaint
        code = _FAILURES.get(_word(self._reason)) if reason else None
        return None if code is None else ErrorReport(f'finish_reason "{self._reason}"', code)

    def _delta(self, delta: Any, found: list[Event], take: _Take) -> None:
        if not isinstance(delta, dict):
            raise malformed("a delta that is not an object")
        content = delta.get("content") or as_object(delta.get("audio")).get("transcript")
        refusal = delta.get("refusal")
        said = [("reasoning", _reasoning(delta)), *_content(content)]
        said.append(("refusal", refusal if isinstance(refusal, str) else ""))
        whole = take == self._whole
        if whole:
            said = _joined(said)
        if not (whole and self._fields.details):
            self._fields.add(delta)
        for kind, text in said:
            if text:
                self._begun = True
                told = take(kind, text)
                found += told
                if kind == "reasoning":
                    self._fields.reasoned(told)
        calls = delta.get("tool_calls")
        if not calls and any((old := as_object(delta.get("function_call"))).values()):
            calls = [{"function": old}]  # as it was before there could be several
        if calls:
            self._begun = True
            found += self._calls.wholes(calls) if whole else self._calls.pieces(calls)
        if not (whole and self._media):
            for image in _list(delta.get("images")):  # OpenRouter
                found += self._media.at(as_object(as_object(image).get("image_url")).get("url"))
            found += self._media.sound(as_object(delta.get("audio")), self._sound)

    def _piece(self, kind: str, text: str) -> list[Delta]:
        if kind == "text":
            return self._speech.say(text)
        return self._speech.reason(text) if kind == "reasoning" else self._speech.refuse(text)

    def _last(self, kind: str, text: str) -> list[Delta]:
        """What comes with the finish or after it, where some say everything once more."""
        return self._speech.say_last(text) if kind == "text" else self._piece(kind, text)

    def _whole(self, kind: str, text: str) -> list[Delta]:
        if kind == "text":
            return self._speech.say_whole(text)
        if kind == "reasoning":
            return self._speech.reason_whole(text)
        return self._speech.refuse_whole(text)

    def _message(self, kind: str, text: str) -> list[Delta]:
        """A message where there are no deltas: all so far if it begins with that, or a piece."""
        return self._whole(kind, text) or self._last(kind, text)

    def _count(self, held: Any) -> None:
        """Counts are cumulative, so that the last ones said are the right ones.

        Only noughts are a server that does not count.
        """
        if isinstance(held, dict):
            self.usage = _usage(held, self.usage or Usage()) or self.usage

    def _finish(self) -> Iterable[Event]:
        reason = _REASONS.get(_word(self._reason), "stop")
        if reason == "stop" and self._calls:
            reason = "tool"  # said by servers that were told which tool to call
        found = [
            *self._rest(complete=reason != "length"),
            *(self._fields.sources() if not self._cited else ()),
            *self._fields.told(called=bool(self._calls)),
        ]
        self._over = True
        end = Finished(reason=reason, usage=self.usage, extra=self._fields.about or NOTHING)
        return [*found, self._calls.ended(end)]

    def _fail(self, complaint: ErrorReport) -> Iterable[Event]:
        found = self._rest()
        self._over = True
        return [*found, complaint.failure(self.usage)]

    def _rest(self, *, complete: bool = False) -> list[Event]:
        """What was held back, in case its other half came."""
        return [*self._speech.rest(), *self._calls.end(complete=complete)]


_Take = Callable[[str, str], list[Delta]]


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
        if choice.get("logprobs") is not None:
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if "error" in held or "x_groq" in held else text


def _list(held: Any) -> list[Any]:
    return held if isinstance(held, list) else []


def _logprobs(held: Any) -> list[dict[str, Any]]:
    """The logprobs of a choice, of its text and of what it says instead."""
    said = as_object(held)
    return [*logprobs_of(said.get("content")), *logprobs_of(said.get("refusal"))]


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


def _content(content: Any) -> list[tuple[str, str]]:
    """Text, or a list of parts: text and what was thought before it, or a JSON answer."""
    if not content:
        return []
    if isinstance(content, str):
        return [("text", content)]
    if isinstance(content, dict):
        return [("text", as_text(content))]  # Cloudflare, where a schema was given
    if not isinstance(content, list):
        raise malformed("content that is not text")
    found: list[tuple[str, str]] = []
    for part in map(as_object, content):
        if isinstance(text := part.get("text"), str):
            found.append(("text", text))
        thoughts = part.get("thinking") or part.get("summary")  # Mistral · Databricks
        each = thoughts if isinstance(thoughts, list) else [{"text": thoughts}]
        found += [("reasoning", _text_of(thought)) for thought in each]
    return found


def _joined(said: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One text of each kind."""
    kinds = dict.fromkeys(kind for kind, _ in said)
    return [(kind, "".join(text for of, text in said if of == kind)) for kind in kinds]


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


# OpenRouter · xAI · Perplexity
_BESIDE: Final = (
    "cost", "num_sources_used", "cost_in_usd_ticks", "citation_tokens", "num_search_queries",
)  # fmt: skip


def _word(reason: str | None) -> str:
    return (reason or "").partition(":")[0].lower()


def _usage(held: Mapping[str, Any], before: Usage) -> Usage | None:
    asked = as_object(held.get("prompt_tokens_details") or held.get("prompt_token_details"))
    answered = as_object(
        held.get("completion_tokens_details") or held.get("completion_token_details")  # Writer
    )
    places = (
        asked.get("cached_tokens"),
        held.get("prompt_cache_hit_tokens"),  # DeepSeek
        held.get("cached_tokens"),  # Moonshot, Together
        held.get("num_cached_tokens"),  # Mistral
        held.get("cache_read_input_tokens"),  # Databricks
    )
    # A nought in one place is no count where another has one.
    cached = as_count(*(place for place in places if place), *places)
    thought = as_count(answered.get("reasoning_tokens"), held.get("reasoning_tokens"))
    asked_all, answered_all = (as_count(held.get(f"{n}_tokens")) for n in ("prompt", "completion"))
    both = asked_all is not None and answered_all is not None
    return balanced(
        Usage(
            prompt_tokens=as_count(asked_all, before.prompt_tokens),
            completion_tokens=as_count(answered_all, before.completion_tokens),
            reasoning_tokens=as_count(thought, before.reasoning_tokens),
            cached_tokens=as_count(cached, before.cached_tokens),
            details=counted(
                ("input_", asked),
                ("output_", answered),
                ("", {name: held[name] for name in _BESIDE if name in held}),
                ("", {"cache_write_tokens": held.get("cache_creation_input_tokens")}),
            )
            or before.details,
        ),
        total=as_count(held.get("total_tokens")) if both else None,
        written=as_count(held.get("cache_creation_input_tokens")) or 0,
    )
