"""A conversation in the events of AG-UI, as TanStack AI reads them: everybody's messages.

::

    Message       TEXT_MESSAGE_START {messageId, role}, …_CONTENT, …_END
                  TOOL_CALL_RESULT for what a tool gave
    Started       RUN_STARTED, TEXT_MESSAGE_START {role: assistant}
    Delta         TEXT_MESSAGE_CONTENT {delta}
                  REASONING_MESSAGE_START, …_CONTENT, …_END
                  TOOL_CALL_START, …_ARGS {delta}
    Finished      TOOL_CALL_END for each call, and CUSTOM tool-input-available, which has a
                  client carry it out; TEXT_MESSAGE_END, RUN_FINISHED
    Failed, Cancelled, Interrupted     TEXT_MESSAGE_END, RUN_ERROR {message, code}

A message without an id is named after where it stands. A reply is named after its generation,
or is the message that it goes on with. A conversation has no end: that a stream closes is for
the protocol to say.

(Sources: AG-UI's "Events", TanStack AI's ``processor.ts``.)
"""

from __future__ import annotations

from typing import Any, Final, Self

from hub.domain.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Started,
    Terminal,
    ToolCall,
    Usage,
)
from hub.domain.records import Record
from hub.domain.tool_calls import Call, Calls

__all__ = ["AGUIChunks", "AGUIRun"]

Chunk = dict[str, Any]

_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    # "tool_calls" would tell a client that this run goes on, with tools of the server's.
    "tool": "stop",
    "filter": "content_filter",
}


class _Run:
    """A generation that has begun and not ended."""

    __slots__ = ("calls", "message", "reasoning", "thoughts")

    def __init__(self, generation: str, message: str) -> None:
        self.message = message
        self.calls = Calls(generation)
        self.thoughts = 0
        """How many stretches of reasoning it has had."""
        self.reasoning = False
        """One of them goes on."""

    def copy(self) -> _Run:
        made = _Run("", self.message)
        made.calls = self.calls.copy()
        made.thoughts, made.reasoning = self.thoughts, self.reasoning
        return made

    @property
    def thought(self) -> str:
        return f"{self.message}_{self.thoughts}"


class AGUIChunks:
    """What has been told of a conversation, and what its next record adds to that."""

    over = False

    __slots__ = ("_runs", "_thread")

    def __init__(self, thread: str) -> None:
        self._thread = thread
        self._runs: dict[str, _Run] = {}

    def copy(self) -> Self:
        """Another that has told the same."""
        made = type(self)(self._thread)
        made._runs = {name: run.copy() for name, run in self._runs.items()}
        return made

    def told(self, record: Record) -> list[Chunk]:
        """The chunks of the next record."""
        event = record.event
        if isinstance(event, Message):
            return _message(event, f"message_{record.offset}")
        if isinstance(event, Started):
            return self._started(event)
        run = self._runs.get(getattr(event, "generation", ""))
        return [] if run is None or event is None else self._run(run, event)

    def _started(self, event: Started) -> list[Chunk]:
        if event.generation in self._runs:
            return []
        name = str(event.extra.get("message", event.generation))
        self._runs[event.generation] = _Run(event.generation, name)
        return [
            {"type": "RUN_STARTED", **self._named(event.generation)},
            {"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"},
        ]

    def _named(self, generation: str) -> Chunk:
        return {"threadId": self._thread, "runId": generation}

    def _run(self, run: _Run, event: Event) -> list[Chunk]:
        match event:
            case Delta():
                return [
                    *_reasoned(run, event.reasoning),
                    *_said(run, event.text),
                    *_called(run, event.tool),
                ]
            case Finished() | Failed() | Cancelled() | Interrupted():
                del self._runs[event.generation]
                return [
                    *_reasoned_all(run),
                    *(chunk for call in _whole(run, event) for chunk in _ready(call)),
                    {"type": "TEXT_MESSAGE_END", "messageId": run.message},
                    {**self._named(event.generation), **_ending(event)},
                ]
        return []


