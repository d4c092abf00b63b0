"""What a prompt asks for, read once for all dialects that must put it in other words.

A `Prompt` has OpenAI's chat shape, loosely held: content that is text or a list of parts,
arguments that are JSON in a string, a picture that is a URL. Here the nouns in it get a
form of their own, checked, from which a dialect writes its provider's body::

    asked = Requested("cohere", prompt, takes=("temperature", "tools"))
    for message in asked.messages:
        message.role, message.parts, message.calls

Which options there are to translate, and which are refused, is in
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

from hub.dialects.request.request_options import no_option, options_asked
from hub.domain.errors import RequestError
from hub.domain.events import NOTHING
from hub.domain.json_values import as_object, as_text
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import owned

__all__ = [
    "AUDIO",
    "PDF",
    "AskedCall",
    "AskedMessage",
    "ChatRequest",
    "File",
    "Output",
    "Part",
    "Picture",
    "Tool",
    "no_option",
]

_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")
PDF: Final = "application/pdf"
AUDIO: Final[Mapping[str, str]] = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The media types of OpenAI's names for sounds."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that goes with a message: where it is, or what it is.

    ``base64`` and ``media_type`` are of a ``data:`` URL; else both are empty. ``detail`` is
    OpenAI's word for how closely to look (``low``, ``high``, ``auto``), empty for none.
    """

    url: str
    media_type: str = ""
    base64: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A document or a sound that goes with a message: what it is, where it is, or its id.

    One of ``base64``, ``url`` and ``id`` says so, the others are empty. The id is one that the
    provider gave. ``media_type`` is empty where nobody said it; ``name`` is the file's own.
    """

    media_type: str = ""
    base64: str = ""
    url: str = ""
    id: str = ""
    name: str = ""

    @property
    def data_url(self) -> str:
        """The file as a ``data:`` URL."""
        return f"data:{self.media_type};base64,{self.base64}"


Part = str | Picture | File
"""A part of a message: text, a picture or a file."""


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A tool call of the conversation so far, its arguments as an object.

    Of a custom tool, they are ``text`` instead; else that is ``None``.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    text: str | None = None

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON text."""
        return as_text(dict(self.arguments))


