"""Ollama's ``/api/chat``: one JSON object a line.

The lines are like ``{"message":{"role":"assistant","content":"Hi","thinking":"…"},"done":false}``;
the last has ``"done":true``, ``done_reason`` and the token counts. Programs that imitate Ollama are
less strict: they send two lines that are done, with a tool call in between; ``response`` instead of
``message``, or a null ``message``; no ``done_reason``; reasoning as ``reasoning_content``. So the
reply ends with its body, and is complete if any line was done. ``{"error": "…"}``, which comes
under HTTP 200 too, always ends it.

Pictures are part of the message, in base64, and so is what the model thought before
(`hub.dialects.reply.thoughts`). Options: ``think`` (false): see
`hub.dialects.reply.think_tags`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.reply.error_reports import find_error
from hub.dialects.reply.reply_reader import ObjectReader, expect
from hub.dialects.reply.text_deltas import CLOSING
from hub.dialects.reply.thoughts import THINKING, Thoughts
from hub.dialects.reply.token_counts import balanced
from hub.dialects.request.chat_request import (
    TRANSLATED,
    ChatMessage,
    ChatRequest,
    no_option,
    present,
)
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import logprobs_of, with_logprobs
from hub.domain.events import NOTHING, Delta, Event, Reason, Usage
from hub.domain.json_values import as_count, as_object, as_string, as_text, malformed
from hub.domain.prompt import Prompt
from hub.framing import NDJSON, Chunk, Framing, Sniffed

__all__ = ["Ollama"]

DIALECT: Final = "ollama"

_REASONS: Final[Mapping[str, Reason]] = {"length": "length", "tool_calls": "tool"}

# Options under OpenAI's or Ollama's own name: those that go into ``options``, and others.
_OPTIONS: Final = (
    "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty",
    "repeat_penalty", "repeat_last_n", "num_ctx", "num_predict", "num_keep", "typical_p",
    "mirostat", "mirostat_eta", "mirostat_tau",
)  # fmt: skip
_TOP: Final = ("think", "keep_alive", "format", "logprobs", "top_logprobs")


class Ollama(ObjectReader):
    """Reads one reply of Ollama."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(think=Options(DIALECT, options, ("think",)).flag_or("think", CLOSING))
        self._slots = 0
        self._thoughts = Thoughts()

    def call(self, prompt: Prompt) -> Call:
        request = ChatRequest(DIALECT, prompt, (*_OPTIONS, *_TOP, *TRANSLATED))
        return Call("/api/chat", _body(request), {"Accept": "application/x-ndjson"})

    def framing(self, limit: int) -> Framing:
        return Sniffed(NDJSON(limit), limit)

    def _read(self, held: Any, chunk: Chunk) -> Iterable[Event]:
        report = find_error(held)
        if report is not None:
            return self._fail(report)
        if not isinstance(held, dict):
            raise malformed("a line that is not an object")
        done = held.get("done") is True
        found: list[Event] = [*self._message(held, last=done or self._reason is not None)]
        if logprobs := logprobs_of(held.get("logprobs")):
            deltas = [event for event in found if isinstance(event, Delta)]
            found = [*with_logprobs(deltas, logprobs)]
        if done:
            self._reason = str(held.get("done_reason"))
        before = self.usage or Usage()
        prompted = as_count(held.get("prompt_eval_count"), before.prompt_tokens)
        answered = as_count(held.get("eval_count"), before.completion_tokens)
        self.usage = balanced(Usage(prompted, answered)) or self.usage
        return found

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over or self._reason is None:
            return super().close(clean=clean)
        return self._finish(_REASONS.get(self._reason, "stop"), beside=self._thoughts.deltas())

    def _message(self, held: Mapping[str, Any], *, last: bool) -> list[Delta]:
        """The deltas of a line; the ``last`` one may repeat the whole answer."""
        message = held.get("message")
        if message is not None and not isinstance(message, dict):
            raise malformed("a message that is not an object")
        message = message or held
        found: list[Delta] = []
        thought = message.get(THINKING) or message.get("reasoning_content")
        if isinstance(thought, str):
            found += self._text.reason(thought)
            if message.get(THINKING):
                self._thoughts.add(found)
        if content := message.get("content") or held.get("response"):
            content = expect(content, str, "content that is not text")
            found += (self._text.add_last if last else self._text.add)("text", content)
        calls = message.get("tool_calls") or []
        if calls and last and self._calls:
            return [*found, *self._calls.wholes(calls)]
        for call in expect(calls, list, "tool calls that are not a list"):
            found += self._call(as_object(call))
        return found

    def _call(self, held: Mapping[str, Any]) -> list[Delta]:
        """A tool call: whole, or its name in one line and its arguments in the next."""
        function = as_object(held.get("function"))
        name, arguments = function.get("name"), function.get("arguments")
        if name and isinstance(name, str):
            self._slots += 1
        elif name or not function:
            raise malformed("a tool call without the name of a function")
        return self._calls.add(
            self._slots,
            key=as_string(held.get("id")),
            name=as_string(name),
            arguments=arguments if isinstance(arguments, str) else as_text(arguments or {}),
        )


def _body(request: ChatRequest) -> dict[str, Any]:
    choice, output = request.tool_choice, request.output
    if choice not in (None, "auto", "none"):
        raise no_option("tool_choice", DIALECT, "the model alone decides, so say auto or none")
    options = request.copied(_OPTIONS)
    options |= present(num_predict=request.max_tokens, stop=request.stop or None)
    effort = request.options.get("reasoning_effort")
    return request.copied(_TOP) | present(
        model=request.model,
        messages=[_message(message) for message in request.messages],
        options=options or None,
        tools=request.options["tools"] if request.tools and choice != "none" else None,
        format=output and (output.schema or "json"),
        think=False if effort == "none" else effort,
        stream=True,
    )


def _message(message: ChatMessage) -> dict[str, Any]:
    """A message in Ollama's form: text apart from pictures, arguments as objects."""
    if not all(picture.base64 for picture in message.pictures):
        raise no_option("image_url", DIALECT, "pictures must be data: URLs")
    calls = [
        {"function": {"name": call.name, "arguments": dict(call.arguments)}}
        for call in message.calls
    ]
    thoughts = (str(one.get("text")) for one in message.owned if one.get("format") == THINKING)
    return present(
        role=message.role,
        content=message.text,
        thinking="".join(thoughts) or None,
        images=[picture.base64 for picture in message.pictures] or None,
        tool_calls=calls or None,
        tool_name=message.name if message.role == "tool" and message.name else None,
    )
