"""Every error code that a client can see: the class it is raised as, and what it means.

The status is not written here: `hub.http.errors` says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from hub.domain import errors as e
from hub.http.errors import status_of

__all__ = ["CODES", "FAILURES", "Code", "by_status", "status"]


class Code(NamedTuple):
    """What a code is raised as, and what it says to a person."""

    kind: type[e.HubError]
    says: str


CODES: Final[Mapping[str, Code]] = {
    # What is wrong with a request.
    "bad_request": Code(e.RequestError, "something in the request is malformed"),
    "bad_body": Code(e.RequestError, "the body is not what its headers say"),
    "bad_content_type": Code(e.RequestError, "Content-Type is missing or malformed"),
    "bad_event": Code(e.RequestError, "not an event, or one that only the hub writes"),
    "bad_expectation": Code(e.RequestError, "Expect says what the hub does not know"),
    "bad_expiry": Code(e.RequestError, "Stream-TTL or Stream-Expires-At is malformed"),
    "bad_fork_offset": Code(e.RequestError, "the offset of a fork is malformed"),
    "bad_format": Code(e.RequestError, "no such format"),
    "bad_header": Code(e.RequestError, "a header is given twice, or is no text"),
    "bad_http": Code(e.RequestError, "not HTTP"),
    "bad_json": Code(e.RequestError, "not JSON, or nested too deeply"),
    "bad_key": Code(e.RequestError, "an idempotency key that is none"),
    "bad_limit": Code(e.RequestError, "a limit that is none"),
    "bad_live": Code(e.RequestError, "live is long-poll or sse"),
    "bad_name": Code(e.InvalidName, "a stream's name that is none"),
    "bad_position": Code(e.PositionError, "a position that is none"),
    "bad_producer": Code(e.RequestError, "a producer's headers are malformed or not all there"),
    "bad_wait": Code(e.RequestError, "wait is true or false"),
    "body_timeout": Code(e.RequestError, "the body came too slowly"),
    "empty_body": Code(e.RequestError, "there is nothing to append"),
    "head_too_large": Code(e.RequestError, "a line of the request's head is too long"),
    "producer_epoch": Code(e.RequestError, "a new epoch of a producer must begin at 0"),
    "unsupported_part": Code(e.RequestError, "a part of a message that cannot be sent"),
    "unsupported_option": Code(e.RequestError, "the upstream cannot take this option"),
    "too_large": Code(e.TooLarge, "a body, an event or a prompt over its limit"),
    "unsupported_type": Code(e.UnsupportedType, "this content type is not taken here"),
    "unsupported_transfer": Code(e.RequestError, "Transfer-Encoding is none but chunked"),
    "unsupported_encoding": Code(e.UnsupportedType, "Content-Encoding is none that is taken here"),
    # What is wrong with a command, over the WebSocket.
    "bad_command": Code(e.CommandError, "a command that is none"),
    "bad_frame": Code(e.CommandError, "commands are text frames"),
    "bad_subprotocol": Code(e.RequestError, "the hub does not speak what the client offers"),
    "frame_too_large": Code(e.TooLarge, "a frame over its limit"),
    "not_subscribed": Code(e.Conflict, "this connection does not follow that stream"),
    "not_supported": Code(e.CommandError, "a command that this hub does not know yet"),
    # Who may not come in.
    "unauthorized": Code(e.Unauthorized, "this needs a credential"),
    "invalid_credential": Code(e.Unauthorized, "the Authorization header is not Bearer TOKEN"),
    "invalid_api_key": Code(e.Unauthorized, "the API key is unknown, revoked or expired"),
    "invalid_token": Code(e.Unauthorized, "the token is malformed, or not for this hub"),
    "token_expired": Code(e.Unauthorized, "the token has expired: get a new one"),
    # What may not be done, is not there, or not now.
    "forbidden": Code(e.Forbidden, "not allowed here"),
    "foreign_generation": Code(
        e.Forbidden, "only the hub runs generations, unless streams.foreign_generations allows it"
    ),
    "host_not_allowed": Code(e.Forbidden, "the hub does not go by the name in Host"),
    "listing_off": Code(e.Forbidden, "this hub does not list its streams"),
    "max_tokens_not_permitted": Code(
        e.Forbidden, "the credential allows shorter answers only, or one at a time"
    ),
    "model_not_permitted": Code(e.Forbidden, "the credential does not allow this model"),
    "not_permitted": Code(e.Forbidden, "the credential does not allow this"),
    "origin_not_allowed": Code(e.Forbidden, "pages of this origin may not use the hub"),
    "producer_fenced": Code(e.ProducerFenced, "a newer epoch of the producer has taken over"),
    "not_found": Code(e.NotFound, "nothing has this address"),
    "generation_not_found": Code(e.GenerationNotFound, "no generation has this id"),
    "model_not_found": Code(e.NotFound, "no model is called so: see /v1/models"),
    "response_not_found": Code(e.NotFound, "no response is called so, or it was not stored"),
    "stream_not_found": Code(e.StreamNotFound, "no stream has this name"),
    "upstream_not_found": Code(e.UpstreamNotFound, "no upstream has this name"),
    "conflict": Code(e.Conflict, "the state does not allow it"),
    "content_type": Code(e.Conflict, "the stream takes another content type"),
    "generation_owned": Code(e.Conflict, "only the hub writes the events of its generations"),
    "key_reused": Code(e.KeyReused, "the idempotency key came with another request before"),
    "not_json": Code(e.Conflict, "the stream holds no events"),
    "producer_gap": Code(e.ProducerGap, "an earlier append of the producer is missing"),
    "stream_busy": Code(e.StreamBusy, "one generation at a time in a stream"),
    "stream_closed": Code(e.StreamClosed, "the stream is closed and takes no more"),
    "generation_deleted": Code(e.Gone, "what an idempotency key began was deleted"),
    "stream_deleted": Code(e.Conflict, "the stream is deleted, or was while this was done"),
    "stream_exists": Code(e.Conflict, "there is a stream of this name that is not so"),
    "stream_seq": Code(e.Conflict, "Stream-Seq is not greater than the last"),
    "too_many_producers": Code(e.Conflict, "as many producers have written there as may"),
    "gone": Code(e.Gone, "what is asked for is no longer kept"),
    "position_trimmed": Code(e.Gone, "what was at that position is no longer kept"),
    "position_unwritten": Code(e.Gone, "what was at that position was taken back by a crash"),
    "trimmed": Code(e.Gone, "the generation of this key is no longer kept"),
    "limit_exceeded": Code(e.LimitExceeded, "a limit is reached: try again"),
    "draining": Code(e.Draining, "the hub is going away: come back"),
    "unavailable": Code(e.Unavailable, "something that the hub needs is away: come back"),
    "key_set_unavailable": Code(
        e.Unavailable, "the keys of the token's issuer cannot be fetched: try again"
    ),
    "store_failed": Code(e.StoreError, "the store cannot keep what it is given"),
    "store_corrupt": Code(e.StoreError, "the store's file is damaged"),
    "store_full": Code(e.StoreError, "the disk is full: work goes on when there is space"),
    "store_rejected": Code(
        e.StoreError, "what was written cannot be kept, by a mistake of the hub: see its log"
    ),
    "store_slow": Code(e.StoreError, "the store does not keep up"),
    "internal": Code(e.HubError, "the hub itself failed: its log says more"),
    # Why a reply did not come, or is not whole.
    "chunk_too_large": Code(e.FramingError, "a piece of the reply is over its limit"),
    "generation_stopped": Code(e.UpstreamError, "the generation was stopped before its end"),
    "generation_too_long": Code(e.UpstreamError, "the generation ran over its time"),
    "upstream_error": Code(e.UpstreamError, "the upstream reports an error"),
    "upstream_html": Code(e.FramingError, "the upstream sent a web page"),
    "upstream_dns": Code(e.UpstreamError, "the upstream's host name has no address"),
    "upstream_malformed": Code(e.FramingError, "the upstream sent what its dialect cannot be"),
    "upstream_model_not_found": Code(
        e.UpstreamError, "the upstream has no such model, or nothing at its url"
    ),
    "upstream_overloaded": Code(e.UpstreamError, "the upstream asks to come again later"),
    "upstream_rate_limited": Code(e.UpstreamError, "the upstream was asked too often"),
    "upstream_refused": Code(e.UpstreamError, "the upstream refused the connection"),
    "upstream_rejected": Code(e.UpstreamError, "the upstream does not take the request"),
    "upstream_reset": Code(e.UpstreamError, "the upstream reset the connection"),
    "upstream_stalled": Code(e.UpstreamError, "the upstream fell silent in the middle"),
    "upstream_timeout": Code(e.UpstreamError, "the upstream did not answer in time"),
    "upstream_tls": Code(e.UpstreamError, "no secure connection to the upstream"),
    "upstream_truncated": Code(e.UpstreamError, "the upstream stopped before the end"),
    "upstream_unauthorized": Code(e.UpstreamError, "the upstream does not take the key"),
    "upstream_unreachable": Code(e.UpstreamError, "no connection to the upstream"),
    "upstream_unsupported": Code(e.FramingError, "the upstream sent another content type"),
}

FAILURES: Final = (
    *("bad_request", "unsupported_option", "internal", "generation_too_long"),
    *(code for code, held in CODES.items() if issubclass(held.kind, e.UpstreamError)),
)
"""Why a generation may fail, which for who waits for it whole is the answer's error."""

_MORE: Final[Mapping[type[e.HubError], Mapping[str, Any]]] = {
    e.ProducerFenced: {"epoch": 1},
    e.ProducerGap: {"expected": 1, "received": 2},
}


def status(code: str) -> int:
    """The HTTP status that a code is answered with."""
    kind, says = CODES[code]
    more: dict[str, Any] = dict(_MORE.get(kind, {}))
    error = kind(says, **more) if more else kind(says, code=code)
    return status_of(error)


def by_status(codes: tuple[str, ...]) -> Iterator[tuple[int, str, list[str]]]:
    """Each status that these codes have, its name, and the codes."""
    statuses = {code: status(code) for code in codes}
    for number in sorted(set(statuses.values())):
        yield number, HTTPStatus(number).phrase, [c for c, s in statuses.items() if s == number]
