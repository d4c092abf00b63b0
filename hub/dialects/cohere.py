"""Cohere's chat, version 2 (``/v2/chat``).

Events are told apart by their ``type``: ``content-delta`` with ``delta.message.content.text`` (or
``.thinking``), ``tool-plan-delta``, ``tool-call-start``, ``-delta`` and ``-end``, and finally
``message-end`` with the reason and the token counts. Without the last the reply was cut off. The
plan, in which the model writes about the tools that it is going to use, is given as reasoning. An
answer that is not streamed holds everything in ``message``.

Some gateways still answer in version 1, which is read too: events have an ``event_type``, their
pieces stand at the top, calls have no ids, and ``stream-end`` repeats the whole answer, of which
only what the pieces lacked counts.

Logprobs stand beside a text, as ``{"text","token_ids","logprobs"}`` of one or several tokens. What
the text of each of several is, Cohere does not say, so they are given as one, with the sum.

The tokens counted are those that the model has read and written (``usage.tokens``), where these are
given; those billed are fewer.

The upstream's ``url`` ends before ``/v2``. A ``reasoning_effort`` other than ``none`` turns
thinking on; Cohere has no degrees of it. Options: ``think`` (false): see
`hub.dialects.reply.think_tags`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.reply.error_reports import ErrorReport, find_error
from hub.dialects.reply.reply_reader import ObjectReader
from hub.dialects.reply.text_deltas import CLOSING
from hub.dialects.reply.token_counts import balanced
from hub.dialects.request.chat_request import (
    TRANSLATED,
    ChatMessage,
    ChatRequest,
    Part,
    Picture,
    Tool,
    no_option,
    present,
)
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, citation, logprobs_of, with_logprobs
from hub.domain.events import NOTHING, Delta, Event, Reason, Usage
from hub.domain.json_values import as_count, as_list, as_object, malformed
from hub.domain.prompt import Prompt
from hub.domain.surrogates import whole
from hub.framing import Chunk

__all__ = ["Cohere"]

DIALECT: Final = "cohere"

_REASONS: Final[Mapping[str, Reason]] = {
    "MAX_TOKENS": "length", "ERROR_LIMIT": "length", "TOOL_CALL": "tool", "ERROR_TOXIC": "filter",
    "content_filter": "filter",
}  # fmt: skip
_FAILURES: Final = ("ERROR", "TIMEOUT", "USER_CANCEL")

_SAME: Final = (
    "temperature", "seed", "frequency_penalty", "presence_penalty", "p", "k", "safety_mode",
    "citation_options", "documents", "strict_tools", "thinking", "priority", "stop_sequences",
    "logprobs",
)  # fmt: skip
# The request's fields by OpenAI's names of the options, or by Cohere's own.
_OPTIONS: Final[Mapping[str, str]] = {"top_p": "p", "top_k": "k", **{n: n for n in _SAME}}


class Cohere(ObjectReader):
    """Reads one reply of Cohere."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(think=Options(DIALECT, options, ("think",)).flag_or("think", CLOSING))

    def call(self, prompt: Prompt) -> Call:
        request = ChatRequest(DIALECT, prompt, (*_OPTIONS, *TRANSLATED))
        return Call("/v2/chat", _body(request), {"Accept": "text/event-stream"})

    def _read(self, held: Any, chunk: Chunk) -> Iterable[Event]:
        report = find_error(held)
        if report is not None:
            return self._fail(report)
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
        at_once = message is None and not kind  # not streamed, or everything again after the pieces
        message = held.get("message") if at_once else message
        if at_once and (self._text.begun or self._calls):
            found = self._whole(message)
        else:
            found = self._message(_object(message, "a message"), held.get("index"))
            found = _with_logprobs(found, held.get("logprobs"))
        return [*found, *self._end(held)] if held.get("finish_reason") else found

    def _version_1(self, held: Mapping[str, Any]) -> list[Event]:
        kind = held.get("event_type")
        if kind == "text-generation":
            return self._part(held)
        if kind == "tool-calls-chunk":
            return [*self._calls.pieces(_to_version_2([held.get("tool_call_delta")]))]
        if kind == "tool-calls-generation":
            return [*self._calls.wholes(_to_version_2(held.get("tool_calls")))]
        if kind not in (None, "stream-end"):
            return []
        answer = _object(held.get("response"), "a response") if kind else held
        text = answer.get("text")
        found: list[Event] = [*self._text.add_whole("text", text if isinstance(text, str) else "")]
        found += self._calls.wholes(_to_version_2(answer.get("tool_calls")))
        reason = held.get("finish_reason") or answer.get("finish_reason")
        return [*found, *self._end({"finish_reason": reason, "usage": answer.get("meta")})]

    def _whole(self, message: Any) -> list[Event]:
        """The whole answer after its pieces: what they lacked."""
        message = _object(message, "a message")
        content = message.get("content")
        parts = [as_object(part) for part in as_list(content)]
        texts = [content] if isinstance(content, str) else [part.get("text") for part in parts]
        thoughts = [message.get("tool_plan"), *(part.get("thinking") for part in parts)]
        reasoning = "".join(text for text in thoughts if isinstance(text, str))
        text = "".join(text for text in texts if isinstance(text, str))
        return [
            *self._text.add_whole("reasoning", reasoning),
            *self._text.add_whole("text", text),
            *self._calls.wholes(message.get("tool_calls")),
        ]

    def _message(self, message: Mapping[str, Any], index: Any) -> list[Event]:
        found: list[Event] = []
        if isinstance(plan := message.get("tool_plan"), str):
            found += self._text.reason(plan)
        content, cited = message.get("content"), message.get("citations")
        for part in content if isinstance(content, list) else [content]:
            found += self._part(part)
        found += annotated(map(_citation, cited if isinstance(cited, list) else [cited]))
        calls = message.get("tool_calls")
        if isinstance(calls, dict):
            calls = [calls | ({} if index is None else {"index": index})]
        return [*found, *self._calls.pieces(calls)]

    def _part(self, part: Any) -> list[Event]:
        if isinstance(part, str):
            return [*self._text.say(part)]
        held = _object(part, "content")
        found: list[Event] = []
        if isinstance(thought := held.get("thinking"), str):
            found += self._text.reason(thought)
        if isinstance(text := held.get("text"), str):
            found += self._text.say(text)
        return found

    def _end(self, held: Mapping[str, Any]) -> list[Event]:
        self._count(as_object(held.get("usage")))
        reason = held.get("finish_reason")
        reason = reason if isinstance(reason, str) else ""
        report = find_error({"error": held.get("error")})
        if report is not None or reason in _FAILURES:
            return self._fail(report or ErrorReport(f'finish_reason "{reason}"'))
        return self._finish(_REASONS.get(reason, "stop"))

    def _count(self, held: Mapping[str, Any]) -> None:
        tokens, billed = as_object(held.get("tokens")), as_object(held.get("billed_units"))
        usage = Usage(
            prompt_tokens=as_count(tokens.get("input_tokens"), billed.get("input_tokens")),
            completion_tokens=as_count(tokens.get("output_tokens"), billed.get("output_tokens")),
            reasoning_tokens=as_count(tokens.get("reasoning_tokens")),
            cached_tokens=as_count(held.get("cached_tokens")),
        )
        self.usage = balanced(usage) or self.usage


