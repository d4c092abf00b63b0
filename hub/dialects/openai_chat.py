"""OpenAI chat completions, as OpenAI and the many servers that copy it stream them.

A reply is chunks like ``{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}``,
then ``[DONE]``. The copies differ in many ways, all of which are read:

- the first chunk has no choices, or none with a role; every chunk has a new id;
- usage stands in a chunk of its own, with the finish, after it, in every chunk (the last one
  counts), under ``x_groq`` or inside the choice;
- ``finish_reason`` is missing or ``""`` instead of null, comes with the last text, or never comes;
  or ``[DONE]`` never comes. Either of the two ends a reply well;
- reasoning is ``reasoning_content``, ``reasoning``, ``reasoning_text``, ``reasoning_details``, a
  list of parts in ``content`` or, with the option ``think``, text between tags. Where several of
  them stand in one delta, they repeat each other, and one is read;
- a whole ``chat.completion`` comes although a stream was asked for, or after one, in which case it
  only repeats everything. Its JSON has an end, so it is complete without a reason;
- the words of a spoken answer are its ``transcript``;
- an error comes instead of chunks, between them, inside one or after the finish. It always ends
  the reply as failed, whatever follows.

A server that refuses ``stream_options``, or one of the two names of the limit of tokens, is asked
again without the one or by the other name.

Options: ``include_usage`` (true): ask for token counts. ``think`` (false): see
`hub.dialects.reply.think_tags`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

from hub.dialects import Call
from hub.dialects.reply.chat_fields import ChatFields, sent_message
from hub.dialects.reply.error_reports import ErrorReport, error_in_body, find_error
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.reply_reader import ReplyReader, expect, first_of
from hub.dialects.reply.text_deltas import CLOSING, Kind
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.request.chat_request import no_option
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, logprobs_of, with_logprobs
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Reason, Usage
from hub.domain.json_values import as_count, as_list, as_object, as_text, malformed, parse
from hub.domain.media import Media
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ITEM
from hub.framing import Chunk

__all__ = ["OpenAIChat"]

DIALECT: Final = "openai-chat"

# Reasons are compared in lower case, up to a colon: Gemini's endpoint says "content_filter: …".
# Mistral says model_length, Z.ai model_context_window_exceeded, and watsonx time_limit.
_REASONS: Final[Mapping[str, Reason]] = {
    **dict.fromkeys(
        (
            "length", "max_tokens", "model_length", "model_context_window_exceeded", "time_limit",
            "token_limit",
        ),
        "length",
    ),
    **dict.fromkeys(("tool_call", "tool_calls", "function_call", "tool_use"), "tool"),
    **dict.fromkeys(
        ("content_filter", "safety", "recitation", "sensitive", "refusal"), "filter"
    ),
}  # fmt: skip
# Reasons that mean a failure, mostly without any message.
_FAILURES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "error", "abort", "cancelled", "timeout", "network_error", "function_call_filter",
            "malformed_function_call",
        ),
        "upstream_error",
    ),
    "insufficient_system_resource": "upstream_overloaded",
}  # fmt: skip
# OpenRouter · xAI · Perplexity
_FURTHER_COUNTS: Final = (
    "cost", "num_sources_used", "cost_in_usd_ticks", "citation_tokens", "num_search_queries",
)  # fmt: skip


class OpenAIChat(ReplyReader):
    """Reads one reply in the OpenAI chat completions format."""

    alternatives: ClassVar[Mapping[str, str | None]] = {
        "stream_options": None,
        "max_tokens": "max_completion_tokens",  # OpenAI's reasoning models
        "max_completion_tokens": "max_tokens",  # older servers
    }

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("include_usage", "think"))
        super().__init__(think=chosen.flag_or("think", CLOSING))
        self._ask_for_usage = chosen.flag("include_usage", True)
        self._fields = ChatFields()
        self._media = Media()
        self._audio_type = "audio/*"
        self._begun = False
        self._by_delta = False
        self._cited = False

    @property
    def reasoned(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        if prompt.options.get("n") not in (None, 1):
            raise no_option("n", DIALECT, "an answer has one choice; ask again for another")
        if prompt.options.get("include"):
            raise no_option("include", DIALECT)
        if any(ITEM in message for message in prompt.messages if message.get("role") == "tool"):
            raise no_option("an item of OpenAI's Responses", DIALECT)
        form = as_object(prompt.options.get("audio")).get("format")
        self._audio_type = f"audio/{form}" if isinstance(form, str) else self._audio_type
        body = dict(prompt.options)
        body.pop("stream_options", None)
        body.pop("truncation", None)  # of responses: it only permits something
        if prompt.model is not None:
            body["model"] = prompt.model
        body["messages"] = [sent_message(message) for message in prompt.messages]
        body["stream"] = True
        if self._ask_for_usage:
            body["stream_options"] = {"include_usage": True}
        return Call("/chat/completions", body, {"Accept": "text/event-stream"})

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body, name = chunk
        if self._over:
            return ()
        if name == "error":
            return self._fail(error_in_body(body))
        if body[:1] != b"{":
            body = body.strip()
            if body == b"[DONE]":
                return self._end()
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
            return ()  # broken after the finish: nothing of the answer is missing
        if text:
            self._begun = self._by_delta = True
        return self._text.say(text)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over or self._reason is None:
            return super().close(clean=clean)
        return self._end()

    def _chunk(self, held: Any) -> Iterable[Event]:
        if not isinstance(held, dict):
            report = find_error(held)
            if report is None:
                raise malformed("a chunk that is not an object")
            return self._fail(report)
        found: list[Event] = []
        report = None
        self._fields.add_chunk(held)
        choices = held.get("choices")
        if choices:
            choice = first_of(choices, "choices", "a choice")
            if choice is not None:
                whole = held.get("object") == "chat.completion"
                report = self._choice(choice, whole, found)
        self._count(held.get("usage"))
        if (groq := held.get("x_groq")) is not None:
            report = find_error({"error": as_object(groq).get("error")}) or report
            self._count(as_object(groq).get("usage"))
        if not choices or "error" in held or "base_resp" in held:
            report = find_error(held) or report
        return found if report is None else [*found, *self._fail(report)]

    def _choice(
        self, choice: Mapping[str, Any], whole: bool, found: list[Event]
    ) -> ErrorReport | None:
        """Add what the choice says; ``whole`` if it stands in an answer that is not streamed."""
        reason = choice.get("finish_reason") or as_object(choice.get("finish_details")).get("type")
        delta, message = choice.get("delta"), choice.get("message")
        if not message and isinstance(text := choice.get("text"), str) and text:
            message = {"content": text}  # legacy completions
        if delta:
            last = bool(reason) or self._reason is not None
            self._delta(delta, found, self._text.add_last if last else self._text.add)
            found += annotated(as_list(delta.get("annotations")))
            self._cited = self._cited or "annotations" in delta
            self._by_delta = self._by_delta or self._begun
        given = as_object(choice.get("logprobs"))
        logprobs = [*logprobs_of(given.get("content")), *logprobs_of(given.get("refusal"))]
        if logprobs:
            found[:] = with_logprobs([e for e in found if isinstance(e, Delta)], logprobs)
        if message:
            # Beside deltas (Perplexity) and after them (MiniMax) it repeats the text so far.
            # Without deltas it may be a piece, or all so far in every chunk.
            repeats = self._by_delta or whole or bool(delta)
            self._delta(message, found, self._text.add_whole if repeats else self._message)
            if not self._cited:
                found += annotated(as_list(message.get("annotations")))
        self._count(choice.get("usage"))
        if not reason or reason == "null":
            reason = "stop" if whole and message and "delta" not in choice else None
        if reason:
            self._reason = reason if isinstance(reason, str) else "stop"
        if "error" in choice and (report := find_error({"error": choice["error"]})):
            return report
        code = _FAILURES.get(_word(self._reason)) if reason else None
        return None if code is None else ErrorReport(f'finish_reason "{self._reason}"', code)

    def _delta(
        self, delta: Any, found: list[Event], take: Callable[[Kind, str], list[Delta]]
    ) -> None:
        delta = expect(delta, dict, "a delta that is not an object")
        audio = as_object(delta.get("audio"))
        texts: list[tuple[Kind, str]] = [("reasoning", _reasoning(delta))]
        texts += _content(delta.get("content") or audio.get("transcript"))
        if isinstance(refusal := delta.get("refusal"), str):
            texts.append(("refusal", refusal))
        whole = take == self._text.add_whole
        if whole:
            kinds = dict.fromkeys(kind for kind, _ in texts)
            texts = [(kind, "".join(text for k, text in texts if k == kind)) for kind in kinds]
        if not (whole and self._fields.details):
            self._fields.add_delta(delta)
        for kind, text in texts:
            if text:
                self._begun = True
                deltas = take(kind, text)
                found += deltas
                if kind == "reasoning":
                    self._fields.add_reasoning(deltas, self._text.length)
        calls = delta.get("tool_calls")
        if not calls and any((legacy := as_object(delta.get("function_call"))).values()):
            calls = [{"function": legacy}]
        if calls:
            self._begun = True
            found += self._calls.wholes(calls) if whole else self._calls.pieces(calls)
        if not (whole and self._media):
            for image in as_list(delta.get("images")):  # OpenRouter
                found += self._media.at(as_object(as_object(image).get("image_url")).get("url"))
            found += self._media.sound(audio, self._audio_type)

    def _message(self, kind: Kind, text: str) -> list[Delta]:
        """A text where there are no deltas: all so far if it begins with that, else a piece."""
        return self._text.add_whole(kind, text) or self._text.add_last(kind, text)

    def _count(self, held: Any) -> None:
        """Counts are cumulative, so the last ones are right."""
        if isinstance(held, dict):
            self.usage = _usage(held, self.usage or Usage()) or self.usage

    def _end(self) -> list[Event]:
        beside = [
            *(self._fields.sources() if not self._cited else ()),
            *self._fields.deltas(called=bool(self._calls)),
        ]
        reason = _REASONS.get(_word(self._reason), "stop")
        return self._finish(reason, beside=beside, extra=self._fields.about or NOTHING)


def _only_text(held: Any) -> str | None:
    """The text of a chunk that holds nothing else, as nearly all do; ``None`` for any other.

    This is the fast path. It judges no other chunk.
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


