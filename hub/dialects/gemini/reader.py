"""Gemini's ``streamGenerateContent``, of the Gemini API and of Vertex AI.

Each chunk is a whole response that holds what is new: ``{"candidates":[{"content":
{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"usageMetadata":{…}}``. Chunks come as server-sent
events, or without ``?alt=sse`` as one JSON array. Only ``finishReason`` marks the end. It may come
with the last text or without any content, and usage may follow it, so the reply ends with its body.
In detail:

- a part is text, a thought (text with ``"thought": true``), a function call, whole or (on Vertex
AI)
  streamed value by value, a picture, or code that Google has run and its result;
- sources and recited texts become annotations (`hub.dialects.gemini.grounding`);
- any part may be signed (``thoughtSignature``), and a model must see the signature again at the
same
  part: that of a call is given with the call, others separately (`hub.domain.provider_fields`);
- the arguments of a call may come in a part of their own, without the name;
- of several candidates the first counts;
- a blocked prompt has ``promptFeedback`` and no candidate;
- an answer that is not streamed is whole without a reason (old models gave none);
- to Google's older libraries it sends the numbers of reasons, not their names;
- old models and imitations send ``STOP`` with every chunk: the last one counts;
- usage is cumulative, and a chunk may have only some of the counts. Thoughts are not part of
  ``candidatesTokenCount`` and are added; tokens that Google's own tools have read are not counted;
- errors come instead of a chunk, alone or in an array, and always end the reply.

Options: ``thoughts`` (false): ask for the model's thoughts also where the prompt does not mention
reasoning; models that do not think refuse this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call, KeyHeader
from hub.dialects.gemini.grounding import Grounding, logprobs
from hub.dialects.gemini.partial_arguments import PartialArguments
from hub.dialects.gemini.request import request_body, request_path
from hub.dialects.reply.error_reports import ErrorReport, clean, find_error
from hub.dialects.reply.reply_reader import ObjectReader, expect, first_of
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, with_logprobs
from hub.domain.events import NOTHING, Delta, Event, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_list, as_object, as_string, as_text, malformed
from hub.domain.media import MEDIA, Media
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import GEMINI, Details
from hub.framing import SSE, Chunk, ConcatenatedJSON, Framing, Sniffed

__all__ = ["Gemini"]

KEY: Final = KeyHeader("x-goog-api-key")

_REASONS: Final[Mapping[str, Reason]] = {
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
            "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER",
            "MODEL_ARMOR", "JAILBREAK", "OTHER",
        ),
        "filter",
    ),
}  # fmt: skip
# The model tried to call a function, and the call cannot be made.
_FAILURES: Final = (
    "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE",
    "TOO_MANY_TOOL_CALLS", "UNEXPECTED_TOOL_CALL",
)  # fmt: skip
# The numbers that mean the same in both of Google's APIs. Nearly all others mean that an answer
# was withheld.
_NUMBERED: Final[Mapping[int, str]] = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION"}
# No reason at all, in the words of Google's interface definitions.
_UNSPECIFIED: Final = (
    "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED",
)  # fmt: skip
_COUNTED: Final = (
    "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount",
)  # fmt: skip


class Gemini(ObjectReader):
    """Reads one reply of Gemini."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        super().__init__()
        self._thoughts = Options("gemini", options, ("thoughts",)).flag("thoughts", False)
        self._details = Details(GEMINI)
        self._code: tuple[Mapping[str, Any], list[Mapping[str, Any]]] | None = None
        self._grounding = Grounding()
        self._media = Media()
        self._slots = 0
        # The call whose arguments are streamed, and its id.
        self._streamed: PartialArguments | None = None
        self._streamed_id: str | None = None
        self._counts: dict[str, int] = {}
        self._framing: Sniffed | None = None
        self._responses = 0
        self._lines = False
        self._said = False
        self._message = ""
        self._says_always = False

    @property
    def ending(self) -> bool:
        # Translators send an empty STOP before the first text, while the model thinks.
        said = self._said or self._reason != "STOP"
        return self._reason is not None and said and not self._says_always

    def call(self, prompt: Prompt) -> Call:
        body = request_body(prompt, thoughts=self._thoughts)
        return Call(request_path(prompt.model), body, {"Accept": "text/event-stream"}, KEY)

    def framing(self, limit: int) -> Framing:
        self._framing = Sniffed(SSE(limit), limit)
        return self._framing

    @property
    def _complete(self) -> bool:
        return self._reason is not None and not self._says_always

    def _done(self) -> Iterable[Event]:
        if self._said:
            self._reason = self._reason or "STOP"
        return ()

    def _read(self, held: Any, chunk: Chunk) -> Iterable[Event]:
        if not isinstance(held, dict) or "candidates" not in held or "error" in held:
            report = find_error(held)
            if report is not None:
                return self._fail(report)
            expect(held, dict, "a response that is not an object")
        self._lines = b"\n" in chunk.data.strip()
        return self._response(held)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        if self._says_always and not clean:
            self._reason = None  # it may be that of any chunk
        elif self._reason is None and clean and self._is_whole():
            self._reason = "STOP"
        if self._reason in _FAILURES:
            return self._fail(ErrorReport(self._message or f'finishReason "{self._reason}"'))
        found: list[Event] = [] if self._reason is None else [*self._end_streamed()]
        found += self._execution()
        if self._reason is None:
            return [*found, *super().close(clean=clean)]
        return [*found, *self._finish(_REASONS.get(self._reason, "stop"))]

    def _is_whole(self) -> bool:
        """Whether the body was one object with content, so that nothing can be missing.

        Google writes such an object in many lines. One in a single line may be the first of
        several.
        """
        framing = self._framing.chosen if self._framing is not None else None
        one = type(framing) is ConcatenatedJSON and self._responses == 1
        return one and self._lines and self._said

    def _response(self, held: Mapping[str, Any]) -> list[Event]:
        deltas: list[Delta] = []
        self._responses += 1
        self._count(as_object(held.get("usageMetadata")))
        candidates = held.get("candidates") or []
        candidate = first_of(candidates, "candidates", "a candidate") or NOTHING
        for part in _parts(candidate.get("content")):
            deltas += self._part(part)
        deltas = with_logprobs(deltas, logprobs(candidate))
        deltas += annotated(self._grounding.citations(candidate))
        self._said = self._said or bool(deltas)
        if deltas and self._reason is not None:
            self._says_always = True
        if self._take_reason(as_object(held.get("promptFeedback")).get("blockReason")):
            self._reason = "SAFETY"
        if self._take_reason(candidate.get("finishReason")):
            self._message = clean(as_string(candidate.get("finishMessage")))
        return [*deltas]

    def _part(self, part: Any) -> list[Delta]:
        part = expect(part, dict, "a part that is not an object")
        text, thought = part.get("text"), part.get("thought") is True
        found: list[Delta] = []
        if text:
            text = expect(text, str, "text that is not a string")
            if not thought:
                self._grounding.add(text)
            found += self._text.reason(text) if thought else self._text.say(text)
        if len(part) == 1 and found:
            return found  # nearly every part is text alone
        function, signature = part.get("functionCall"), as_string(part.get("thoughtSignature"))
        if function is not None:
            function = expect(function, dict, "a function call that is not an object")
            found += self._call(function, signature)
        elif inline := as_object(part.get("inlineData") or part.get("inline_data")):
            media_type = inline.get("mimeType") or inline.get("mime_type")
            made = self._media.whole(media_type, inline.get("data"), preview=thought)
            found += self._signed(made, signature) if signature and not thought else made
        elif "executableCode" in part or "codeExecutionResult" in part:
            found += self._run(part)
        elif signature and thought:
            fields = {"text": as_string(text), "signature": signature}
            found.append(self._details.of("text", self._text.length, self._slots, **fields))
        elif signature:
            place = self._text.length, self._slots
            found.append(self._details.of("encrypted", *place, data=signature))
        return found

    def _signed(self, made: list[Delta], signature: str) -> list[Delta]:
        """A picture with the signature that the model must see at it."""
        found: list[Delta] = []
        for delta in made:
            (media,) = delta.extra[MEDIA]
            of = {"media": media["index"], "media_type": media["media_type"]}
            place = self._text.length, self._slots
            detail = self._details.of("encrypted", *place, data=signature, **of)
            found.append(Delta(extra={**delta.extra, **detail.extra}))
        return found

    def _run(self, part: Mapping[str, Any]) -> list[Delta]:
        """Code that Google has run, or its result."""
        found: list[Delta] = []
        if "executableCode" in part or self._code is None:
            found += self._execution()
            self._code = self._details.place(self._text.length, self._slots), [part]
        else:
            self._code[1].append(part)
        return [*found, *self._execution()] if "codeExecutionResult" in part else found

    def _execution(self) -> list[Delta]:
        """The code that was run last, unless it has been given."""
        if self._code is None:
            return []
        (place, parts), self._code = self._code, None
        code = as_object(parts[0].get("executableCode"))
        result = as_object(parts[-1].get("codeExecutionResult"))
        fault = bool(result) and result.get("outcome") != "OUTCOME_OK"
        arguments, output = as_text(dict(code)), result.get("output")
        return executed(place, "code_execution", arguments, output, error=fault, item=parts)

    def _call(self, function: Mapping[str, Any], signature: str) -> list[Delta]:
        """A call, or a piece of one: a name begins it, a missing ``willContinue`` ends it."""
        name, key = function.get("name"), as_string(function.get("id"))
        pieces, more = function.get("partialArgs"), function.get("willContinue") is True
        if name is not None and not isinstance(name, str):
            raise malformed("a function call whose name is not a string")
        name = as_string(name)
        found: list[Delta] = []
        extra = {"google": {"thought_signature": signature}} if signature else NOTHING
        if name and not (self._streamed and key and key == self._streamed_id):
            found += self._end_streamed()
            self._slots += 1
            if pieces or more:
                self._streamed, self._streamed_id = PartialArguments(), key
                found += self._calls.add(self._slots, key=key, name=name, extra=extra)
                extra = NOTHING
        if self._streamed is None:
            arguments = function.get("args")
            if arguments is not None and not isinstance(arguments, dict):
                raise malformed("arguments of a function that are not an object")
            text = "" if arguments is None else as_text(arguments)
            found += self._calls.add(self._slots, key=key, name=name, arguments=text, extra=extra)
            return found
        if extra:
            found += self._calls.add(self._slots, extra=extra)
        if pieces:
            pieces = expect(pieces, list, "partial arguments that are not a list")
            text = "".join(map(self._streamed.add, pieces))
            found += self._calls.add(self._slots, arguments=text)
        return found if more else [*found, *self._end_streamed()]

    def _end_streamed(self) -> list[Delta]:
        """The end of the arguments that are streamed."""
        if self._streamed is None:
            return []
        found = self._calls.add(self._slots, arguments=self._streamed.end())
        self._streamed = None
        return [*found, *self._calls.settle(self._slots)]

    def _take_reason(self, reason: Any) -> bool:
        """Keep a reason; false if this is none."""
        if type(reason) is int:
            reason = _NUMBERED.get(reason, "OTHER") if reason else ""
        if not isinstance(reason, str) or not reason or reason.upper() in _UNSPECIFIED:
            return False
        self._reason = reason.upper()  # Google's clients ignore the case
        return True

    def _count(self, held: Mapping[str, Any]) -> None:
        counts = self._counts
        for name in _COUNTED:
            if name in held and (count := as_count(held[name])) is not None:
                counts[name] = count
        thoughts = counts.get("thoughtsTokenCount")
        answered = counts.get("candidatesTokenCount")
        read = as_count(held.get("toolUsePromptTokenCount"))
        details = counted(
            *_modalities("input_", held.get("promptTokensDetails")),
            *_modalities("output_", held.get("candidatesTokensDetails")),
            ("tool_prompt_", {"tokens": held.get("toolUsePromptTokenCount")}),
        )
        usage = Usage(
            prompt_tokens=counts.get("promptTokenCount"),
            completion_tokens=answered if thoughts is None else (answered or 0) + thoughts,
            reasoning_tokens=thoughts,
            cached_tokens=counts.get("cachedContentTokenCount"),
            details=details or (self.usage.details if self.usage else None),
        )
        together = {"promptTokenCount", "candidatesTokenCount"} <= held.keys()
        total = as_count(held.get("totalTokenCount")) if together else None
        self.usage = balanced(usage, total=total, other=read or 0) or self.usage


def _modalities(prefix: str, held: Any) -> list[tuple[str, Any]]:
    return [
        (prefix, {f"{str(one.get('modality')).lower()}_tokens": one.get("tokenCount")})
        for one in map(as_object, as_list(held))
    ]


def _parts(content: Any) -> list[Any]:
    if content is None:
        return []
    parts = expect(content, dict, "content that is not an object").get("parts") or []
    return expect(parts, list, "parts that are not a list")
