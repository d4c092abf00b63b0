"""The built-in upstream: no network, no key, an answer for everybody at once.

It types what `hub.dialects.demo.answers` has for the prompt, at a pace, in a wire format of its own
so that its bytes take the same way as any other upstream's. NDJSON, a key a line::

    {"reasoning":"…"}   {"text":"…"}   {"tool":{"index":0,"id":"…","name":"…","arguments":"…"}}
    {"error":"…"}       {"end":"stop","usage":{"prompt_tokens":3,"completion_tokens":250, …}}

Options: ``pace`` (40): tokens a second, from 100,000 on without any pause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from hub.dialects import Call
from hub.dialects.demo.answers import BROKEN, Answer, answer_to, tokens
from hub.dialects.reply.error_reports import complaint_in
from hub.dialects.request.dialect_options import Options
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, ToolCall, Usage
from hub.domain.json_values import as_count, as_object, malformed, parse
from hub.domain.prompt import Prompt
from hub.domain.surrogates import whole
from hub.framing import NDJSON, Chunk, Framing

__all__ = ["Demo"]

# From this pace on there are no pauses: tests and benchmarks.
UNPACED: Final = 100_000
# Timers are not finer than this; tokens that come faster are read together.
FINEST: Final = 0.001
# Without pauses, how many tokens one read brings.
TOGETHER: Final = 32
# Longer than any stall timeout.
DAY: Final = 86_400.0

_REASONS: Final[Mapping[str, Reason]] = {"stop": "stop", "length": "length", "tool": "tool"}


class Demo:
    """Makes and reads one reply of the demo."""

    ending = False
    models = ("demo",)

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        self._pace = Options("demo", options, ("pace",)).number("pace", 40)
        self.usage: Usage | None = None
        self._over = False

    def call(self, prompt: Prompt) -> Call:
        return Call("", {})

    def script(self, prompt: Prompt) -> Iterator[tuple[float, bytes]]:
        last = prompt.messages[-1] if prompt.messages else NOTHING
        answer = answer_to(whole(prompt.text), by_tool=last.get("role") == "tool")
        said, ending = _said(answer, prompt.options)
        yield from _typed(said, self._pace)
        if ending == "stall":
            yield DAY, b"\n"
        elif ending == "fail":
            yield 0.0, _line({"error": "the demo fails half-way, as it was asked to"})
        elif ending != "cut":
            yield 0.0, _line({"end": ending, "usage": _counted(prompt, said)})

    def framing(self, limit: int) -> Framing:
        return NDJSON(limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        if self._over or not chunk.data:
            return ()
        held = as_object(parse(chunk.data))
        if text := held.get("text"):
            return (Delta(text=text),)
        if text := held.get("reasoning"):
            return (Delta(reasoning=text),)
        if tool := held.get("tool"):
            return (Delta(tool=ToolCall(**tool)),)
        complaint = complaint_in(held)
        if complaint is not None:
            self._over = True
            return (complaint.failure(None),)
        reason = _REASONS.get(str(held.get("end")))
        if reason is None:
            raise malformed("a line that the demo does not write")
        self._over = True
        self.usage = _usage(as_object(held.get("usage")))
        return (Finished(reason=reason, usage=self.usage),)

    def close(self, *, clean: bool) -> Iterable[Event]:
        return ()


def _said(answer: Answer, options: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """What is typed of the answer, a line for each token, and how it ends."""
    said: list[dict[str, Any]] = [{"reasoning": token} for token in tokens(answer.reasoning)]
    said += [{"text": token} for token in tokens(answer.text)]
    if answer.tool is not None:
        name, arguments = answer.tool
        said.append({"tool": {"index": 0, "id": "call_demo", "name": name}})
        said += [{"tool": {"index": 0, "arguments": token}} for token in tokens(arguments)]
    if answer.ending in BROKEN:
        return said[: len(said) // 2], answer.ending
    most = options.get("max_completion_tokens") or options.get("max_tokens")
    if isinstance(most, int) and 0 < most < len(said):
        return said[:most], "length"
    return said, answer.ending


def _typed(said: list[dict[str, Any]], pace: float) -> Iterator[tuple[float, bytes]]:
    """The lines with the pauses between them."""
    together = TOGETHER if pace >= UNPACED else max(1, int(pace * FINEST))
    pause = 0.0 if pace >= UNPACED else together / pace
    for start in range(0, len(said), together):
        yield pause, b"".join(map(_line, said[start : start + together]))


def _line(held: Mapping[str, Any]) -> bytes:
    return orjson.dumps(held, option=orjson.OPT_APPEND_NEWLINE)


def _counted(prompt: Prompt, said: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "prompt_tokens": sum(len(tokens(Prompt((held,)).text)) for held in prompt.messages),
        "completion_tokens": len(said),
        "reasoning_tokens": sum("reasoning" in held for held in said),
    }


def _usage(held: Mapping[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=as_count(held.get("prompt_tokens")),
        completion_tokens=as_count(held.get("completion_tokens")),
        reasoning_tokens=as_count(held.get("reasoning_tokens")),
    )
