"""A prompt, read and checked once for all dialects that translate it.

A `Prompt` has the shape of OpenAI's chat requests, loosely: content is text or a list of parts,
arguments are JSON in a string, a picture is a URL. Here its messages, calls and tools become
checked objects, from which a dialect writes its provider's body::

    request = ChatRequest("cohere", prompt, takes=("temperature", "tools"))
    for message in request.messages:
        message.role, message.parts, message.calls

Which options are passed on and which are refused is decided in
`hub.dialects.request.request_options`.
"""

from __future__ import annotations

import mimetypes
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from hub.dialects.request.request_options import no_option, requested_options
from hub.domain.errors import RequestError
from hub.domain.events import NOTHING
from hub.domain.integers import as_integer
from hub.domain.json_values import as_object, as_string, as_text
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ITEM, owned

__all__ = [
    "AUDIO",
    "PDF",
    "TRANSLATED",
    "ChatMessage",
    "ChatRequest",
    "ChatToolCall",
    "File",
    "Output",
    "Part",
    "Picture",
    "Tool",
    "no_option",
    "present",
    "stop_sequences",
    "turns",
]

_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")
PDF: Final = "application/pdf"
AUDIO: Final[Mapping[str, str]] = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The media types of OpenAI's names of audio formats."""
TRANSLATED: Final = (
    "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    "reasoning_effort",
)  # fmt: skip
"""Options that nearly every dialect translates."""
_ROLES: Final = ("system", "user", "assistant", "tool")
# The dialects of providers that have custom tools, which take any text, and items of OpenAI's.
_CUSTOM: Final = frozenset({"openai-responses"})


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a message.

    ``media_type`` and ``base64`` are those of a ``data:`` URL, and empty for any other. ``detail``
    is OpenAI's word for how closely to look (``low``, ``high``, ``auto``), or empty.
    """

    url: str
    media_type: str = ""
    base64: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A document or a sound in a message: its data, its URL or its id at the provider.

    One of ``base64``, ``url`` and ``id`` is set. ``media_type`` is empty where it is not known.
    """

    media_type: str = ""
    base64: str = ""
    url: str = ""
    id: str = ""
    name: str = ""

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"


Part = str | Picture | File
"""A part of a message: text, a picture or a file."""


@dataclass(frozen=True, slots=True)
class ChatToolCall:
    """A tool call in the conversation so far.

    A custom tool has ``text`` instead of ``arguments``; that of any other tool is ``None``.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    text: str | None = None

    @property
    def arguments_text(self) -> str:
        return as_text(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message; its ``role`` is ``system``, ``user``, ``assistant`` or ``tool``.

    ``developer`` is read as ``system``. ``calls`` are those of an assistant. A tool's message has
    the ``call_id`` that it is the result of, and the tool's ``name``, taken from that call where
    the message does not give it. ``owned`` are an assistant's fields that its provider is to see
    again (`hub.domain.provider_fields`), and ``raw`` is the message as it came.
    """

    role: str
    parts: tuple[Part, ...]
    calls: tuple[ChatToolCall, ...] = ()
    call_id: str = ""
    name: str = ""
    owned: tuple[Mapping[str, Any], ...] = ()
    raw: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(part for part in self.parts if isinstance(part, Picture))

    @property
    def files(self) -> tuple[File, ...]:
        """All files in it that are not pictures."""
        return tuple(part for part in self.parts if isinstance(part, File))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """The answer is to be JSON, with this schema if there is one."""

    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool | None = None
    description: str | None = None


