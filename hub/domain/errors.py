"""Every error of the hub, each with a code that tells a program what to do.

::

    HubError                    internal
    ├── ConfigError             config_invalid      the configuration is not valid
    ├── RequestError            bad_request         a client's request is malformed
    │   ├── CommandError        bad_command         a WebSocket command is malformed
    │   ├── PositionError       bad_position        a position is malformed
    │   ├── InvalidName         bad_name            a stream name is not valid
    │   ├── TooLarge            too_large           a body, frame, event or prompt over its limit
    │   └── UnsupportedType     unsupported_type    a content type that the route does not take
    ├── Unauthorized            unauthorized        a credential is missing or not valid
    ├── Forbidden               forbidden           the client may not do this
    │   └── ProducerFenced      producer_fenced     a newer epoch of the producer took over
    ├── NotFound                not_found           nothing is at this address
    │   ├── StreamNotFound      stream_not_found    no stream has this name
    │   ├── GenerationNotFound  generation_not_found
    │   ├── MessageNotFound     message_not_found   no message of the conversation has this name
    │   └── UpstreamNotFound    upstream_not_found  no upstream has this name
    ├── Conflict                conflict            the current state does not allow it
    │   ├── StreamClosed        stream_closed       a closed stream takes no more records
    │   ├── StreamBusy          stream_busy         a generation already runs in the stream
    │   ├── KeyReused           key_reused          an idempotency key with a different request
    │   └── ProducerGap         producer_gap        an earlier append of the producer is missing
    ├── Gone                    gone                the requested data is no longer kept
    ├── LimitExceeded           limit_exceeded      a configured limit is reached
    │   └── RateLimited         rate_limit_exceeded one principal has done something too often
    ├── Draining                draining            the hub is shutting down: reconnect
    ├── Unavailable             unavailable         a service that the hub needs cannot be reached
    ├── StoreError              store_failed        the store cannot save the data
    └── UpstreamError           upstream_error      an upstream failed
        └── FramingError        upstream_malformed  its bytes are not what they should be

A class has a default code; a ``raise`` may give a finer one (``upstream_stalled``,
``upstream_rate_limited``). The message is one sentence for a person. It never contains a secret, a
local path that is not the user's own, or a stack trace. ``hub.http.errors`` decides how each code
appears on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

__all__ = [
    "MISSING",
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
    "RateLimited",
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
    """Escape the bytes of a message that are not text; it may quote an HTTP header."""
    return message.encode("utf-8", "backslashreplace").decode()


class HubError(Exception):
    """The root: ``code`` is for programs, ``message`` for people.

    ``param`` is the field of the request that caused the error, if there is one.
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
    """``reply_to`` is the ``id`` of the command, if it had one."""

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


MISSING: Final = "this needs a credential: send a key or a token of this hub"
"""What `Unauthorized` says to whoever has shown none."""


class Unauthorized(HubError):
    default_code = "unauthorized"


class Forbidden(HubError):
    default_code = "forbidden"


class ProducerFenced(Forbidden):
    """``epoch`` is the one that took over."""

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


class MessageNotFound(NotFound):
    """A conversation has no message of that name."""

    default_code = "message_not_found"


class UpstreamNotFound(NotFound):
    default_code = "upstream_not_found"


class Conflict(HubError):
    default_code = "conflict"


class StreamClosed(Conflict):
    """``position`` is the stream's final position as text, or ``None`` if it is not known."""

    default_code = "stream_closed"

    def __init__(
        self, message: str, *, code: str | None = None, position: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.position = position

    @classmethod
    def named(cls, name: str, position: str) -> StreamClosed:
        """The error of a write to a closed stream."""
        said = f'stream "{name}" is closed and takes no more records'
        return cls(said, position=position)


class StreamBusy(Conflict):
    default_code = "stream_busy"


class KeyReused(Conflict):
    default_code = "key_reused"


class ProducerGap(Conflict):
    """``expected`` is the number of the missing append, ``received`` that of this one."""

    default_code = "producer_gap"

    def __init__(self, message: str, *, expected: int, received: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.received = received


class Gone(HubError):
    default_code = "gone"


class LimitExceeded(HubError):
    default_code = "limit_exceeded"


class RateLimited(LimitExceeded):
    """Somebody has done something too often, or too much at a time.

    ``wait`` is after how many seconds it is allowed again, ``None`` if that is not known.
    """

    default_code = "rate_limit_exceeded"
    wait: float | None = None

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Draining(HubError):
    default_code = "draining"


class Unavailable(HubError):
    default_code = "unavailable"


class StoreError(HubError):
    default_code = "store_failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's own error, to pass on to the client.

    ``message`` is the provider's, cleaned and without keys. ``said`` has those of ``code``,
    ``type`` and ``param`` that the provider sent; a code of ``None`` means that it sent ``null``.
    ``status`` is its HTTP status, or the one that its error stands for.
    """

    status: int | None = None
    message: str = ""
    said: Mapping[str, str | int | None] = field(default_factory=dict)


class UpstreamError(HubError):
    """An upstream refused, failed, stalled, broke off or sent something invalid.

    ``retry_after`` is how many seconds the upstream asks to wait, ``retryable`` whether a retry
    before the first delta can help, ``attempts`` how many requests the hub has made, and
    ``refusal`` the provider's own error, if it sent one.
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
