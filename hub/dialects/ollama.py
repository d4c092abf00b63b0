"""Ollama's ``/api/chat``: one JSON object a line.

``{"message":{"role":"assistant","content":"Hi","thinking":"…"},"done":false}`` and so on;
the last has ``"done":true``, ``done_reason`` and the counts. Programs that imitate it are
looser: two lines that are done, with a tool call in between; ``response`` instead of
``message``, or null; no ``done_reason``; reasoning as ``reasoning_content``. So the reply
ends with the body, and what counts is that a line was done. ``{"error": "…"}``, which
comes under a 200 too, always ends it.

Pictures go in the message itself, as base64. Options: ``think`` (false): split ``<think>``
off the text, or
with ``"closing"`` what comes before a ``</think>`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.reply.error_reports import complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import CLOSING, TextDeltas
from hub.dialects.reply.token_counts import balanced
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.dialects.request.chat_request import AskedMessage, ChatRequest, no_option
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import logprobs_of, with_logprobs
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.json_values import as_count, as_object, as_text, malformed, parse
from hub.domain.prompt import Prompt
from hub.domain.surrogates import whole
from hub.framing import NDJSON, Chunk, Framing, Sniffed

__all__ = ["Ollama"]

DIALECT: Final = "ollama"

_REASONS: Final[Mapping[str, Reason]] = {"length": "length", "tool_calls": "tool"}

# Request fields by OpenAI's or Ollama's own name: those under ``options``, and others.
_OPTIONS: Final = (
    "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty",
    "repeat_penalty", "repeat_last_n", "num_ctx", "num_predict", "num_keep", "typical_p",
    "mirostat", "mirostat_eta", "mirostat_tau",
)  # fmt: skip
_TOP: Final = ("think", "keep_alive", "format", "logprobs", "top_logprobs")
_TRANSLATED: Final = (
    "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    "reasoning_effort",
)  # fmt: skip


class Ollama:
    """Reads one reply of Ollama."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("think",))
        self._speech = TextDeltas(think=chosen.flag_or("think", CLOSING))
        self._calls = ToolCalls()
        self._slots = 0
        self.usage: Usage | None = None
        self._reason: Reason | None = None
        self._over = False

    @property
    def ending(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        asked = ChatRequest(DIALECT, prompt, (*_OPTIONS, *_TOP, *_TRANSLATED))
        return Call("/api/chat", _body(asked), {"Accept": "application/x-ndjson"})

    def framing(self, limit: int) -> Framing:
        return Sniffed(NDJSON(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body = chunk.data.strip()
        if self._over or is_padding(body) or body == b"[DONE]":
            return ()
        try:
            return self._line(parse(body))
        except UpstreamError:
            if self._reason is None:
                raise
            return ()  # broken behind the last line: nothing of the answer is missing

    def _line(self, held: Any) -> list[Event]:
        complaint = complaint_in(held)
        if complaint is not None:
            self._over = True
            return [*self._rest(), complaint.failure(self.usage)]
        if not isinstance(held, dict):
            raise malformed("a line that is not an object")
        found: list[Event] = []
        done = held.get("done") is True
        self._message(held, found, last=done or self._reason is not None)
        if probable := logprobs_of(held.get("logprobs")):
            found = [*with_logprobs([e for e in found if isinstance(e, Delta)], probable)]
        if done:
            self._reason = _REASONS.get(str(held.get("done_reason")), "stop")
        before = self.usage or Usage()
        prompted = as_count(held.get("prompt_eval_count"), before.prompt_tokens)
        answered = as_count(held.get("eval_count"), before.completion_tokens)
        self.usage = balanced(Usage(prompted, answered)) or self.usage
        return found

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        self._over = True
        if self._reason is None:
            return self._rest()
        # Ollama itself says "stop" after a tool call, too.
        reason = "tool" if self._calls and self._reason == "stop" else self._reason
        found = self._rest(complete=reason != "length")
        return [*found, self._calls.ended(Finished(reason=reason, usage=self.usage))]

    def _message(self, held: Mapping[str, Any], found: list[Event], *, last: bool) -> None:
        """What a line says; the ``last`` one may say everything once more."""
        message = held.get("message")
        if message is not None and not isinstance(message, dict):
            raise malformed("a message that is not an object")
        message = message or held
        thought = message.get("thinking") or message.get("reasoning_content")
        if isinstance(thought, str):
            found += self._speech.reason(thought)
        content = message.get("content") or held.get("response")
        if content:
            if not isinstance(content, str):
                raise malformed("content that is not text")
            found += self._speech.say_last(content) if last else self._speech.say(content)
        calls = message.get("tool_calls")
        if calls and last and self._calls:
            found += self._calls.wholes(calls)
        elif calls:
            if not isinstance(calls, list):
                raise malformed("tool calls that are not a list")
            for call in calls:
                self._call(call, found)

    def _call(self, held: Any, found: list[Event]) -> None:
        """A tool call, which comes whole, or its arguments in a line after its name."""
        function = as_object(as_object(held).get("function"))
        name, key = function.get("name"), as_object(held).get("id")
        if name and isinstance(name, str):
            self._slots += 1
        elif name or not function:
            raise malformed("a tool call without the name of a function")
        arguments = function.get("arguments")
        found += self._calls.add(
            self._slots,
            key=whole(key) if isinstance(key, str) else "",
            name=whole(name or ""),
            said=arguments if isinstance(arguments, str) else as_text(arguments or {}),
        )

    def _rest(self, *, complete: bool = False) -> list[Event]:
        return [*self._speech.rest(), *self._calls.end(complete=complete)]


def _body(asked: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [_message(message) for message in asked.messages]}
    if asked.model is not None:
        body["model"] = asked.model
    body.update(asked.copied(_TOP))
    chosen = asked.copied(_OPTIONS)
    if (most := asked.max_tokens) is not None:
        chosen["num_predict"] = most
    if stop := asked.stop:
        chosen["stop"] = stop
    if chosen:
        body["options"] = chosen
    choice = asked.tool_choice
    if choice not in (None, "auto", "none"):
        raise no_option("tool_choice", DIALECT, "the model alone decides, so say auto or none")
    if asked.tools and choice != "none":
        body["tools"] = asked.options["tools"]
    if (output := asked.output) is not None:
        body["format"] = output.schema or "json"
    if (effort := asked.options.get("reasoning_effort")) is not None:
        body["think"] = False if effort == "none" else effort
    body["stream"] = True
    return body


def _message(message: AskedMessage) -> dict[str, Any]:
    """A message in Ollama's form: text apart from pictures, arguments as objects."""
    made: dict[str, Any] = {"role": message.role, "content": message.text}
    if pictures := message.pictures:
        if not all(picture.base64 for picture in pictures):
            raise no_option("image_url", DIALECT, "pictures must be data: URLs here")
        made["images"] = [picture.base64 for picture in pictures]
    if message.calls:
        made["tool_calls"] = [
            {"function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.calls
        ]
    if message.role == "tool" and message.name:
        made["tool_name"] = message.name
    return made
