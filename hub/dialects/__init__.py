"""Dialects: what one provider's chunks mean. One file a provider, found by name.

A dialect is pure: it turns a prompt into a request and chunks into events, and does no
I/O of its own. One instance reads one reply. Dialects are registered in the entry-point
group ``streamhub.dialects`` (this package's own in ``pyproject.toml``), each a callable
that takes the options of its ``[upstreams.NAME]`` table; nothing else names them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

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
    "KeyHeader",
    "Knowing",
    "Local",
    "MakeDialect",
    "Reasoning",
    "find",
    "names",
]

GROUP: Final = "streamhub.dialects"


@dataclass(frozen=True, slots=True)
class KeyHeader:
    """The header in which an API key is shown, and what stands there before the key."""

    name: str
    prefix: str = ""


BEARER: Final = KeyHeader("Authorization", "Bearer ")


@dataclass(frozen=True, slots=True)
class Call:
    """The request to send: ``path`` is added to the configured URL, ``body`` goes as JSON.

    ``key`` is how this provider wants the API key shown, where one is configured. A path may
    end in a query.
    """

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    key: KeyHeader = BEARER


class Dialect(Protocol):
    """Reads one reply of one upstream.

    Events come without generation, upstream and time: the generation adds these. At most
    one terminal event is given, and nothing after it.
    """

    @property
    def ending(self) -> bool:
        """The provider has said that the text is complete; only trailers may follow."""

    @property
    def usage(self) -> Usage | None:
        """The tokens that the provider has reported so far, if any."""

    def call(self, prompt: Prompt) -> Call:
        """The HTTP request for a prompt (method POST).

        Raises:
            RequestError: this provider cannot take what the prompt asks for.
        """

    def framing(self, limit: int) -> Framing:
        """How this provider cuts its body; ``limit`` is the bytes a chunk may have."""

    def events(self, chunk: Chunk) -> Iterable[Event]:
        """What one chunk says.

        Raises:
            UpstreamError: it cannot be understood.
        """

    def close(self, *, clean: bool) -> Iterable[Event]:
        """The body has ended; ``clean`` if the transport itself marked the end.

        Gives what was held back, and the terminal event if the provider had said enough
        for one. Nothing terminal here means that the reply was cut off.
        """


@runtime_checkable
class Local(Protocol):
    """The extra power of a dialect that needs no network: it makes its body itself."""

    def script(self, prompt: Prompt) -> Iterable[tuple[float, bytes]]:
        """The bytes of a reply as an upstream's socket would bring them.

        Each piece comes with the seconds to wait before it; 0 is no wait at all.
        """


@runtime_checkable
class HasAlternatives(Protocol):
    """The extra power of a dialect that can ask for the same in another manner."""

    @property
    def alternatives(self) -> Mapping[str, str | None]:
        """What a server may refuse of a request's fields, each with the field to send instead.

        ``None`` is for one that is left out. No answer may be different for either.
        """


if TYPE_CHECKING:
    Yielding = HasAlternatives
else:
    __getattr__, __dir__ = lazy(
        __name__, {}, deprecated={"Yielding": "hub.dialects:HasAlternatives"}
    )


@runtime_checkable
class Knowing(Protocol):
    """The extra power of a dialect that knows by itself which models there are."""

    @property
    def models(self) -> Collection[str]:
        """Their names, besides that of the upstream and the model it is configured with."""


@runtime_checkable
class Reasoning(Protocol):
    """The extra power of a dialect whose terminator alone does not say that there is an answer."""

    @property
    def reasoned(self) -> bool:
        """The provider has said why its text ends. Without that, an end before any content is
        no answer: some servers send nothing but their terminator when they fail.
        """


MakeDialect = Callable[[Mapping[str, Any]], Dialect]


@cache
def _registered() -> Mapping[str, MakeDialect]:
    return {point.name: point.load() for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """The dialects there are, sorted."""
    return sorted(_registered())


def find(name: str) -> MakeDialect:
    """The maker of a dialect.

    Raises:
        ConfigError: no dialect has this name.
    """
    made = _registered().get(name)
    if made is None:
        raise ConfigError(f'unknown dialect "{name}"; there are: {", ".join(names())}')
    return made