def _content(content: Any) -> list[tuple[Kind, str]]:
    """The texts of a content: a string, a list of parts with reasoning among them, or JSON."""
    if not content:
        return []
    if isinstance(content, str):
        return [("text", content)]
    if isinstance(content, dict):
        return [("text", as_text(content))]  # Cloudflare, where a schema was given
    found: list[tuple[Kind, str]] = []
    for part in map(as_object, expect(content, list, "content that is not text")):
        if isinstance(text := part.get("text"), str):
            found.append(("text", text))
        thoughts = part.get("thinking") or part.get("summary")  # Mistral · Databricks
        each = thoughts if isinstance(thoughts, list) else [{"text": thoughts}]
        found += [("reasoning", _reasoning_text(thought)) for thought in each]
    return found


def _reasoning(delta: Mapping[str, Any]) -> str:
    said = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("reasoning_text")
    if isinstance(said, str):
        return said
    # Snowflake sends only these, OpenRouter repeats its reasoning in them.
    return "".join(map(_reasoning_text, as_list(delta.get("reasoning_details"))))


def _reasoning_text(part: Any) -> str:
    """The text of a piece of reasoning, which may also be only a signature or encrypted."""
    held = as_object(part)
    text = held.get("text") or held.get("summary")
    return text if isinstance(text, str) else ""


