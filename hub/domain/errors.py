"""Every error of the hub, each with a code that says what to do about it.

::

    HubError                    internal
    ├── ConfigError             config_invalid      the configuration cannot be used
    ├── RequestError            bad_request         a client asked for something malformed
    │   ├── CommandError        bad_command         a WebSocket command that is not one
    │   ├── PositionError       bad_position        a position that is not one
    │   ├── InvalidName         bad_name            a stream name that is not one
    │   ├── TooLarge            too_large           a body, frame, event or prompt over its limit
    │   └── UnsupportedType     unsupported_type    a content type that is not taken here
    ├── Unauthorized            unauthorized        a credential is missing or does not hold
    ├── Forbidden               forbidden           the Origin or the credential does not allow it
    │   └── ProducerFenced      producer_fenced     a newer epoch of the producer took over
    ├── NotFound                not_found           nothing has this address
    │   ├── StreamNotFound      stream_not_found    no stream has this name
    │   ├── GenerationNotFound  generation_not_found
    │   └── UpstreamNotFound    upstream_not_found  no upstream has this name
    ├── Conflict                conflict            the state does not allow it
    │   ├── StreamClosed        stream_closed       a closed stream takes no more records
    │   ├── StreamBusy          stream_busy         one generation at a time for each stream
    │   ├── KeyReused           key_reused          an idempotency key with another request
    │   └── ProducerGap         producer_gap        an earlier append of the producer is missing
    ├── Gone                    gone                what was asked for is no longer kept
    ├── LimitExceeded           limit_exceeded      a limit from the configuration is reached
    ├── Draining                draining            the hub is shutting down: come back
    ├── Unavailable             unavailable         something that the hub needs is away: come back
    ├── StoreError              store_failed        the store cannot keep what it is given
    └── UpstreamError           upstream_error      an upstream did not do its part
        └── FramingError        upstream_malformed  its bytes are not what they should be

A class gives the default code; a raise may name a finer one (``upstream_stalled``,
``upstream_rate_limited``). The message is one sentence for a person; it never holds a
secret, a local path that is not the user's own, or a stack trace. How a code shows on
the wire is decided in one place, ``hub.http.errors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = [
    "CommandError",
    "ConfigError",
    "Conflict",
    "Draining",
    "Forbidden",
    "FramingError",
    "GenerationNotFound",
    "Gone",
    "HubError",
    "InvalidName",
    "KeyReused",
    "LimitExceeded",
    "NotFound",
    "PositionError",
    "ProducerFenced",
    "ProducerGap",
    "Refusal",
    "RequestError",
    "StoreError",
    "StreamBusy",
    "StreamClosed",
    "StreamNotFound",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnsupportedType",
    "UpstreamError",
    "UpstreamNotFound",
    "printable",
]


def printable(message: str) -> str:
    """A message that may repeat what a client sent, as text.

    A header of HTTP may hold any bytes: those that are no text are shown as escapes.
    """
    return message.encode("utf-8", "backslashreplace").decode()


class HubError(Exception):
    """The root: ``code`` is for programs, ``message`` for people.

    ``param`` is the one field of a request that is at fault, where there is one.
    """

    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        message = printable(message)
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param if param is None else printable(param)

    def __str__(self) -> str:
        return self.message


class ConfigError(HubError):
    default_code = "config_invalid"


class RequestError(HubError):
    default_code = "bad_request"


class CommandError(RequestError):
    """``reply_to`` is the ``id`` of the command, where it had one."""

    default_code = "bad_command"

    def __init__(
        self, message: str, *, code: str | None = None, reply_to: str | int | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.reply_to = reply_to


class PositionError(RequestError):
    default_code = "bad_position"


class InvalidName(RequestError):
    default_code = "bad_name"


class TooLarge(RequestError):
    default_code = "too_large"


class UnsupportedType(RequestError):
    default_code = "unsupported_type"


class Unauthorized(HubError):
    default_code = "unauthorized"


class Forbidden(HubError):
    default_code = "forbidden"


class ProducerFenced(Forbidden):
    """``epoch`` is the one that has taken over."""

    default_code = "producer_fenced"

    def __init__(self, message: str, *, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch


class NotFound(HubError):
    default_code = "not_found"


class StreamNotFound(NotFound):
    default_code = "stream_not_found"

    @classmethod
    def named(cls, name: str) -> StreamNotFound:
        """The same sentence whether there is no such stream or somebody may not know of it."""
        return cls(f'no stream is called "{name}": it begins with its first append or generation')


class GenerationNotFound(NotFound):
    default_code = "generation_not_found"


class UpstreamNotFound(NotFound):
    default_code = "upstream_not_found"


class Conflict(HubError):
    default_code = "conflict"


class StreamClosed(Conflict):
    """``position`` is where the stream ends, for good, as text; ``None`` if that is not known."""

    default_code = "stream_closed"

    def __init__(
        self, message: str, *, code: str | None = None, position: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.position = position


class StreamBusy(Conflict):
    default_code = "stream_busy"


class KeyReused(Conflict):
    default_code = "key_reused"


class ProducerGap(Conflict):
    """``expected`` is the number of the append that is missing, ``received`` the one that came."""

    default_code = "producer_gap"

    def __init__(self, message: str, *, expected: int, received: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.received = received


class Gone(HubError):
    default_code = "gone"


class LimitExceeded(HubError):
    default_code = "limit_exceeded"


class Draining(HubError):
    default_code = "draining"


class Unavailable(HubError):
    default_code = "unavailable"


class StoreError(HubError):
    default_code = "store_failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider itself said of what it refused, for the client that it is passed on to.

    ``message`` is in its words, cleaned and without keys. ``said`` holds what it said of
    ``code``, ``type`` and ``param``, each only if it named it: a code of ``None`` is its word
    that there is none. ``status`` is its HTTP status, or the one that its words stand for.
    """

    status: int | None = None
    message: str = ""
    said: Mapping[str, str | int | None] = field(default_factory=dict)


class UpstreamError(HubError):
    """An upstream refused, failed, stalled, lied or stopped half-way.

    ``retry_after`` is the wait in seconds that the upstream asked for, ``retryable``
    whether trying again before the first word can help at all, ``attempts`` how often the hub
    has asked, and ``refusal`` what the provider said, if it said anything.
    """

    default_code = "upstream_error"

    retry_after: float | None = None
    refusal: Refusal | None = None
    attempts = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable
        self.retry_after = retry_after
        self.refusal = refusal


class FramingError(UpstreamError):
    default_code = "upstream_malformed"
