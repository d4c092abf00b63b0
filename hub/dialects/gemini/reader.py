"""Gemini's ``streamGenerateContent``, of the Gemini API and of Vertex AI.

Each chunk is a whole response that holds what is new: ``{"candidates":[{"content":
{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{…}}``. They come as
server-sent events, or without ``?alt=sse`` as one JSON array. Nothing marks the end but
``finishReason``, which may come with the last text or without any content, and after which
usage may still come; so the reply ends with the body. Taken as they come:

- a part is text, a thought (text with ``"thought": true``), or a function call, whole or
  (on Vertex AI) streamed value by value; code that Google ran and pictures are none of these and
  say nothing here;
- sources and what was recited are annotations (`hub.dialects.gemini.grounding`);
- any part may be signed (``thoughtSignature``), which a model must see again at the same part:
  that of a call goes with the call, others are told by themselves (`hub.domain.provider_fields`);
- the arguments of a call may come in a part of their own, without the name;
- of several candidates the first counts;
- a prompt that was blocked gets ``promptFeedback`` and no candidate;
- an answer that is not streamed needs no reason to be whole (old models gave none);
- asked by Google's older libraries, it gives the numbers of reasons, not their names;
- old models and imitations say ``STOP`` with every chunk: the last one counts;
- usage is cumulative, and a chunk may have only some of the counts. Thoughts are not in
  ``candidatesTokenCount`` and are added; what tools of Google's own read is not counted;
- errors come instead of a chunk, alone or in an array, and always end a reply.

Options: ``thoughts`` (false): ask for the model's thoughts also where the prompt says
nothing of reasoning; models that do not think refuse the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call, KeyHeader
from hub.dialects.gemini.grounding import Grounding, logprobs
from hub.dialects.gemini.partial_arguments import PartialArguments
from hub.dialects.gemini.request import request_body, request_path
from hub.dialects.reply.error_reports import ErrorReport, announced, clean, complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import TextDeltas
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, with_logprobs
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_object, as_text, malformed, parse
from hub.domain.media import Media
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import GEMINI, Details
from hub.domain.surrogates import whole
from hub.framing import SSE, Chunk, ConcatenatedJSON, Framing, Sniffed

__all__ = ["Gemini"]

KEY: Final = KeyHeader("x-goog-api-key")

_REASONS: Final[Mapping[str, Reason]] = {
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "LANGUAGE": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "IMAGE_OTHER": "filter",
    "MODEL_ARMOR": "filter",
    "JAILBREAK": "filter",
    "OTHER": "filter",
}
# The model tried to call a function, and there is no call that could be made.
_FAILURES: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)
# The numbers that mean the same in both of Google's APIs. Nearly all beyond them are words for
# an answer that was held back.
_NUMBERED: Final[Mapping[int, str]] = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION"}
# No reason at all, in the words of Google's interface definitions.
_UNSAID: Final = frozenset(
    {"FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"}
)


class Gemini:
    """Reads one reply of Gemini."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        self._thoughts = Options("gemini", options, ("thoughts",)).flag("thoughts", False)
        self._speech = TextDeltas()
        self._calls = ToolCalls()
        self._details = Details(GEMINI)
        self._code: tuple[Mapping[str, Any], list[Mapping[str, Any]]] | None = None
        self._grounding = Grounding()
        self._media = Media()
        self._slots = 0
        # The call whose arguments are streamed, and its id.
        self._streamed: PartialArguments | None = None
        self._streamed_id: str | None = None
        self._counts: dict[str, int] = {}
        self.usage: Usage | None = None
        self._framing: Sniffed | None = None
        self._responses = 0
        self._lines = False
        self._said = False
        self._reason: str | None = None
        self._words = ""
        self._says_always = False
        self._over = False

    @property
    def ending(self) -> bool:
        # Translators give an empty STOP before the first text, while the model thinks.
        said = self._said or self._reason != "STOP"
        return self._reason is not None and said and not self._says_always

    def call(self, prompt: Prompt) -> Call:
        body = request_body(prompt, thoughts=self._thoughts)
        return Call(request_path(prompt.model), body, {"Accept": "text/event-stream"}, KEY)

    def framing(self, limit: int) -> Framing:
        self._framing = Sniffed(SSE(limit), limit)
        return self._framing

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body = chunk.data.strip()
        if self._over or not (body or chunk.event == "error"):
            return ()
        if chunk.event == "error":
            return self._fail(announced(body))
        if body == b"[DONE]":  # of servers that speak several formats
            if self._said:
                self._reason = self._reason or "STOP"
            return ()
        if is_padding(body):
            return ()
        try:
            return self._chunk(body)
        except UpstreamError:
            if self._reason is None or self._says_always:
                raise
            return ()  # broken behind the finish: nothing of the answer is missing

    def _chunk(self, body: bytes) -> list[Event]:
        held = parse(body)
        if not isinstance(held, dict) or "candidates" not in held or "error" in held:
            complaint = complaint_in(held)
            if complaint is not None:
                return self._fail(complaint)
            if not isinstance(held, dict):
                raise malformed("a response that is not an object")
        self._lines = b"\n" in body
        return self._response(held)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        if self._says_always and not clean:
            self._reason = None  # it may be that of any chunk
        elif self._reason is None and clean and self._is_whole():
            self._reason = "STOP"
        if self._reason in _FAILURES:
            return self._fail(ErrorReport(self._words or f'finishReason "{self._reason}"'))
        found: list[Event] = []
        if self._reason is not None:
            self._end_streamed(found)
        found += self._ran()
        reason = _REASONS.get(self._reason or "", "stop")
        found += self._rest(complete=self._reason is not None and reason != "length")
        self._over = True
        if self._reason is None:
            return found
        if reason == "stop" and self._calls:
            reason = "tool"  # Gemini itself says STOP
        return [*found, self._calls.ended(Finished(reason=reason, usage=self.usage))]

    def _is_whole(self) -> bool:
        """Whether the body was one object that says something, so that nothing can be missing.

        Google writes it in many lines; one of a single line may be the first of several.
        """
        framing = self._framing.chosen if self._framing is not None else None
        one = type(framing) is ConcatenatedJSON and self._responses == 1
        return one and self._lines and self._said

    def _response(self, held: Mapping[str, Any]) -> list[Event]:
        found: list[Event] = []
        self._responses += 1
        self._count(held.get("usageMetadata"))
        candidate = _first(held.get("candidates")) or NOTHING
        for part in _parts(candidate.get("content")):
            self._part(part, found)
        if probable := logprobs(candidate):
            texts = [event for event in found if isinstance(event, Delta)]
            found[:] = with_logprobs(texts, probable)
        found += annotated(self._grounding.citations(candidate))
        self._said = self._said or bool(found)
        if found and self._reason is not None:
            self._says_always = True
        if self._because(as_object(held.get("promptFeedback")).get("blockReason")):
            self._reason = "SAFETY"
        if self._because(candidate.get("finishReason")):
            words = candidate.get("finishMessage")
            self._words = clean(words) if isinstance(words, str) else ""
        return found

    def _part(self, part: Any, found: list[Event]) -> None:
        if not isinstance(part, dict):
            raise malformed("a part that is not an object")
        text = part.get("text")
        thought = part.get("thought") is True
        if text:
            if not isinstance(text, str):
                raise malformed("text that is not a string")
            if not thought:
                self._grounding.add(text)
            found += self._speech.reason(text) if thought else self._speech.say(text)
        function, signature = part.get("functionCall"), part.get("thoughtSignature")
        signature = whole(signature) if isinstance(signature, str) else ""
        if function is not None:
            if not isinstance(function, dict):
                raise malformed("a function call that is not an object")
            self._call(function, signature, found)
        elif inline := as_object(part.get("inlineData") or part.get("inline_data")):
            media_type = inline.get("mimeType") or inline.get("mime_type")
            found += self._media.whole(media_type, inline.get("data"), preview=thought)
        elif "executableCode" in part or "codeExecutionResult" in part:
            self._run(part, found)
        elif signature and thought:
            self._detail(found, "text", text=whole(text or ""), signature=signature)
        elif signature:
            self._detail(found, "encrypted", data=signature)

    def _run(self, part: Mapping[str, Any], found: list[Event]) -> None:
        """Code that Google runs, or what came of the code before."""
        if "executableCode" in part or self._code is None:
            found += self._ran()
            self._code = self._details.place(self._speech.length, self._slots), [part]
        else:
            self._code[1].append(part)
        if "codeExecutionResult" in part:
            found += self._ran()

    def _ran(self) -> list[Delta]:
        """The code that was run last, if it has not been told."""
        if self._code is None:
            return []
        (place, parts), self._code = self._code, None
        code = as_object(parts[0].get("executableCode"))
        result = as_object(parts[-1].get("codeExecutionResult"))
        fault = bool(result) and result.get("outcome") != "OUTCOME_OK"
        arguments, output = as_text(dict(code)), result.get("output")
        return executed(place, "code_execution", arguments, output, error=fault, item=parts)

    def _detail(self, found: list[Event], kind: str, **fields: str) -> None:
        found.append(self._details.of(kind, self._speech.length, self._slots, **fields))

    def _call(self, function: Mapping[str, Any], signature: str, found: list[Event]) -> None:
        """A call, or a piece of one: the name begins it, no ``willContinue`` ends it."""
        name, key = function.get("name"), function.get("id")
        pieces, more = function.get("partialArgs"), function.get("willContinue") is True
        key = whole(key) if isinstance(key, str) else ""
        if name is not None and not isinstance(name, str):
            raise malformed("a function call whose name is not a string")
        extra = {"google": {"thought_signature": signature}} if signature else NOTHING
        if name and not (self._streamed and key and key == self._streamed_id):
            self._end_streamed(found)
            self._slots += 1
            if pieces or more:
                self._streamed, self._streamed_id = PartialArguments(), key
                found += self._calls.add(self._slots, key=key, name=whole(name), extra=extra)
                extra = NOTHING
        if self._streamed is None:
            said = _whole_arguments(function.get("args"))
            name = whole(name or "")
            found += self._calls.add(self._slots, key=key, name=name, said=said, extra=extra)
            return
        if extra:
            found += self._calls.add(self._slots, extra=extra)
        if pieces:
            if not isinstance(pieces, list):
                raise malformed("partial arguments that are not a list")
            text = "".join(map(self._streamed.add, pieces))
            found += self._calls.add(self._slots, said=text)
        if not more:
            self._end_streamed(found)

    def _end_streamed(self, found: list[Event]) -> None:
        if self._streamed is not None:
            found += self._calls.add(self._slots, said=self._streamed.end())
            found += self._calls.settle(self._slots)
            self._streamed = None

    def _because(self, reason: Any) -> bool:
        """Whether a reason was given; it is kept."""
        if type(reason) is int:
            reason = _NUMBERED.get(reason, "OTHER") if reason else ""
        if not isinstance(reason, str) or not reason or reason.upper() in _UNSAID:
            return False
        self._reason = reason.upper()  # Google's clients do not heed the case
        return True

    def _count(self, held: Any) -> None:
        """Take in what is said of the counts; only noughts are a server that does not count."""
        counts = self._counts
        said = as_object(held)
        for name, value in said.items():
            if name in _COUNTED and (count := as_count(value)) is not None:
                counts[name] = count
        thoughts = counts.get("thoughtsTokenCount")
        answered = counts.get("candidatesTokenCount")
        details = counted(
            *(_modalities("input_", said.get("promptTokensDetails"))),
            *(_modalities("output_", said.get("candidatesTokensDetails"))),
            ("tool_prompt_", {"tokens": said.get("toolUsePromptTokenCount")}),
        )
        known = Usage(
            prompt_tokens=counts.get("promptTokenCount"),
            completion_tokens=answered if thoughts is None else (answered or 0) + thoughts,
            reasoning_tokens=thoughts,
            cached_tokens=counts.get("cachedContentTokenCount"),
            details=details or (self.usage.details if self.usage else None),
        )
        together = {"promptTokenCount", "candidatesTokenCount"} <= said.keys()
        total = as_count(said.get("totalTokenCount")) if together else None
        read = as_count(said.get("toolUsePromptTokenCount")) or 0
        self.usage = balanced(known, total=total, other=read) or self.usage

    def _fail(self, complaint: ErrorReport) -> list[Event]:
        self._over = True
        return [*self._rest(), complaint.failure(self.usage)]

    def _rest(self, *, complete: bool = False) -> list[Event]:
        """What was held back, in case its other half came."""
        return [*self._speech.rest(), *self._calls.end(complete=complete)]


_COUNTED: Final = frozenset(
    {
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "cachedContentTokenCount",
    }
)


def _modalities(prefix: str, held: Any) -> list[tuple[str, Any]]:
    """The counts of what is no text."""
    return [
        (prefix, {f"{str(one.get('modality')).lower()}_tokens": one.get("tokenCount")})
        for one in map(as_object, held if isinstance(held, list) else ())
    ]


def _first(candidates: Any) -> Mapping[str, Any] | None:
    """The candidate numbered 0, which the only one may fail to be called."""
    if not candidates:
        return None
    if not isinstance(candidates, list):
        raise malformed("candidates that are not a list")
    for candidate in candidates:
        if not isinstance(candidate, dict):
            raise malformed("a candidate that is not an object")
        if not candidate.get("index"):
            return candidate
    return None


def _parts(content: Any) -> list[Any]:
    if content is None:
        return []
    if not isinstance(content, dict):
        raise malformed("content that is not an object")
    parts = content.get("parts") or []
    if not isinstance(parts, list):
        raise malformed("parts that are not a list")
    return parts


def _whole_arguments(held: Any) -> str:
    if held is not None and not isinstance(held, dict):
        raise malformed("arguments of a function that are not an object")
    return "" if held is None else as_text(held)
