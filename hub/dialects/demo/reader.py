"""The built-in upstream, which needs no network and no key.

It types the answers of `hub.dialects.demo.answers` at a given pace. It has a wire format of its
own, so its bytes are processed like those of any other upstream: NDJSON, with one key a line::

    {"reasoning":"…"}   {"text":"…"}   {"tool":{"index":0,"id":"…","name":"…","arguments":"…"}}
    {"error":"…"}       {"end":"stop","usage":{"prompt_tokens":3,"completion_tokens":250, …}}

Options: ``pace`` (40): tokens a second; from 100,000 on there are no pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from hub.dialects import Call
from hub.dialects.demo.answers import BROKEN, Answer, answer_to, tokens
from hub.dialects.reply.error_reports import find_error
from hub.dialects.request.dialect_options import Options
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, ToolCall, Usage
from hub.domain.json_values import as_count, as_object, malformed, parse
from hub.domain.prompt import Prompt
from hub.domain.surrogates import whole
from hub.framing import NDJSON, Chunk, Framing

__all__ = ["Demo"]

UNPACED: Final = 100_000
"""The pace from which there are no pauses, for tests and benchmarks."""
FINEST: Final = 0.001
"""Seconds of the shortest pause; faster tokens are sent together."""
TOGETHER: Final = 32
"""Tokens that are sent together without pauses."""
DAY: Final = 86_400.0
"""Seconds, longer than any stall timeout."""

_REASONS: Final[Mapping[str, Reason]] = {"stop": "stop", "length": "length", "tool": "tool"}


class Demo:
    """Writes and reads one reply of the demo."""

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
        lines, ending = _lines(answer, prompt.options)
        together = TOGETHER if self._pace >= UNPACED else max(1, int(self._pace * FINEST))
        pause = 0.0 if self._pace >= UNPACED else together / self._pace
        for start in range(0, len(lines), together):
            yield pause, b"".join(map(_line, lines[start : start + together]))
        if ending == "stall":
            yield DAY, b"\n"
        elif ending == "fail":
            yield 0.0, _line({"error": "the demo fails half-way, as it was asked to"})
        elif ending != "cut":
            yield 0.0, _line({"end": ending, "usage": _token_counts(prompt, lines)})

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
        report = find_error(held)
        if report is not None:
            self._over = True
            return (report.failure(None),)
        reason = _REASONS.get(str(held.get("end")))
        if reason is None:
            raise malformed("a line that the demo does not write")
        self._over = True
        self.usage = _usage(as_object(held.get("usage")))
        return (Finished(reason=reason, usage=self.usage),)

    def close(self, *, clean: bool) -> Iterable[Event]:
        return ()


def _lines(answer: Answer, options: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The lines of an answer, one for each token, and how it ends."""
    lines: list[dict[str, Any]] = [{"reasoning": token} for token in tokens(answer.reasoning)]
    lines += [{"text": token} for token in tokens(answer.text)]
    if answer.tool is not None:
        name, arguments = answer.tool
        lines.append({"tool": {"index": 0, "id": "call_demo", "name": name}})
        lines += [{"tool": {"index": 0, "arguments": token}} for token in tokens(arguments)]
    if answer.ending in BROKEN:
        return lines[: len(lines) // 2], answer.ending
    most = options.get("max_completion_tokens") or options.get("max_tokens")
    if isinstance(most, int) and 0 < most < len(lines):
        return lines[:most], "length"
    return lines, answer.ending


def _line(held: Mapping[str, Any]) -> bytes:
    return orjson.dumps(held, option=orjson.OPT_APPEND_NEWLINE)


def _token_counts(prompt: Prompt, lines: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "prompt_tokens": sum(len(tokens(Prompt((held,)).text)) for held in prompt.messages),
        "completion_tokens": len(lines),
        "reasoning_tokens": sum("reasoning" in line for line in lines),
    }


def _usage(held: Mapping[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=as_count(held.get("prompt_tokens")),
        completion_tokens=as_count(held.get("completion_tokens")),
        reasoning_tokens=as_count(held.get("reasoning_tokens")),
    )