@dataclass(frozen=True, slots=True)
class AskedMessage:
    """One message: ``role`` is ``system``, ``user``, ``assistant`` or ``tool``.

    ``developer`` is another name of ``system``. ``calls`` are an assistant's; ``answers``
    is the id of the call that a tool's message is the result of, ``name`` the tool's, taken
    from that call where the message does not say it. ``owned`` are fields of an assistant's that
    its provider is to see again (`hub.domain.provider_fields`). ``held`` is the message as it came.
    """

    role: str
    parts: tuple[Part, ...]
    calls: tuple[AskedCall, ...] = ()
    answers: str = ""
    name: str = ""
    owned: tuple[Mapping[str, Any], ...] = ()
    held: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures in it."""
        return tuple(part for part in self.parts if isinstance(part, Picture))

    @property
    def files(self) -> tuple[File, ...]:
        """All files in it that are no pictures."""
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
    """That the answer is to be JSON, by a schema if there is one."""

    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool | None = None
    description: str | None = None


class ChatRequest:
    """A prompt, read for one dialect.

    ``options`` are those that ask for something. ``takes`` names the ones that the dialect
    puts into its request, ``model`` and the messages apart. Messages may have files if it says
    so; which, is for the dialect to see.

    Raises:
        RequestError: ``unsupported_option``, an option that is not among them; or the
            prompt has not the shape that it must have.
    """

    def __init__(
        self, dialect: str, prompt: Prompt, takes: Iterable[str], *, files: bool = False
    ) -> None:
        self.dialect = dialect
        self.model = prompt.model
        self.options = options_asked(prompt.options, dialect, frozenset(takes))
        self.messages = _messages(dialect, prompt.messages)
        if not files and any(message.files for message in self.messages):
            raise no_option("a part of type file", dialect, "a message has text and pictures only")

    @property
    def system(self) -> str:
        """The text of all system messages, for providers that keep it apart."""
        texts = [message.text for message in self.messages if message.role == "system"]
        return "\n\n".join(text for text in texts if text)

    @property
    def stop(self) -> list[str]:
        """The strings that end an answer."""
        held = self.options.get("stop")
        stops = [held] if isinstance(held, str) else held or []
        if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
            raise RequestError("stop must be a string or a list of strings")
        return stops

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that the answer may have, by whichever of its two names."""
        held = self.options.get("max_completion_tokens", self.options.get("max_tokens"))
        if held is not None and (type(held) is not int or held < 1):
            raise RequestError("max_tokens must be a whole number above 0")
        return held

    @property
    def tools(self) -> list[Tool]:
        """The functions that the model may call, where it may call no other tools."""
        return [self.tool(held) for held in self.held_tools]

    @property
    def held_tools(self) -> list[Any]:
        """The tools as they stand in the request: those that are allowed, where that is said."""
        held = self.options.get("tools", [])
        if not isinstance(held, list):
            raise RequestError("tools must be a list")
        allowed = self.allowed
        return held if allowed is None else [tool for tool in held if _tool_name(tool) in allowed]

    @property
    def allowed(self) -> list[str] | None:
        """The names of the tools that alone may be called; ``None`` where all may.

        Chat completions have them in ``allowed_tools``, responses beside the ``type``.

        Raises:
            RequestError: they are not told as OpenAI has it, or one is no function.
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
        """``auto``, ``none``, ``required``, or the one tool to call; ``None`` if not said."""
        held = self.options.get("tool_choice")
        if self.allowed is not None:
            choice = as_object(held)
            held = as_object(choice.get("allowed_tools", choice)).get("mode", "auto")
        if held is None or held in ("auto", "none", "required"):
            return held
        name = as_object(as_object(held).get("function")).get("name")
        if not isinstance(name, str) or as_object(held).get("type") != "function":
            raise no_option("tool_choice", self.dialect, "say auto, none, required or a function")
        # A tool that the provider runs itself is no function, and has no such name.
        found = [tool for tool in self.held_tools if _function_of(tool).get("name") == name]
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
            raise no_option("response_format", self.dialect, "say json_object or json_schema")
        said = as_object(held.get("json_schema"))
        schema = said.get("schema")
        if schema is not None and not isinstance(schema, dict):
            raise RequestError("the schema in response_format must be an object")
        name, strict, description = said.get("name"), said.get("strict"), said.get("description")
        return Output(
            schema,
            name if isinstance(name, str) and name else "answer",
            strict if isinstance(strict, bool) else None,
            description if isinstance(description, str) else None,
        )

    def copied(self, names: Iterable[str] | Mapping[str, str]) -> dict[str, Any]:
        """The options among ``names`` that were given, each under the provider's name."""
        pairs = names if isinstance(names, Mapping) else {name: name for name in names}
        return {there: self.options[ours] for ours, there in pairs.items() if ours in self.options}

    def tool(self, held: Any) -> Tool:
        """One of the tools, as it stands in the request."""
        if as_object(held).get("type", "function") != "function":
            raise no_option("tools", self.dialect, "a tool must be a function")
        function = _function_of(held)
        name, said = function.get("name"), function.get("description")
        schema, strict = function.get("parameters"), function.get("strict")
        if not isinstance(name, str) or not name:
            raise RequestError("a tool must have a function with a name")
        if schema is not None and not isinstance(schema, dict):
            raise RequestError("the parameters of a tool must be a JSON schema, an object")
        return Tool(
            name,
            said if isinstance(said, str) else None,
            schema,
            strict if isinstance(strict, bool) else None,
        )


def _tool_name(held: Any) -> Any:
    """The name of a tool: chat completions have it under the ``type``, responses beside it."""
    tool = as_object(held)
    return as_object(tool.get("function") or tool.get("custom") or tool).get("name")


def _function_of(held: Any) -> Mapping[str, Any]:
    """The function that a tool is; an empty one for any other tool."""
    return as_object(as_object(held).get("function"))


def _messages(dialect: str, held: Iterable[Any]) -> tuple[AskedMessage, ...]:
    called: dict[str, str] = {}
    messages: list[AskedMessage] = []
    for each in held:
        message = _message(dialect, each, called)
        called.update({call.id: call.name for call in message.calls})
        messages.append(message)
    return tuple(messages)


def _message(dialect: str, held: Any, called: Mapping[str, str]) -> AskedMessage:
    if not isinstance(held, dict | Mapping):
        raise RequestError("each message must be an object")
    role, name = held.get("role"), held.get("name")
    if role == "developer":
        role = "system"
    if role not in _ROLES:
        raise RequestError(
            "the role of a message must be system, developer, user, assistant or tool"
        )
    parts = _parts(dialect, held.get("content"))
    if role == "assistant":
        refusal = held.get("refusal")
        if isinstance(refusal, str) and refusal:
            parts = (*parts, refusal)
        calls, own = _calls(held.get("tool_calls")), tuple(owned(held))
        if dialect not in _CUSTOM and any(call.text is not None for call in calls):
            raise no_option("a custom tool call", dialect, "a call must be of a function")
        return AskedMessage(role, parts, calls, owned=own, held=held)
    if role != "tool":
        return AskedMessage(role, parts, name=name if isinstance(name, str) else "", held=held)
    answers = held.get("tool_call_id")
    if not isinstance(answers, str) or not answers:
        raise RequestError("a message of a tool must have the tool_call_id that it answers")
    named = name if isinstance(name, str) and name else called.get(answers, "")
    return AskedMessage(role, parts, answers=answers, name=named, held=held)