def _word(reason: str | None) -> str:
    return (reason or "").partition(":")[0].lower()


def _usage(held: Mapping[str, Any], before: Usage) -> Usage | None:
    asked = as_object(held.get("prompt_tokens_details") or held.get("prompt_token_details"))
    answered = as_object(
        held.get("completion_tokens_details") or held.get("completion_token_details")  # Writer
    )
    written = held.get("cache_creation_input_tokens")
    places = (
        asked.get("cached_tokens"),
        held.get("prompt_cache_hit_tokens"),  # DeepSeek
        held.get("cached_tokens"),  # Moonshot, Together
        held.get("num_cached_tokens"),  # Mistral
        held.get("cache_read_input_tokens"),  # Databricks
    )
    # A zero in one place does not count where another place has a number.
    cached = as_count(*(place for place in places if place), *places)
    thought = as_count(answered.get("reasoning_tokens"), held.get("reasoning_tokens"))
    asked_all, answered_all = (as_count(held.get(f"{n}_tokens")) for n in ("prompt", "completion"))
    both = asked_all is not None and answered_all is not None
    details = counted(
        ("input_", asked),
        ("output_", answered),
        ("", {name: held[name] for name in _FURTHER_COUNTS if name in held}),
        ("", {"cache_write_tokens": written}),
    )
    return balanced(
        Usage(
            prompt_tokens=as_count(asked_all, before.prompt_tokens),
            completion_tokens=as_count(answered_all, before.completion_tokens),
            reasoning_tokens=as_count(thought, before.reasoning_tokens),
            cached_tokens=as_count(cached, before.cached_tokens),
            details=details or before.details,
        ),
        total=as_count(held.get("total_tokens")) if both else None,
        written=as_count(written) or 0,
    )