def _to_version_2(held: Any) -> list[dict[str, Any]]:
    """Calls of version 1, or a piece of one, in the form of version 2."""
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


def _with_logprobs(events: list[Event], held: Any) -> list[Event]:
    """The events of a message, with the logprobs beside it at the first that has text."""
    tokens = logprobs_of([_token(item) for item in (held if isinstance(held, list) else [held])])
    if not tokens:
        return events
    for place, event in enumerate(events):
        if isinstance(event, Delta) and event.text:
            return [*events[:place], *with_logprobs([event], tokens), *events[place + 1 :]]
    return [*events, *with_logprobs([], tokens)]


def _token(held: Any) -> dict[str, Any] | None:
    """The logprob of a text in OpenAI's form; ``None`` if it has none."""
    item = as_object(held)
    text, each = item.get("text"), as_list(item.get("logprobs"))
    if not isinstance(text, str) or not each:
        return None
    if not all(type(logprob) in (int, float) for logprob in each):
        return None
    return {"token": text, "logprob": sum(each), "bytes": list(whole(text).encode())}


def _citation(held: Any) -> dict[str, Any] | None:
    """A citation, which may have several sources."""
    cited = as_object(held)
    sources = [as_object(source) for source in cited.get("sources") or ()]
    if not cited.get("text") or not sources:
        return None
    documents = [as_object(one.get("document") or one.get("tool_output")) for one in sources]
    first = documents[0]
    return citation(
        first.get("url"),
        title=first.get("title"),
        filename=None if first.get("url") else first.get("title") or sources[0].get("id"),
        start=as_count(cited.get("start")),
        end=as_count(cited.get("end")),
        content=cited["text"],
        sources=sources if len(sources) > 1 else None,
    )


def _object(held: Any, what: str) -> Mapping[str, Any]:
    if held is not None and not isinstance(held, dict):
        raise malformed(f"{what} that is not an object")
    return held or NOTHING


def _body(request: ChatRequest) -> dict[str, Any]:
    tools, choice, output = request.tools, request.tool_choice, request.output
    if isinstance(choice, Tool):
        # Cohere can be told to call a tool, but not which one: enough if only one is offered.
        if [tool.name for tool in tools] != [choice.name]:
            why = "one of several tools cannot be asked for here, so offer that one alone"
            raise no_option("tool_choice", DIALECT, why)
        choice = "required"
    body = request.copied(_OPTIONS) | present(
        model=request.model,
        messages=[_message(message) for message in request.messages],
        max_tokens=request.max_tokens,
        stop_sequences=request.stop or None,
        tools=[_tool(tool) for tool in tools] or None,
        tool_choice=choice.upper() if choice in ("required", "none") else None,
        response_format=output and present(type="json_object", json_schema=output.schema or None),
        stream=True,
    )
    if any(tool.strict for tool in tools):
        body.setdefault("strict_tools", True)
    if effort := request.options.get("reasoning_effort"):
        body.setdefault("thinking", {"type": "disabled" if effort == "none" else "enabled"})
    return body


def _message(message: ChatMessage) -> dict[str, Any]:
    if message.pictures and message.role != "user":
        raise no_option("image_url", DIALECT, "only a user's message may have a picture")
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text},
        }
        for call in message.calls
    ]
    content: Any = message.text if message.text or not calls else None
    if message.pictures:
        content = [_part(part) for part in message.parts]
    key = message.call_id or None
    return present(role=message.role, tool_call_id=key, content=content, tool_calls=calls or None)


def _part(part: Part) -> dict[str, Any]:
    if not isinstance(part, Picture):  # `ChatRequest` has refused files
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": present(url=part.url, detail=part.detail or None)}


def _tool(tool: Tool) -> dict[str, Any]:
    schema = tool.parameters or {"type": "object", "properties": {}}
    function = present(name=tool.name, description=tool.description, parameters=schema)
    return {"type": "function", "function": function}