# Who knows tools that take any text.
_CUSTOM: Final = frozenset({"openai-responses"})
_ROLES: Final = ("system", "user", "assistant", "tool")


def _parts(dialect: str, content: Any) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
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
    detail = as_object(held).get("detail", part.get("detail"))
    detail = detail if isinstance(detail, str) else ""
    if not isinstance(url, str) or not url:
        raise RequestError("a part of type image_url must have a url")
    if url[:5].lower() != "data:":
        if not url[:8].lower().startswith(("http://", "https://")):
            raise RequestError("the url of a picture must begin with http://, https:// or data:")
        return Picture(url, detail=detail)
    head = _DATA_URL.match(url)
    if head is None:
        raise RequestError("a picture's data: URL must have a media type and a comma")
    return Picture(url, *_inside(url, head), detail)


def _inside(url: str, head: re.Match[str]) -> tuple[str, str]:
    """The media type of a ``data:`` URL, and what it holds in base64."""
    inside = url[head.end() :]
    if head[2].lower().endswith(";base64"):
        base64 = _SPACE.sub("", inside)
    else:
        base64 = b64encode(unquote_to_bytes(inside)).decode()
    return head[1].lower() or "text/plain", base64


def _file(part: Mapping[str, Any]) -> Part:
    """Chat completions have it in a ``file``, responses beside the ``type``."""
    held = as_object(part["file"]) if "file" in part else part
    name = held.get("filename")
    name = name if isinstance(name, str) else ""
    data, url, key = (held.get(field) for field in ("file_data", "file_url", "file_id"))
    if isinstance(data, str) and data:
        head = _DATA_URL.match(data)
        if head is None:
            return _with_type(File(mimetypes.guess_type(name)[0] or PDF, data, name=name))
        media_type, base64 = _inside(data, head)
        return _with_type(File(media_type, base64, name=name))
    if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")):
        path = url.partition("?")[0].partition("#")[0]
        return _with_type(File(mimetypes.guess_type(path)[0] or "", url=url, name=name))
    if isinstance(key, str) and key:
        return File(id=key, name=name)
    raise RequestError("a file must have file_data, a file_url that is http(s), or a file_id")


def _with_type(file: File) -> Part:
    """A file; a picture, if it is one."""
    if not file.media_type.startswith("image/"):
        return file
    return Picture(file.url or file.data_url, file.media_type if file.base64 else "", file.base64)


def _audio(part: Mapping[str, Any]) -> Part:
    held = as_object(part.get("input_audio"))
    data, form = held.get("data"), held.get("format")
    if not isinstance(data, str) or not data or not isinstance(form, str) or not form:
        raise RequestError("a part of type input_audio must have data and a format")
    return File(AUDIO.get(form, f"audio/{form}"), _SPACE.sub("", data))


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _text,
    "image_url": _picture,
    "input_image": _picture,
    "file": _file,
    "input_file": _file,
    "input_audio": _audio,
}


def _calls(held: Any) -> tuple[AskedCall, ...]:
    if not held:
        return ()
    if not isinstance(held, list):
        raise RequestError("the tool calls of a message must be a list")
    return tuple(_call(call, place) for place, call in enumerate(held))


def _call(held: Any, place: int) -> AskedCall:
    custom = as_object(as_object(held).get("custom"))
    if as_object(held).get("type") == "custom" or custom:
        key, name, text = as_object(held).get("id"), custom.get("name"), custom.get("input")
        if not isinstance(name, str) or not name or not isinstance(text, str):
            raise RequestError("a custom tool call must have a name and an input")
        return AskedCall(key if isinstance(key, str) and key else f"call_{place}", name, {}, text)
    function = as_object(as_object(held).get("function"))
    key, name = as_object(held).get("id"), function.get("name")
    if not isinstance(name, str) or not name:
        raise RequestError("a tool call must have a function with a name")
    arguments = function.get("arguments") or "{}"
    try:
        said = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise RequestError("the arguments of a tool call must be a JSON object")
    return AskedCall(key if isinstance(key, str) and key else f"call_{place}", name, said)