class AGUIRun:
    """One generation as the run that a client of AG-UI asked for: only it, and by its name.

    AG-UI has a list of what was used, where TanStack AI has one object.
    """

    def __init__(self, thread: str, generation: str, run: str) -> None:
        self.over = False
        self._asked = (thread, generation, run)
        self._chunks = AGUIChunks(thread)

    def copy(self) -> Self:
        """Another that has told the same."""
        made = type(self)(*self._asked)
        made.over, made._chunks = self.over, self._chunks.copy()
        return made

    def told(self, record: Record) -> list[Chunk]:
        """The chunks of the next record."""
        event = record.event
        _, generation, run = self._asked
        if getattr(event, "generation", None) != generation:
            return []
        self.over = isinstance(event, TERMINALS)
        chunks = self._chunks.told(record)
        for chunk in chunks:
            if "runId" in chunk:
                chunk["runId"] = run
            if "usage" in chunk and isinstance(event, Finished) and event.usage is not None:
                chunk["usage"] = [_entry(event.usage)]
        return chunks


def _message(event: Message, otherwise: str) -> list[Chunk]:
    call = event.extra.get("tool_call_id")
    name = str(event.extra.get("id") or otherwise)
    if event.role == "tool" and call:
        result = _call("TOOL_CALL_RESULT", str(call))
        return [{**result, "messageId": name, "content": event.text, "role": "tool"}]
    content = {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": event.text}
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": name, "role": event.role},
        *([content] if event.text else []),
        {"type": "TEXT_MESSAGE_END", "messageId": name},
    ]


def _said(run: _Run, text: str) -> list[Chunk]:
    if not text:
        return []
    content = {"type": "TEXT_MESSAGE_CONTENT", "messageId": run.message, "delta": text}
    return [*_reasoned_all(run), content]


def _reasoned(run: _Run, text: str) -> list[Chunk]:
    if not text:
        return []
    begun: list[Chunk] = []
    if not run.reasoning:
        run.reasoning = True
        begun = [
            {"type": "REASONING_START", "messageId": run.thought},
            {"type": "REASONING_MESSAGE_START", "messageId": run.thought, "role": "reasoning"},
        ]
    content = {"type": "REASONING_MESSAGE_CONTENT", "messageId": run.thought, "delta": text}
    return [*begun, content]


def _reasoned_all(run: _Run) -> list[Chunk]:
    """The end of the reasoning that goes on, if any does."""
    if not run.reasoning:
        return []
    thought, run.reasoning = run.thought, False
    run.thoughts += 1
    return [
        {"type": "REASONING_MESSAGE_END", "messageId": thought},
        {"type": "REASONING_END", "messageId": thought},
    ]


def _called(run: _Run, piece: ToolCall | None) -> list[Chunk]:
    new = None if piece is None else run.calls.add(piece)
    if new is None:
        return []
    chunks = _reasoned_all(run)
    call = new.call
    if new.begins:
        begun = {"toolCallName": call.name, "parentMessageId": run.message}
        chunks.append({**_call("TOOL_CALL_START", call.id), **begun})
    if new.text:
        chunks.append({**_call("TOOL_CALL_ARGS", call.id), "delta": new.text})
    return chunks


def _whole(run: _Run, event: Terminal) -> list[Call]:
    """The calls that are whole: those of an answer that is."""
    return run.calls.told() if isinstance(event, Finished) else []


def _ready(call: Call) -> list[Chunk]:
    """The end of a call, and the word that has a client carry it out."""
    ended = {**_call("TOOL_CALL_END", call.id), "toolCallName": call.name}
    try:
        held = call.input()
    except ValueError:
        return [ended]
    value = {"toolCallId": call.id, "toolName": call.name, "input": held}
    return [
        {**ended, "input": held},
        {"type": "CUSTOM", "name": "tool-input-available", "value": value},
    ]


def _call(kind: str, call: str) -> Chunk:
    return {"type": kind, "toolCallId": call}


def _ending(event: Terminal) -> Chunk:
    if isinstance(event, Finished):
        usage = {} if event.usage is None else {"usage": _usage(event.usage)}
        return {"type": "RUN_FINISHED", "finishReason": _FINISH[event.reason], **usage}
    if isinstance(event, Failed):
        return _error(event.message or event.code, event.code)
    if isinstance(event, Cancelled):
        # TanStack AI's own code, by which a page knows that nothing went wrong.
        return _error("stopped", "aborted")
    return _error("the hub went away before the end of this answer: ask again", "interrupted")


def _error(message: str, code: str) -> Chunk:
    told = {"message": message, "code": code}
    return {"type": "RUN_ERROR", **told, "error": told}


def _usage(usage: Usage) -> Chunk:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "promptTokens": prompt,
        "completionTokens": completion,
        "totalTokens": prompt + completion,
    }


def _entry(usage: Usage) -> Chunk:
    """What was used, as AG-UI lists it."""
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