class ChatRequest:
    """A prompt, read for one dialect.

    ``takes`` names the options that the dialect puts into its request, besides ``model``;
    ``options`` are those of them that were given. ``files`` says whether messages may have files;
    the dialect checks which.

    Raises:
        RequestError: the prompt does not have the right shape, or an option is not among those
            taken (``unsupported_option``).
    """

    def __init__(
        self, dialect: str, prompt: Prompt, takes: Iterable[str], *, files: bool = False
    ) -> None:
        self.dialect = dialect
        self.model = prompt.model
        self.options = requested_options(prompt.options, dialect, frozenset(takes))
        self.messages = _messages(dialect, prompt.messages)
        if not files and any(message.files for message in self.messages):
            raise no_option("a part of type file", dialect, "a message has text and pictures only")

    @property
    def system(self) -> str:
        """The text of all system messages, for providers that have a field for it."""
        texts = [message.text for message in self.messages if message.role == "system"]
        return "\n\n".join(text for text in texts if text)

    @property
    def stop(self) -> list[str]:
        """The strings that end an answer."""
        return stop_sequences(self.options.get("stop"))

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that the answer may have, under either of its names."""
        held = self.options.get("max_completion_tokens", self.options.get("max_tokens"))
        if held is None:
            return None
        if (most := as_integer(held)) is None or most < 1:
            raise RequestError("max_tokens must be a whole number above 0")
        return most

    @property
    def tools(self) -> list[Tool]:
        """The functions that the model may call, for providers without other tools."""
        return [self.tool(held) for held in self.raw_tools]

    @property
    def raw_tools(self) -> list[Any]:
        """The tools as they came, without those that ``allowed_tools`` leaves out."""
        held = self.options.get("tools", [])
        if not isinstance(held, list):
            raise RequestError("tools must be a list")
        if (allowed := self.allowed) is None:
            return held
        names = frozenset(allowed)
        return [t for t in held if isinstance(name := _tool_name(t), str) and name in names]

    @property
    def allowed(self) -> list[str] | None:
        """The names of the only tools that may be called; ``None`` if all may.

        Chat completions put them in ``allowed_tools``, responses beside the ``type``.

        Raises:
            RequestError: they do not have OpenAI's form, or one is not a function.
        """
        held = as_object(self.options.get("tool_choice"))
        if held.get("type") != "allowed_tools":
            return None
        named = as_object(held.get("allowed_tools", held)).get("tools")
        if not isinstance(named, list):
            raise RequestError("allowed_tools must have a list of tools", param="tool_choice")
        names = [name for name in map(_tool_name, named) if isinstance(name, str)]
        if len(names) < len(named):
            raise no_option("tool_choice", self.dialect, "allowed_tools must be functions")
        return names

    @property
    def tool_choice(self) -> str | Tool | None:
        """``auto``, ``none``, ``required``, or the one tool to call; ``None`` if not given."""
        held = self.options.get("tool_choice")
        if self.allowed is not None:
            choice = as_object(held)
            held = as_object(choice.get("allowed_tools", choice)).get("mode", "auto")
        if held is None or held in ("auto", "none", "required"):
            return held
        name = as_object(as_object(held).get("function")).get("name")
        if not isinstance(name, str) or as_object(held).get("type") != "function":
            why = "it must be auto, none, required or a function"
            raise no_option("tool_choice", self.dialect, why)
        # Tools that the provider runs itself are not functions.
        found = [tool for tool in self.raw_tools if _function_of(tool).get("name") == name]
        return self.tool(found[0]) if found else Tool(name)

    @property
    def output(self) -> Output | None:
        """The JSON that the answer is to be; ``None`` for plain text."""
        held = self.options.get("response_format")
        if held is None:
            return None
        kind = as_object(held).get("type")
        if kind == "json_object":
            schema = held.get("schema")  # of several servers that imitate OpenAI
            return Output(schema if isinstance(schema, dict) else None)
        if kind != "json_schema":
            why = "its type must be json_object or json_schema"
            raise no_option("response_format", self.dialect, why)
        given = as_object(held.get("json_schema"))
        schema = given.get("schema")
        if schema is not None and not isinstance(schema, dict):
            raise RequestError("the schema in response_format must be an object")
        name, strict = as_string(given.get("name")), _bool(given.get("strict"))
        return Output(schema, name or "answer", strict, as_string(given.get("description")) or None)

    def copied(self, names: Iterable[str] | Mapping[str, str]) -> dict[str, Any]:
        """The options among ``names`` that were given, each under the provider's name."""
        pairs = names if isinstance(names, Mapping) else {name: name for name in names}
        return {there: self.options[ours] for ours, there in pairs.items() if ours in self.options}

    def tool(self, held: Any) -> Tool:
        """One of the tools of the request, which must be a function."""
        if as_object(held).get("type", "function") != "function":
            raise no_option("tools", self.dialect, "a tool must be a function")
        function = _function_of(held)
        name, schema = as_string(function.get("name")), function.get("parameters")
        if not name:
            raise RequestError("a tool must have a function with a name")
        if schema is not None and not isinstance(schema, dict):
            raise RequestError("the parameters of a tool must be a JSON schema, an object")
        about = function.get("description")
        about = about if isinstance(about, str) else None
        return Tool(name, about, schema, _bool(function.get("strict")))


