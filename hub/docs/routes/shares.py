"""Routes that make, list and revoke share links, and make tickets."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import ref
from hub.docs.operations import JSON, NAME, Operation, Response, group, path, query

__all__ = ["GROUP"]

GROUP: Final = group(
    "Share links and tickets",
    "A share link lets whoever has it read one stream, live or up to a position. A ticket lets a "
    "program that cannot send headers read one stream, for as long as the credential that it was "
    "made with holds. Both need a hub with authentication.",
    Operation(
        "POST",
        "/v1/shares",
        "Share a stream by a link",
        "Needs `share` and `read` on the stream. The link shows what the stream has now and, if it "
        "is live, whatever comes. It works until it expires, is revoked, or the stream is deleted.",
        body={JSON: ref("ShareRequest")},
        responses=(Response(201, "The link.", {JSON: ref("NewShare")}),),
        errors="bad_request bad_json bad_name bad_position bad_expiry bad_title unsupported_type "
        "stream_not_found gone auth_off too_large too_many_shares too_many_credentials "
        "store_failed store_full",
    ),
    Operation(
        "GET",
        "/v1/shares",
        "List share links",
        "The links of a stream that work, for its owner and for whoever may `share` it; without a "
        "stream those that one has made, or all for whoever may `admin`.",
        (
            query("stream", "The stream's name.", **NAME),
            query("after", "Start after this id, the last one of the page before."),
            query(
                "limit",
                "The most links to return.",
                pattern="^([1-9][0-9]{0,2}|1000)$",
                default="100",
            ),
        ),
        responses=(
            Response(200, "A page; `more` is true if another follows.", {JSON: ref("Shares")}),
        ),
        errors="bad_name bad_limit stream_not_found gone auth_off store_failed",
    ),
    Operation(
        "DELETE",
        "/v1/shares/{id}",
        "Revoke a share link",
        "Its readers end within two seconds.",
        (path("id", "The link's id."),),
        responses=(Response(204, "It is revoked."),),
        errors="share_not_found auth_off store_failed store_full",
    ),
    Operation(
        "POST",
        "/v1/tickets",
        "Get a ticket to read a stream",
        "The ticket goes into the query of the routes that read a stream, `?ticket=`, or wherever "
        "a token goes. It can be used any number of times.",
        body={JSON: ref("TicketRequest")},
        responses=(Response(201, "The ticket.", {JSON: ref("Ticket")}),),
        errors="bad_request bad_json bad_name unsupported_type stream_not_found gone auth_off "
        "token_too_long too_large store_failed store_full",
    ),
)
