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
    "bad_cursor": Code(e.RequestError, "the cursor is not known any more: begin anew"),
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
    "bad_title": Code(e.RequestError, "the title is not one line, or is too long"),
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
    "token_too_long": Code(e.RequestError, "the token is too long for a ticket"),
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
    # The client has no valid credential.
    "unauthorized": Code(e.Unauthorized, "the request needs a credential"),
    "invalid_credential": Code(e.Unauthorized, "it was revoked, or is not in its place"),
    "invalid_api_key": Code(e.Unauthorized, "the API key is unknown, revoked or expired"),
    "invalid_token": Code(e.Unauthorized, "the token is malformed, or not for this hub"),
    "invalid_ticket": Code(e.Unauthorized, "the ticket is malformed, or not of this hub"),
    "link_ended": Code(
        e.Unauthorized, "the share link was revoked, has expired, or there is no such link"
    ),
    "credential_revoked": Code(
        e.Unauthorized, "the credential with which the prompt was queued has been revoked"
    ),
    "token_expired": Code(e.Unauthorized, "the token has expired: get a new one"),
    "login_cancelled": Code(e.Unauthorized, "the user did not sign in at the identity provider"),
    "login_expired": Code(
        e.Unauthorized, "the browser has not begun this sign-in, or too long ago: sign in again"
    ),
    "login_refused": Code(e.Unauthorized, "the identity provider's answer does not hold"),
    "session_ended": Code(e.Unauthorized, "the session of the browser has ended: sign in again"),
    # The request is not allowed, does not fit the state, or has to wait.
    "forbidden": Code(e.Forbidden, "not allowed"),
    "foreign_generation": Code(
        e.Forbidden, "only the hub runs generations, unless streams.foreign_generations is set"
    ),
    "host_not_allowed": Code(e.Forbidden, "the Host header does not name this hub"),
    "https_required": Code(e.Forbidden, "signing in needs HTTPS, except on the hub's own machine"),
    "email_not_verified": Code(
        e.Forbidden, "the identity provider has not verified the user's e-mail address"
    ),
    "login_not_allowed": Code(e.Forbidden, "this user may not sign in: see auth.oidc.allowed"),
    "listing_off": Code(e.Forbidden, "this hub does not list its streams"),
    "max_tokens_not_permitted": Code(
        e.Forbidden, "the credential allows shorter answers only, or one at a time"
    ),
    "option_not_permitted": Code(
        e.Forbidden, "the credential limits models or lengths, and the option may exceed them"
    ),
    "model_not_permitted": Code(e.Forbidden, "the credential does not allow this model"),
    "author_not_permitted": Code(
        e.Forbidden, "the credential does not allow this author, or this role"
    ),
    "not_permitted": Code(e.Forbidden, "the credential does not allow this"),
    "origin_not_allowed": Code(e.Forbidden, "pages of this origin may not use the hub"),
    "producer_fenced": Code(e.ProducerFenced, "a newer epoch of the producer has taken over"),
    "not_found": Code(e.NotFound, "nothing is at this address"),
    "generation_not_found": Code(e.GenerationNotFound, "no generation has this id"),
    "message_not_found": Code(
        e.MessageNotFound, "no message of the conversation has this id or position"
    ),
    "login_link_invalid": Code(e.NotFound, "the sign-in link was used or has expired"),
    "model_not_found": Code(e.NotFound, "no model has this name: see /v1/models"),
    "response_not_found": Code(e.NotFound, "no stored response has this id"),
    "share_not_found": Code(e.NotFound, "no share link has this id"),
    "stream_not_found": Code(e.StreamNotFound, "no stream has this name"),
    "upstream_not_found": Code(e.UpstreamNotFound, "no upstream has this name"),
    "conflict": Code(e.Conflict, "the current state does not allow this"),
    "auth_off": Code(e.Conflict, "this hub checks no credentials of its own"),
    "content_type": Code(e.Conflict, "the stream has another content type"),
    "generation_owned": Code(e.Conflict, "only the hub writes the events of its generations"),
    "key_reused": Code(e.KeyReused, "the idempotency key was used for a different request"),
    "not_json": Code(e.Conflict, "the stream does not hold events"),
    "producer_gap": Code(e.ProducerGap, "an earlier append of the producer is missing"),
    "not_queued": Code(e.Conflict, "the prompt waits no more: it has begun, or was dropped"),
    "prompt_changed": Code(e.Conflict, "somebody else has changed the prompt at the same time"),
    "queue_changed": Code(
        e.Conflict, "what waits in the stream was changed at the same time: try again"
    ),
    "stream_busy": Code(e.StreamBusy, "a generation is already running in the stream"),
    "stream_closed": Code(e.StreamClosed, "the stream is closed"),
    "generation_ended": Code(
        e.StreamClosed, "another hub has ended the generation, because this one seemed to be dead"
    ),
    "stream_moved": Code(e.Conflict, "the stream was written to at the same time: try again"),
    "generation_deleted": Code(
        e.Gone, "the generation that the idempotency key started was deleted"
    ),
    "stream_deleted": Code(e.Conflict, "the stream was deleted, maybe during this request"),
    "stream_exists": Code(e.Conflict, "a stream with this name and other settings exists"),
    "stream_seq": Code(e.Conflict, "Stream-Seq is not greater than the last one"),
    "too_many_producers": Code(
        e.Conflict, "the stream has as many producers as it may have, or one user has its share"
    ),
    "gone": Code(e.Gone, "the requested data is no longer kept"),
    "position_trimmed": Code(e.Gone, "the records at that position are no longer kept"),
    "position_unwritten": Code(e.Gone, "the records at that position were lost in a crash"),
    "trimmed": Code(e.Gone, "the generation that the idempotency key started is no longer kept"),
    "limit_exceeded": Code(e.LimitExceeded, "a limit is reached: try again later"),
    "queue_full": Code(
        e.LimitExceeded, "as many prompts wait in the stream, or of one user, as may"
    ),
    "too_many_credentials": Code(e.LimitExceeded, "the hub has as many as it may have"),
    "too_many_shares": Code(
        e.LimitExceeded, "the stream has as many links as it may have, or one user has made so many"
    ),
    "rate_limit_exceeded": Code(
        e.RateLimited, "the credential is used too often, or for too much at a time: wait"
    ),
    "draining": Code(e.Draining, "the hub is shutting down: reconnect"),
    "unavailable": Code(e.Unavailable, "the hub cannot reach a service that it needs: try again"),
    "oidc_client_refused": Code(
        e.Unavailable, "the identity provider refuses auth.oidc.client_id or its secret"
    ),
    "oidc_unavailable": Code(e.Unavailable, "the identity provider does not answer"),
    "key_set_unavailable": Code(
        e.Unavailable, "the keys of the token's issuer cannot be fetched: try again"
    ),
    "webhook_unavailable": Code(
        e.Unavailable, "the application that decides who may do this gives no answer: try again"
    ),
    "store_failed": Code(e.StoreError, "the store cannot save the data"),
    "store_corrupt": Code(e.StoreError, "the store's file is damaged"),
    "store_full": Code(e.StoreError, "the disk is full: writing resumes when there is space"),
    "store_rejected": Code(
        e.StoreError, "a bug in the hub: the store cannot save this; see the hub's log"
    ),
    "store_damaged": Code(
        e.StoreError, "what the server has of the stream was not written by a hub"
    ),
    "store_newer": Code(e.StoreError, "a newer hub has written the stream: update this one"),
    "store_unavailable": Code(
        e.StoreError, "the server that the hubs share cannot be reached: try again"
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
    e.RateLimited: {},
}


def status(code: str) -> int:
    kind, meaning = CODES[code]
    return status_of(kind(meaning, **_ARGUMENTS.get(kind, {"code": code})))


def by_status(codes: Iterable[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Group codes by their HTTP status: each status, its phrase and its codes."""
    for number, group in groupby(sorted(codes, key=status), key=status):
        yield number, HTTPStatus(number).phrase, list(group)
