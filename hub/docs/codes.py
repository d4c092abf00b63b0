"""Every error code that a client can see: the class it is raised as, and its meaning.

The HTTP statuses are in `hub.http.errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final, NamedTuple

from hub.domain import errors as e
from hub.http.errors import status_of

__all__ = ["CODES", "FAILURES", "Code", "by_status", "status"]


class Code(NamedTuple):
    """The class that a code is raised as, and its meaning."""

    kind: type[e.HubError]
    meaning: str


CODES: Final[Mapping[str, Code]] = {
    # The request is wrong.
    "bad_request": Code(e.RequestError, "the request is malformed"),
    "bad_body": Code(e.RequestError, "the body does not match its headers"),
    "bad_content_type": Code(e.RequestError, "Content-Type is missing or malformed"),
    "bad_event": Code(e.RequestError, "not an event, or one that only the hub may write"),
    "bad_expectation": Code(e.RequestError, "the hub does not support this Expect header"),
    "bad_expiry": Code(e.RequestError, "Stream-TTL or Stream-Expires-At is malformed"),
    "bad_fork_offset": Code(e.RequestError, "the offset of a fork is malformed"),
    "bad_format": Code(e.RequestError, "the hub does not have this format"),
    "bad_header": Code(e.RequestError, "a header is repeated or is not text"),
    "bad_http": Code(e.RequestError, "the request is not valid HTTP"),
    "bad_json": Code(e.RequestError, "the body is not JSON, or is nested too deeply"),
    "bad_key": Code(e.RequestError, "the idempotency key is malformed"),
    "bad_limit": Code(e.RequestError, "the limit is malformed"),
    "bad_live": Code(e.RequestError, "live must be long-poll or sse"),
    "bad_name": Code(e.InvalidName, "the stream name is malformed or too long"),
    "bad_position": Code(e.PositionError, "the position is malformed"),
    "bad_producer": Code(e.RequestError, "the producer headers are malformed or incomplete"),
    "bad_wait": Code(e.RequestError, "wait must be true or false"),
    "body_timeout": Code(e.RequestError, "the body arrived too slowly"),
    "empty_body": Code(e.RequestError, "the body contains nothing to append"),
    "head_too_large": Code(e.RequestError, "a line of the request's head is too long"),
    "producer_epoch": Code(e.RequestError, "a producer's new epoch must start at 0"),
    "unsupported_part": Code(
        e.RequestError,
        "a part of a message cannot be sent to the upstream, or one of the reply to the client",
    ),
    "unsupported_option": Code(e.RequestError, "the upstream does not take this option"),
    "too_large": Code(e.TooLarge, "a body, an event or a prompt is over its limit"),
    "unsupported_type": Code(e.UnsupportedType, "this route does not take this content type"),
    "unsupported_transfer": Code(e.RequestError, "the only supported Transfer-Encoding is chunked"),
    "unsupported_encoding": Code(e.UnsupportedType, "this Content-Encoding is not supported"),
    # The WebSocket command is wrong.
    "bad_command": Code(e.CommandError, "not a valid command"),
    "bad_frame": Code(e.CommandError, "commands must be text frames"),
    "bad_subprotocol": Code(e.RequestError, "the hub supports none of the subprotocols offered"),
    "frame_too_large": Code(e.TooLarge, "a frame is over its limit"),
    "not_subscribed": Code(e.Conflict, "this connection does not follow that stream"),
    "not_supported": Code(e.CommandError, "this hub does not support the command yet"),
    # The request is not allowed, does not fit the state, or has to wait.
    "forbidden": Code(e.Forbidden, "not allowed"),
    "foreign_generation": Code(
        e.Forbidden, "only the hub runs generations, unless streams.foreign_generations is set"
    ),
    "host_not_allowed": Code(e.Forbidden, "the Host header does not name this hub"),
    "listing_off": Code(e.Forbidden, "this hub does not list its streams"),
    "origin_not_allowed": Code(e.Forbidden, "pages of this origin may not use the hub"),
    "producer_fenced": Code(e.ProducerFenced, "a newer epoch of the producer has taken over"),
    "not_found": Code(e.NotFound, "nothing is at this address"),
    "generation_not_found": Code(e.GenerationNotFound, "no generation has this id"),
    "model_not_found": Code(e.NotFound, "no model has this name: see /v1/models"),
    "response_not_found": Code(e.NotFound, "no stored response has this id"),
    "stream_not_found": Code(e.StreamNotFound, "no stream has this name"),
    "upstream_not_found": Code(e.UpstreamNotFound, "no upstream has this name"),
    "conflict": Code(e.Conflict, "the current state does not allow this"),
    "content_type": Code(e.Conflict, "the stream has another content type"),
    "generation_owned": Code(e.Conflict, "only the hub writes the events of its generations"),
    "key_reused": Code(e.KeyReused, "the idempotency key was used for a different request"),
    "not_json": Code(e.Conflict, "the stream does not hold events"),
    "producer_gap": Code(e.ProducerGap, "an earlier append of the producer is missing"),
    "stream_busy": Code(e.StreamBusy, "a generation is already running in the stream"),
    "stream_closed": Code(e.StreamClosed, "the stream is closed"),
    "generation_deleted": Code(
        e.Gone, "the generation that the idempotency key started was deleted"
    ),
    "stream_deleted": Code(e.Conflict, "the stream was deleted, maybe during this request"),
    "stream_exists": Code(e.Conflict, "a stream with this name and other settings exists"),
    "stream_seq": Code(e.Conflict, "Stream-Seq is not greater than the last one"),
    "too_many_producers": Code(e.Conflict, "the stream has as many producers as it may have"),
    "gone": Code(e.Gone, "the requested data is no longer kept"),
    "position_trimmed": Code(e.Gone, "the records at that position are no longer kept"),
    "position_unwritten": Code(e.Gone, "the records at that position were lost in a crash"),
    "trimmed": Code(e.Gone, "the generation that the idempotency key started is no longer kept"),
    "limit_exceeded": Code(e.LimitExceeded, "a limit is reached: try again later"),
    "draining": Code(e.Draining, "the hub is shutting down: reconnect"),
    "store_failed": Code(e.StoreError, "the store cannot save the data"),
    "store_corrupt": Code(e.StoreError, "the store's file is damaged"),
    "store_full": Code(e.StoreError, "the disk is full: writing resumes when there is space"),
    "store_rejected": Code(
        e.StoreError, "a bug in the hub: the store cannot save this; see the hub's log"
    ),
    "store_slow": Code(e.StoreError, "the store does not keep up"),
    "internal": Code(e.HubError, "the hub failed: see its log"),
    # The upstream's reply failed.
    "chunk_too_large": Code(e.FramingError, "a chunk of the reply is over its limit"),
    "generation_stopped": Code(e.UpstreamError, "the generation was stopped before its end"),
    "generation_too_long": Code(e.UpstreamError, "the generation took longer than its limit"),
    "upstream_error": Code(e.UpstreamError, "the upstream reports an error"),
    "upstream_html": Code(e.FramingError, "the upstream sent a web page"),
    "upstream_dns": Code(e.UpstreamError, "the upstream's host name does not resolve"),
    "upstream_malformed": Code(e.FramingError, "the upstream's reply does not match its dialect"),
    "upstream_model_not_found": Code(
        e.UpstreamError, "the upstream does not have the model, or nothing is at its URL"
    ),
    "upstream_overloaded": Code(
        e.UpstreamError, "the upstream is overloaded and asks to try again later"
    ),
    "upstream_rate_limited": Code(e.UpstreamError, "the upstream limits the rate of requests"),
    "upstream_refused": Code(e.UpstreamError, "the upstream refused the connection"),
    "upstream_rejected": Code(e.UpstreamError, "the upstream rejected the request"),
    "upstream_reset": Code(e.UpstreamError, "the upstream reset the connection"),
    "upstream_stalled": Code(
        e.UpstreamError, "the upstream stopped sending in the middle of the reply"
    ),
    "upstream_timeout": Code(e.UpstreamError, "the upstream did not respond in time"),
    "upstream_tls": Code(e.UpstreamError, "the TLS connection to the upstream failed"),
    "upstream_truncated": Code(e.UpstreamError, "the upstream's reply broke off"),
    "upstream_unauthorized": Code(e.UpstreamError, "the upstream does not accept the API key"),
    "upstream_unreachable": Code(e.UpstreamError, "the upstream cannot be reached"),
    "upstream_unsupported": Code(e.FramingError, "the upstream sent an unexpected content type"),
}

FAILURES: Final = (
    *("bad_request", "unsupported_option", "internal", "generation_too_long"),
    *(code for code, held in CODES.items() if issubclass(held.kind, e.UpstreamError)),
)
"""Codes of failed generations. Routes that wait for the whole reply respond with them."""

_ARGUMENTS: Final[Mapping[type[e.HubError], Mapping[str, Any]]] = {
    e.ProducerFenced: {"epoch": 1},
    e.ProducerGap: {"expected": 1, "received": 2},
}


def status(code: str) -> int:
    kind, meaning = CODES[code]
    return status_of(kind(meaning, **_ARGUMENTS.get(kind, {"code": code})))


def by_status(codes: Iterable[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Group codes by their HTTP status: each status, its phrase and its codes."""
    for number, group in groupby(sorted(codes, key=status), key=status):
        yield number, HTTPStatus(number).phrase, list(group)
