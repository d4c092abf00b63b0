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

What the model must be shown again (`hub.domain.provider_fields`) is sealed in
REASONING_ENCRYPTED_VALUE: of a section of reasoning, or of a call. Clients keep it with the message
of that id and send it back. It is in a step of its own, because TanStack AI adds it to the section
of the current step. A tool that the provider ran is a call with its TOOL_CALL_RESULT. Citations and
media have no event, and are CUSTOM ``annotations`` and ``media``.

(Sources: AG-UI's "Events", TanStack AI's ``processor.ts``.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from hub.domain.annotations import ANNOTATIONS
from hub.domain.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Failed,
    Finished,
    Interrupted,
    Message,
    Started,
    Terminal,
    ToolCall,
    Usage,
)
from hub.domain.executed_tools import arguments_of, call_id, output_text
from hub.domain.media import MEDIA
from hub.domain.provider_fields import DETAILS, EXECUTED, EXTRA, seal
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

RUNS: Final = 100
"""The most generations that have begun and not ended; the oldest one ends where another begins. The
hub has one at a time, but other programs may write anything."""

RUN_BYTES: Final = 400
"""Memory of one, besides its calls."""


@dataclass(slots=True)
class _Run:
    """A generation that has begun and not ended."""

    generation: str
    message: str
    calls: Calls
    thoughts: int = 0
    """Sections of reasoning that have ended."""
    reasoning: bool = False
    """A section of reasoning is open."""
    unsealed: bool = False
    """The last section that has ended has no fields yet."""

    def add(self, delta: Delta) -> list[Chunk]:
        text: list[Chunk] = []
        if delta.text:
            content = {"messageId": self.message, "delta": delta.text}
            text = [*self.end_reasoning(), {"type": "TEXT_MESSAGE_CONTENT", **content}]
        chunks = [*self._reason(delta.reasoning), *text, *self._call(delta.tool)]
        return [*chunks, *self._beside(delta.extra)] if delta.extra else chunks

    @property
    def _thought(self) -> str:
        """The id of the open section of reasoning, or of the next one."""
        # A message may continue an earlier one, whose sections have other ids.
        return f"{self.generation}_{self.thoughts}"

    def _reason(self, text: str) -> list[Chunk]:
        if not text:
            return []
        content = {"messageId": self._thought, "delta": text}
        return [*self._begin_reasoning(), {"type": "REASONING_MESSAGE_CONTENT", **content}]

    def _begin_reasoning(self) -> list[Chunk]:
        """The start of a section of reasoning, unless one is open."""
        if self.reasoning:
            return []
        self.reasoning = True
        return [
            {"type": "REASONING_START", "messageId": self._thought},
            {"type": "REASONING_MESSAGE_START", "messageId": self._thought, "role": "reasoning"},
        ]

    def _beside(self, extra: Mapping[str, Any]) -> list[Chunk]:
        """What a delta holds besides text, reasoning and calls."""
        chunks: list[Chunk] = [
            {"type": "CUSTOM", "name": name, "value": list(extra[name])}
            for name in (ANNOTATIONS, MEDIA)
            if extra.get(name)
        ]
        for tool in extra.get(EXECUTED) or ():
            if not tool.get("pending"):
                chunks += [*self.end_reasoning(), *self._executed(tool)]
        if details := extra.get(DETAILS):
            chunks += self._seal(details)
        return chunks

    def _seal(self, details: Sequence[Mapping[str, Any]]) -> list[Chunk]:
        """Fields of the open section of reasoning, of the last one, or of one without text."""
        chunks: list[Chunk] = []
        if self.reasoning or not self.unsealed:
            chunks = [*self._begin_reasoning(), *self.end_reasoning()]
        self.unsealed = False
        thought = f"{self.generation}_{self.thoughts - 1}"
        # By these calls it is known to which reply the fields belong, if there are several in a
        # message.
        calls = [{"id": call.id} for call in self.calls.told()]
        sealed = seal({DETAILS: details, **({EXTRA: calls} if calls else {})})
        return [
            *chunks,
            {"type": "STEP_STARTED", "stepName": thought},
            _encrypted("message", thought, sealed),
            {"type": "STEP_FINISHED", "stepName": thought},
        ]

    def _executed(self, tool: Mapping[str, Any]) -> list[Chunk]:
        """The call and the result of a tool that the provider ran."""
        name, key = str(tool.get("name")), call_id(tool, self.generation)
        call = {"toolCallId": key}
        arguments = tool.get("arguments")
        chunks: list[Chunk] = [
            {
                "type": "TOOL_CALL_START",
                **call,
                "toolCallName": name,
                "parentMessageId": self.message,
                "metadata": {"providerExecuted": True},
            },
            *([{"type": "TOOL_CALL_ARGS", **call, "delta": arguments}] if arguments else ()),
            {"type": "TOOL_CALL_END", **call, "toolCallName": name, "input": arguments_of(tool)},
            _encrypted("tool-call", key, seal({EXECUTED: [tool]})),
        ]
        if "output" in tool:
            result = {**call, "messageId": f"{self.message}_{key}", "role": "tool"}
            failed = {"state": "output-error"} if tool.get("error") else {}
            content = {"content": output_text(tool["output"])}
            chunks.append({"type": "TOOL_CALL_RESULT", **result, **content, **failed})
        return chunks

    def end_reasoning(self) -> list[Chunk]:
        """The end of the open section of reasoning, if there is one."""
        if not self.reasoning:
            return []
        thought = self._thought
        self.reasoning, self.unsealed = False, True
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

    @property
    def size(self) -> int:
        return sum(RUN_BYTES + run.calls.size for run in self._runs.values()) + RUN_BYTES

    def add(self, record: Record) -> list[Chunk]:
        event = record.event
        if isinstance(event, Message):
            return _message(event, f"message_{record.offset}")
        if isinstance(event, Started):
            return self._start(event)
        if not isinstance(event, (Delta, *TERMINALS)) or event.generation not in self._runs:
            return []
        if isinstance(event, Delta):
            return self._runs[event.generation].add(event)
        return self._finish(event)

    def _finish(self, event: Terminal) -> list[Chunk]:
        run = self._runs.pop(event.generation)
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
        unended: list[Chunk] = []
        if len(self._runs) == RUNS:
            unended = self._finish(Interrupted(next(iter(self._runs))))
        self._runs[event.generation] = _Run(event.generation, name, Calls(event.generation))
        return [
            *unended,
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

    @property
    def size(self) -> int:
        return self._chunks.size

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
    fields = {**call.beside, "custom": True} if call.custom else call.beside
    sealed = seal({EXTRA: [{"id": call.id, **fields}]}) if fields else ""
    value = {"toolCallId": call.id, "toolName": call.name, "input": arguments}
    return [
        {**end, "input": arguments},
        *([_encrypted("tool-call", call.id, sealed)] if sealed else ()),
        {"type": "CUSTOM", "name": "tool-input-available", "value": value},
    ]


def _encrypted(subtype: str, entity: str, sealed: str) -> Chunk:
    about = {"subtype": subtype, "entityId": entity}
    return {"type": "REASONING_ENCRYPTED_VALUE", **about, "encryptedValue": sealed}


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
