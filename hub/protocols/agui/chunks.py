"""A conversation as AG-UI events, in the dialect that TanStack AI reads: everybody's messages.

::

    Message       TEXT_MESSAGE_START {messageId, role}, …_CONTENT, …_END
                  TOOL_CALL_RESULT for the result of a tool
    Started       RUN_STARTED, TEXT_MESSAGE_START {role: assistant}
    Delta         TEXT_MESSAGE_CONTENT {delta}
                  REASONING_MESSAGE_START, …_CONTENT, …_END
                  TOOL_CALL_START, …_ARGS {delta}
    Finished      TOOL_CALL_END for each call, and CUSTOM tool-input-available, upon which a
                  client runs the tool; TEXT_MESSAGE_END, RUN_FINISHED
    Failed, Cancelled, Interrupted     TEXT_MESSAGE_END, RUN_ERROR {message, code}

A message without an id is named after its offset. A reply is named after its generation, or
after the message that it continues. A conversation has no end: the protocol says when its
stream closes.

(Sources: AG-UI's "Events", TanStack AI's ``processor.ts``.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from hub.domain.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Failed,
    Finished,
    Message,
    Started,
    Terminal,
    ToolCall,
    Usage,
)
from hub.domain.records import Record
from hub.domain.tool_calls import Call, Calls
from hub.protocols.conversation.view import INTERRUPTED

__all__ = ["AGUIChunks", "AGUIRun"]

Chunk = dict[str, Any]

_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    # "tool_calls" would mean that this run continues, with tools of the server.
    "tool": "stop",
    "filter": "content_filter",
}


@dataclass(slots=True)
class _Run:
    """A generation that has begun and not ended."""

    message: str
    calls: Calls
    thoughts: int = 0
    """Sections of reasoning that have ended."""
    reasoning: bool = False
    """A section of reasoning is open."""

    def add(self, delta: Delta) -> list[Chunk]:
        text: list[Chunk] = []
        if delta.text:
            content = {"messageId": self.message, "delta": delta.text}
            text = [*self.end_reasoning(), {"type": "TEXT_MESSAGE_CONTENT", **content}]
        return [*self._reason(delta.reasoning), *text, *self._call(delta.tool)]

    def _reason(self, text: str) -> list[Chunk]:
        if not text:
            return []
        thought = f"{self.message}_{self.thoughts}"
        begin: list[Chunk] = []
        if not self.reasoning:
            self.reasoning = True
            begin = [
                {"type": "REASONING_START", "messageId": thought},
                {"type": "REASONING_MESSAGE_START", "messageId": thought, "role": "reasoning"},
            ]
        return [*begin, {"type": "REASONING_MESSAGE_CONTENT", "messageId": thought, "delta": text}]

    def end_reasoning(self) -> list[Chunk]:
        """The end of the open section of reasoning, if there is one."""
        if not self.reasoning:
            return []
        thought = f"{self.message}_{self.thoughts}"
        self.reasoning = False
        self.thoughts += 1
        return [
            {"type": "REASONING_MESSAGE_END", "messageId": thought},
            {"type": "REASONING_END", "messageId": thought},
        ]

    def _call(self, piece: ToolCall | None) -> list[Chunk]:
        new = None if piece is None else self.calls.add(piece)
        if new is None:
            return []
        chunks = self.end_reasoning()
        call = {"toolCallId": new.call.id}
        if new.begins:
            named = {"toolCallName": new.call.name, "parentMessageId": self.message}
            chunks.append({"type": "TOOL_CALL_START", **call, **named})
        if new.text:
            chunks.append({"type": "TOOL_CALL_ARGS", **call, "delta": new.text})
        return chunks


class AGUIChunks:
    """The translation of a whole conversation."""

    over = False

    __slots__ = ("_runs", "_thread")

    def __init__(self, thread: str) -> None:
        self._thread = thread
        self._runs: dict[str, _Run] = {}

    def copy(self) -> Self:
        new = type(self)(self._thread)
        new._runs = {name: replace(run, calls=run.calls.copy()) for name, run in self._runs.items()}
        return new

    def add(self, record: Record) -> list[Chunk]:
        event = record.event
        if isinstance(event, Message):
            return _message(event, f"message_{record.offset}")
        if isinstance(event, Started):
            return self._start(event)
        if not isinstance(event, (Delta, *TERMINALS)) or event.generation not in self._runs:
            return []
        run = self._runs[event.generation]
        if isinstance(event, Delta):
            return run.add(event)
        del self._runs[event.generation]
        calls = run.calls.told() if isinstance(event, Finished) else []
        return [
            *run.end_reasoning(),
            *(chunk for call in calls for chunk in _call_end(call)),
            {"type": "TEXT_MESSAGE_END", "messageId": run.message},
            {**self._ids(event.generation), **_end(event)},
        ]

    def _start(self, event: Started) -> list[Chunk]:
        if event.generation in self._runs:
            return []
        name = str(event.extra.get("message", event.generation))
        self._runs[event.generation] = _Run(name, Calls(event.generation))
        return [
            {"type": "RUN_STARTED", **self._ids(event.generation)},
            {"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"},
        ]

    def _ids(self, generation: str) -> Chunk:
        return {"threadId": self._thread, "runId": generation}


class AGUIRun:
    """The translation of one generation alone, under the run id that an AG-UI client gave it.

    AG-UI has a list for the usage, TanStack AI one object.
    """

    def __init__(self, thread: str, generation: str, run: str) -> None:
        self.over = False
        self._ids = (thread, generation, run)
        self._chunks = AGUIChunks(thread)

    def copy(self) -> Self:
        new = type(self)(*self._ids)
        new.over, new._chunks = self.over, self._chunks.copy()
        return new

    def add(self, record: Record) -> list[Chunk]:
        event = record.event
        _, generation, run = self._ids
        if getattr(event, "generation", None) != generation:
            return []
        self.over = isinstance(event, TERMINALS)
        chunks = self._chunks.add(record)
        for chunk in chunks:
            if "runId" in chunk:
                chunk["runId"] = run
            if "usage" in chunk and isinstance(event, Finished) and event.usage is not None:
                chunk["usage"] = [_usage_entry(event.usage)]
        return chunks


def _message(event: Message, default_id: str) -> list[Chunk]:
    call = event.extra.get("tool_call_id")
    message = {"messageId": str(event.extra.get("id") or default_id)}
    if event.role == "tool" and call:
        result = {"toolCallId": str(call), **message, "content": event.text, "role": "tool"}
        return [{"type": "TOOL_CALL_RESULT", **result}]
    content = {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": event.text}
    return [
        {"type": "TEXT_MESSAGE_START", **message, "role": event.role},
        *([content] if event.text else []),
        {"type": "TEXT_MESSAGE_END", **message},
    ]


def _call_end(call: Call) -> list[Chunk]:
    """The end of a call, and the event upon which a client runs it."""
    end = {"type": "TOOL_CALL_END", "toolCallId": call.id, "toolCallName": call.name}
    try:
        arguments = call.input()
    except ValueError:
        return [end]
    value = {"toolCallId": call.id, "toolName": call.name, "input": arguments}
    return [
        {**end, "input": arguments},
        {"type": "CUSTOM", "name": "tool-input-available", "value": value},
    ]


def _end(event: Terminal) -> Chunk:
    if isinstance(event, Finished):
        usage = {} if event.usage is None else {"usage": _usage(event.usage)}
        return {"type": "RUN_FINISHED", "finishReason": _FINISH[event.reason], **usage}
    if isinstance(event, Failed):
        error = {"message": event.message or event.code, "code": event.code}
    elif isinstance(event, Cancelled):
        # TanStack AI's own code, by which a page knows that this is not a failure.
        error = {"message": "stopped", "code": "aborted"}
    else:
        error = {"message": INTERRUPTED, "code": "interrupted"}
    return {"type": "RUN_ERROR", **error, "error": error}


def _usage(usage: Usage) -> Chunk:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "promptTokens": prompt,
        "completionTokens": completion,
        "totalTokens": prompt + completion,
    }


def _usage_entry(usage: Usage) -> Chunk:
    """The usage as an entry of AG-UI's list."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    entry: Chunk = {
        "inputTokens": prompt,
        "outputTokens": completion,
        "totalTokens": prompt + completion,
    }
    if usage.reasoning_tokens is not None:
        entry["reasoningTokens"] = usage.reasoning_tokens
    if usage.cached_tokens is not None:
        entry["cachedInputTokens"] = usage.cached_tokens
    return entry
