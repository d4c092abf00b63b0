"""Cohere's chat, version 2 (``/v2/chat``).

Named events whose ``type`` counts: ``content-delta`` with ``delta.message.content.text`` (or
``.thinking``), ``tool-plan-delta``, ``tool-call-start``, ``-delta`` and ``-end``, and at last
``message-end`` with the reason and the counts. Without that the reply was cut off. What the
model writes about the tools that it is going to use, the plan, is given as reasoning.
Citations are no event here. An answer that is not streamed holds all of it in ``message``.

Some gateways still answer in version 1, which is read, too: an ``event_type``, the pieces at
the top, calls without ids, and in ``stream-end`` the whole answer once more, of which only what
the pieces lacked counts.

The tokens counted are those the model saw and made (``usage.tokens``), where they are told;
those billed are fewer.

The upstream's ``url`` ends before ``/v2``. A ``reasoning_effort`` other than ``none`` turns
thinking on, of which there are no degrees. Options: ``think`` (false): split ``<think>`` off
the text, or
with ``"closing"`` what comes before a ``</think>`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.reply.error_reports import ErrorReport, announced, complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import CLOSING, TextDeltas
from hub.dialects.reply.token_counts import balanced
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.dialects.request.chat_request import (
    AskedMessage,
    ChatRequest,
    Part,
    Picture,
    Tool,
    no_option,
)
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, citation
from hub.domain.events import NOTHING, Event, Finished, Reason, Usage
from hub.domain.json_values import as_count, as_object, malformed, parse
from hub.domain.prompt import Prompt
from hub.framing import SSE, Chunk, Framing, Sniffed

__all__ = ["Cohere"]

DIALECT: Final = "cohere"

_REASONS: Final[Mapping[str, Reason]] = {
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool",
    "ERROR_TOXIC": "filter",
    "content_filter": "filter",
}
_FAILURES: Final[Mapping[str, str]] = {
    "ERROR": "upstream_error",
    "TIMEOUT": "upstream_error",
    "USER_CANCEL": "upstream_error",
}

# Request fields: OpenAI's name, or Cohere's own, and the one in the request.
_OPTIONS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "top_p": "p",
    "p": "p",
    "top_k": "k",
    "k": "k",
    "safety_mode": "safety_mode",
    "citation_options": "citation_options",
    "documents": "documents",
    "strict_tools": "strict_tools",
    "thinking": "thinking",
    "priority": "priority",
    "stop_sequences": "stop_sequences",
}
_TRANSLATED: Final = (
    "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    "reasoning_effort",
)  # fmt: skip


class Cohere:
    """Reads one reply of Cohere."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("think",))
        self._speech = TextDeltas(think=chosen.flag_or("think", CLOSING))
        self._calls = ToolCalls()
        self.usage: Usage | None = None
        self._over = False

    @property
    def ending(self) -> bool:
        return False

    def call(self, prompt: Prompt) -> Call:
        asked = ChatRequest(DIALECT, prompt, (*_OPTIONS, *_TRANSLATED))
        return Call("/v2/chat", _body(asked), {"Accept": "text/event-stream"})

    def framing(self, limit: int) -> Framing:
        return Sniffed(SSE(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body = chunk.data.strip()
        if self._over or not body or body == b"[DONE]":
            return ()
        if chunk.event == "error":
            return self._fail(announced(body))
        if is_padding(body):
            return ()
        held = parse(body)
        complaint = complaint_in(held)
        if complaint is not None:
            return self._fail(complaint)
        if not isinstance(held, dict):
            raise malformed("a chunk that is not an object")
        if "event_type" in held or isinstance(held.get("text"), str):
            return self._version_1(held)
        kind = held.get("type")
        kind = kind if isinstance(kind, str) else chunk.event
        delta = as_object(held.get("delta"))
        if kind == "message-end":
            return [*self._whole(delta.get("message")), *self._end(delta)]
        message = delta.get("message")
        if message is None and not kind:
            message = held.get("message")  # an answer that is not streamed, or once more
            if self._speech.begun or self._calls:
                found = self._whole(message)
                return [*found, *self._end(held)] if held.get("finish_reason") else found
        found = self._message(_object(message, "a message"), held.get("index"))
        return [*found, *self._end(held)] if held.get("finish_reason") else found

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        self._over = True
        return self._rest()

    def _version_1(self, held: Mapping[str, Any]) -> list[Event]:
        kind = held.get("event_type")
        if kind == "text-generation":
            return self._part(held)
        if kind == "tool-calls-chunk":
            return [*self._calls.pieces(_of_version_2([held.get("tool_call_delta")]))]
        if kind == "tool-calls-generation":
            return [*self._calls.wholes(_of_version_2(held.get("tool_calls")))]
        if kind not in (None, "stream-end"):
            return []
        answer = _object(held.get("response"), "a response") if kind else held
        text = answer.get("text")
        found: list[Event] = [*self._speech.say_whole(text if isinstance(text, str) else "")]
        found += self._calls.wholes(_of_version_2(answer.get("tool_calls")))
        why = held.get("finish_reason") or answer.get("finish_reason")
        return [*found, *self._end({"finish_reason": why, "usage": answer.get("meta")})]

    def _whole(self, message: Any) -> list[Event]:
        """The whole answer after its pieces: what they lacked."""
        said = _object(message, "a message")
        content = said.get("content")
        parts = [as_object(part) for part in content] if isinstance(content, list) else []
        texts = [content] if isinstance(content, str) else [part.get("text") for part in parts]
        thoughts = [said.get("tool_plan"), *(part.get("thinking") for part in parts)]
        return [
            *self._speech.reason_whole("".join(t for t in thoughts if isinstance(t, str))),
            *self._speech.say_whole("".join(text for text in texts if isinstance(text, str))),
            *self._calls.wholes(said.get("tool_calls")),
        ]

    def _message(self, message: Mapping[str, Any], index: Any) -> list[Event]:
        found: list[Event] = []
        plan = message.get("tool_plan")
        if isinstance(plan, str):
            found += self._speech.reason(plan)
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            found += self._part(part)
        cited = message.get("citations")
        found += annotated(map(_citation, cited if isinstance(cited, list) else [cited]))
        calls = message.get("tool_calls")
        if isinstance(calls, dict):
            calls = [calls | ({} if index is None else {"index": index})]
        return [*found, *self._calls.pieces(calls)]

    def _part(self, part: Any) -> list[Event]:
        if isinstance(part, str):
            return [*self._speech.say(part)]
        said = _object(part, "content")
        found: list[Event] = []
        if isinstance(thought := said.get("thinking"), str):
            found += self._speech.reason(thought)
        if isinstance(text := said.get("text"), str):
            found += self._speech.say(text)
        return found

    def _end(self, held: Mapping[str, Any]) -> list[Event]:
        self._count(as_object(held.get("usage")))
        said = held.get("finish_reason")
        why = said if isinstance(said, str) else ""
        complaint = complaint_in({"error": held.get("error")})
        if complaint is not None or why in _FAILURES:
            return self._fail(complaint or ErrorReport(f'finish_reason "{why}"', _FAILURES[why]))
        reason = _REASONS.get(why, "stop")
        if reason == "stop" and self._calls:
            reason = "tool"
        found = self._rest(complete=reason != "length")
        self._over = True
        return [*found, self._calls.ended(Finished(reason=reason, usage=self.usage))]

    def _count(self, held: Mapping[str, Any]) -> None:
        seen, billed = as_object(held.get("tokens")), as_object(held.get("billed_units"))
        said = Usage(
            prompt_tokens=as_count(seen.get("input_tokens"), billed.get("input_tokens")),
            completion_tokens=as_count(seen.get("output_tokens"), billed.get("output_tokens")),
            reasoning_tokens=as_count(seen.get("reasoning_tokens")),
            cached_tokens=as_count(held.get("cached_tokens")),
        )
        self.usage = balanced(said) or self.usage

    def _fail(self, complaint: ErrorReport) -> list[Event]:
        found = self._rest()
        self._over = True
        return [*found, complaint.failure(self.usage)]

    def _rest(self, *, complete: bool = False) -> list[Event]:
        return [*self._speech.rest(), *self._calls.end(complete=complete)]


def _of_version_2(held: Any) -> list[dict[str, Any]]:
    """Calls, or one piece of one, in the words of version 2."""
    if held and not isinstance(held, list):
        raise malformed("tool calls that are not a list")
    return [
        {
            "index": call.get("index", place),
            "function": {"name": call.get("name"), "arguments": call.get("parameters")},
        }
        for place, call in enumerate(_object(each, "a call") for each in held or ())
        if call.get("name") or call.get("parameters")
    ]


def _citation(held: Any) -> dict[str, Any] | None:
    """A citation, which may be of several sources."""
    said = as_object(held)
    sources = [as_object(source) for source in said.get("sources") or ()]
    if not said.get("text") or not sources:
        return None
    documents = [as_object(one.get("document") or one.get("tool_output")) for one in sources]
    first = documents[0]
    return citation(
        first.get("url"),
        title=first.get("title"),
        filename=None if first.get("url") else first.get("title") or sources[0].get("id"),
        start=as_count(said.get("start")),
        end=as_count(said.get("end")),
        content=said["text"],
        sources=sources if len(sources) > 1 else None,
    )


def _object(held: Any, what: str) -> Mapping[str, Any]:
    if held is not None and not isinstance(held, dict):
        raise malformed(f"{what} of a strange kind")
    return held or NOTHING


def _body(asked: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = asked.copied(_OPTIONS)
    if asked.model is not None:
        body["model"] = asked.model
    body["messages"] = [_asked(message) for message in asked.messages]
    if (most := asked.max_tokens) is not None:
        body["max_tokens"] = most
    if stop := asked.stop:
        body["stop_sequences"] = stop
    if tools := asked.tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if any(tool.strict for tool in tools):
            body.setdefault("strict_tools", True)
    choice = asked.tool_choice
    if isinstance(choice, Tool):
        # Cohere can be told to call a tool, but not which one: enough where there is one alone.
        if [tool.name for tool in asked.tools] != [choice.name]:
            reason = "one of several tools cannot be asked for here, so offer that one alone"
            raise no_option("tool_choice", DIALECT, reason)
        choice = "required"
    if choice in ("required", "none"):
        body["tool_choice"] = choice.upper()
    if (output := asked.output) is not None:
        made: dict[str, Any] = {"type": "json_object"}
        body["response_format"] = made | ({"json_schema": output.schema} if output.schema else {})
    if effort := asked.options.get("reasoning_effort"):
        kind = "disabled" if effort == "none" else "enabled"
        body.setdefault("thinking", {"type": kind})
    body["stream"] = True
    return body


def _asked(message: AskedMessage) -> dict[str, Any]:
    """A message as Cohere wants it."""
    if message.pictures and message.role != "user":
        raise no_option("image_url", DIALECT, "only a user's message may have a picture")
    made: dict[str, Any] = {"role": message.role}
    if message.role == "tool":
        made["tool_call_id"] = message.answers
    if message.pictures:
        made["content"] = [_picture_or_text(part) for part in message.parts]
    elif message.text or not message.calls:
        made["content"] = message.text
    if message.calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_text},
            }
            for call in message.calls
        ]
    return made


def _picture_or_text(part: Part) -> dict[str, Any]:
    if not isinstance(part, Picture):  # there are no files: see `ChatRequest`
        return {"type": "text", "text": part}
    picture = {"url": part.url} | ({"detail": part.detail} if part.detail else {})
    return {"type": "image_url", "image_url": picture}


def _tool(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    made["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": made}
