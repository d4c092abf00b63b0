"""Dialects: what each provider's requests and replies look like; one file a provider.

A dialect is pure: it turns a prompt into a request and chunks into events, and does no I/O. One
instance reads one reply. Dialects are registered in the entry-point group ``streamhub.dialects``
(those of this package in ``pyproject.toml``). Each is a callable that takes the options of its
``[upstreams.NAME.options]`` table; nothing else refers to it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

from hub.domain.errors import ConfigError
from hub.domain.events import Event, Usage
from hub.domain.prompt import Prompt
from hub.framing import Chunk, Framing
from hub.lazy_imports import lazy

__all__ = [
    "BEARER",
    "Call",
    "Dialect",
    "HasAlternatives",
    "HasItems",
    "KeyHeader",
    "Knowing",
    "Local",
    "MakeDialect",
    "Reasoning",
    "Stopping",
    "find",
    "names",
]

GROUP: Final = "streamhub.dialects"


@dataclass(frozen=True, slots=True)
class KeyHeader:
    """The header that carries an API key, and what stands before the key in it."""

    name: str
    prefix: str = ""


BEARER: Final = KeyHeader("Authorization", "Bearer ")


@dataclass(frozen=True, slots=True)
class Call:
    """The request to send: ``path`` is added to the configured URL, ``body`` is sent as JSON.

    ``path`` may end in a query. ``key`` is the header for the API key, if one is configured.
    """

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    key: KeyHeader = BEARER


class Dialect(Protocol):
    """Reads one reply of one upstream.

    Its events have no generation, upstream or time: the generation adds these. It gives at most one
    terminal event, and nothing after it.
    """

    @property
    def ending(self) -> bool:
        """Whether the provider has said that the text is complete; only trailers may follow."""

    @property
    def usage(self) -> Usage | None:
        """The token counts reported so far."""

    def call(self, prompt: Prompt) -> Call:
        """The HTTP request for a prompt; its method is POST.

        Raises:
            RequestError: this provider cannot do what the prompt asks for.
        """

    def framing(self, limit: int) -> Framing:
        """The framing of the reply's body, with at most ``limit`` bytes to a chunk."""

    def events(self, chunk: Chunk) -> Iterable[Event]:
        """The events of one chunk.

        Raises:
            UpstreamError: the chunk cannot be understood.
        """

    def close(self, *, clean: bool) -> Iterable[Event]:
        """The body has ended; ``clean`` if the transport itself marked the end.

        Gives what was held back, and the terminal event if the provider has said enough for one.
        Without a terminal event the reply was cut off.
        """


@runtime_checkable
class Local(Protocol):
    """A dialect that needs no network: it makes the body itself."""

    def script(self, prompt: Prompt) -> Iterable[tuple[float, bytes]]:
        """The bytes of a reply, each piece with the seconds to wait before it."""


@runtime_checkable
class HasAlternatives(Protocol):
    """A dialect that can write the same request with other fields."""

    @property
    def alternatives(self) -> Mapping[str, str | None]:
        """Fields that a server may refuse, each with the one to send instead.

        ``None`` means that the field is left out. Neither may change the answer.
        """


if TYPE_CHECKING:
    Yielding = HasAlternatives
else:
    __getattr__, __dir__ = lazy(
        __name__, {}, deprecated={"Yielding": "hub.dialects:HasAlternatives"}
    )


@runtime_checkable
class Knowing(Protocol):
    """A dialect that knows which models there are."""

    @property
    def models(self) -> Collection[str]:
        """Their names, besides the upstream's own and its configured model."""


@runtime_checkable
class HasItems(Protocol):
    """A dialect whose provider speaks OpenAI's Responses.

    It takes tools and items of that API unchanged.
    """

    native_items: ClassVar[bool]


@runtime_checkable
class Reasoning(Protocol):
    """A dialect whose terminator alone does not mean that there is an answer."""

    @property
    def reasoned(self) -> bool:
        """Whether the provider has given a reason for the end.

        Without one, an end before any content is a failure: some servers send only their
        terminator then.
        """


@runtime_checkable
class Stopping(Protocol):
    """A dialect that may end a reply itself, before its provider does."""

    @property
    def stopped(self) -> bool:
        """Whether it has, so that the provider may still be writing and is to be cut off."""


MakeDialect = Callable[[Mapping[str, Any]], Dialect]


@cache
def _registered() -> Mapping[str, MakeDialect]:
    return {point.name: point.load() for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """The names of the registered dialects, sorted."""
    return sorted(_registered())


def find(name: str) -> MakeDialect:
    """The dialect of this name.

    Raises:
        ConfigError: there is none.
    """
    found = _registered().get(name)
    if found is None:
        raise ConfigError(f'unknown dialect "{name}"; there are: {", ".join(names())}')
    return found