STOPS: Final = 64
STOP_LENGTH: Final = 4096


def stop_sequences(held: Any) -> list[str]:
    """The strings of a ``stop`` option.

    Raises:
        RequestError: it is neither a string nor a list of strings, or they are too many.
    """
    stops = [held] if isinstance(held, str) else held or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise RequestError("stop must be a string or a list of strings", param="stop")
    if len(stops) > STOPS or sum(map(len, stops)) > STOP_LENGTH:
        # Where the provider has none, the hub looks for each of them in every delta.
        raise RequestError(
            f"stop has at most {STOPS} strings, of {STOP_LENGTH} characters together", param="stop"
        )
    return stops


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def turns(
    messages: Iterable[ChatMessage],
    assistant: str,
    write: Callable[[ChatMessage], list[dict[str, Any]]],
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The messages as ``user`` and ``assistant`` (by its name here) taking turns.

    ``write`` gives the parts of a message. System messages and empty ones are left out, and
    neighbours of one role are joined.
    """
    made: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        role = assistant if message.role == "assistant" else "user"
        parts = [] if message.role == "system" else write(message)
        if parts and made and made[-1][0] == role:
            made[-1][1].extend(parts)
        elif parts:
            made.append((role, parts))
    return made


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _tool_name(held: Any) -> Any:
    """The name of a tool: chat completions put it under the ``type``, responses beside it."""
    tool = as_object(held)
    return as_object(tool.get("function") or tool.get("custom") or tool).get("name")


def _function_of(held: Any) -> Mapping[str, Any]:
    """The function that a tool is; empty for any other tool."""
    return as_object(as_object(held).get("function"))


def _messages(dialect: str, held: Iterable[Any]) -> tuple[ChatMessage, ...]:
    called: dict[str, str] = {}
    messages: list[ChatMessage] = []
    for each in held:
        message = _message(dialect, each, called)
        called.update({call.id: call.name for call in message.calls})
        messages.append(message)
    return tuple(messages)


def _message(dialect: str, held: Any, called: Mapping[str, str]) -> ChatMessage:
    if not isinstance(held, dict | Mapping):
        raise RequestError("each message must be an object")
    role, name = held.get("role"), as_string(held.get("name"))
    if role == "developer":
        role = "system"
    if role not in _ROLES:
        raise RequestError(
            "the role of a message must be system, developer, user, assistant or tool"
        )
    parts = _parts(dialect, held.get("content"))
    if role == "assistant":
        if refusal := as_string(held.get("refusal")):
            parts = (*parts, refusal)
        given = held.get("tool_calls") or []
        if not isinstance(given, list):
            raise RequestError("the tool calls of a message must be a list")
        calls = tuple(_call(as_object(call), place) for place, call in enumerate(given))
        if dialect not in _CUSTOM and any(call.text is not None for call in calls):
            raise no_option("a custom tool call", dialect, "a call must be of a function")
        return ChatMessage(role, parts, calls, owned=tuple(owned(held)), raw=held)
    if role != "tool":
        return ChatMessage(role, parts, name=name, raw=held)
    if dialect not in _CUSTOM and ITEM in held:
        raise no_option(f"an item of type {as_object(held[ITEM]).get('type')}", dialect)
    call_id = held.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        raise RequestError("a message of a tool must have the tool_call_id that it answers")
    return ChatMessage(role, parts, call_id=call_id, name=name or called.get(call_id, ""), raw=held)


def _parts(dialect: str, content: Any) -> tuple[Part, ...]:
    if content is None or isinstance(content, str):
        return (content,) if content else ()
    if not isinstance(content, list):
        raise RequestError("the content of a message must be text or a list of parts")
    return tuple(_part(dialect, part) for part in content)


def _part(dialect: str, held: Any) -> Part:
    if isinstance(held, str):
        return held
    part = as_object(held)
    kind = part.get("type")
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise no_option(f"a part of type {kind}", dialect, "a message has text and pictures only")
    return read(part)


def _text(part: Mapping[str, Any]) -> Part:
    text = part.get("text", part.get("refusal"))
    if not isinstance(text, str):
        raise RequestError("a part of type text must have a text")
    return text


def _picture(part: Mapping[str, Any]) -> Part:
    held = part.get("image_url")
    url = held if isinstance(held, str) else as_object(held).get("url")
    detail = as_string(as_object(held).get("detail", part.get("detail")))
    if not isinstance(url, str) or not url:
        raise RequestError("a part of type image_url must have a url")
    if url[:5].lower() != "data:":
        if not _is_http(url):
            raise RequestError("the url of a picture must begin with http://, https:// or data:")
        return Picture(url, detail=detail)
    head = _DATA_URL.match(url)
    if head is None:
        raise RequestError("a picture's data: URL must have a media type and a comma")
    return Picture(url, *_decode_data_url(url, head), detail)


def _is_http(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))


def _decode_data_url(url: str, head: re.Match[str]) -> tuple[str, str]:
    """The media type of a ``data:`` URL, and its data in base64."""
    data = url[head.end() :]
    if head[2].lower().endswith(";base64"):
        base64 = _SPACE.sub("", data)
    else:
        base64 = b64encode(unquote_to_bytes(data)).decode()
    return head[1].lower() or "text/plain", base64


def _file(part: Mapping[str, Any]) -> Part:
    """A file: chat completions have it in a ``file``, responses beside the ``type``."""
    held = as_object(part["file"]) if "file" in part else part
    name, data, url, key = (
        as_string(held.get(field)) for field in ("filename", "file_data", "file_url", "file_id")
    )
    if data:
        head = _DATA_URL.match(data)
        if head is None:
            return _file_or_picture(File(mimetypes.guess_type(name)[0] or PDF, data, name=name))
        return _file_or_picture(File(*_decode_data_url(data, head), name=name))
    if _is_http(url):
        path = url.partition("?")[0].partition("#")[0]
        return _file_or_picture(File(mimetypes.guess_type(path)[0] or "", url=url, name=name))
    if key:
        return File(id=key, name=name)
    raise RequestError("a file must have file_data, a file_url that is http(s), or a file_id")


def _file_or_picture(file: File) -> Part:
    """The file, as a picture if it is one."""
    if not file.media_type.startswith("image/"):
        return file
    return Picture(file.url or file.data_url, file.media_type if file.base64 else "", file.base64)


def _audio(part: Mapping[str, Any]) -> Part:
    held = as_object(part.get("input_audio"))
    data, form = as_string(held.get("data")), as_string(held.get("format"))
    if not data or not form:
        raise RequestError("a part of type input_audio must have data and a format")
    return File(AUDIO.get(form, f"audio/{form}"), _SPACE.sub("", data))


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal"), _text),
    **dict.fromkeys(("image_url", "input_image"), _picture),
    **dict.fromkeys(("file", "input_file"), _file),
    "input_audio": _audio,
}


def _call(held: Mapping[str, Any], place: int) -> ChatToolCall:
    key = as_string(held.get("id")) or f"call_{place}"
    custom, function = as_object(held.get("custom")), as_object(held.get("function"))
    if held.get("type") == "custom" or custom:
        name, text = custom.get("name"), custom.get("input")
        if not isinstance(name, str) or not name or not isinstance(text, str):
            raise RequestError("a custom tool call must have a name and an input")
        return ChatToolCall(key, name, {}, text)
    name, arguments = function.get("name"), function.get("arguments") or "{}"
    if not isinstance(name, str) or not name:
        raise RequestError("a tool call must have a function with a name")
    try:
        arguments = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise RequestError("the arguments of a tool call must be a JSON object")
    return ChatToolCall(key, name, arguments)
