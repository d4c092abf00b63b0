"""For whoever runs the hub, the page, and these documents."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import JSON, TEXT, Answer, Operation, path, ref

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "Operations": "For whoever runs the hub.",
    "Documents": "What you are reading.",
    "Page": "The page of this hub, and scripts for other pages.",
}

HTML: Final = {"text/html": TEXT}
SCRIPT: Final = "text/javascript"
AS_BEFORE: Final = Answer(304, "As it was asked for before.")
NO_FILE: Final = Answer(404, "There is none: `http_404`.", {JSON: ref("Error")})
NOT_BUILT: Final = Answer(503, "The page is not built: `page_not_built`.", {JSON: ref("Error")})


def _file(name: str, title: str, kind: str) -> Operation:
    shown = Answer(200, title, {kind: TEXT})
    return Operation(
        "GET",
        name,
        "Page",
        title,
        answers=(shown, AS_BEFORE, NOT_BUILT),
    )


def _probe(name: str, title: str, says: str, *, more: tuple[Answer, ...] = ()) -> Operation:
    ok = Answer(200, says, {"text/plain": TEXT})
    return Operation("GET", name, "Operations", title, answers=(ok, *more))


def _document(name: str, title: str, kind: str) -> Operation:
    shown = Answer(200, title, {kind: {} if kind == JSON else TEXT})
    return Operation("GET", name, "Documents", title, answers=(shown, AS_BEFORE))


_PAGE_MISSING: Final = Answer(503, "The page is not built: what to run.", HTML)
_PAGES: Final = {"/": "The page", "/single.html": "One conversation alone, to be embedded"}

OPERATIONS: Final = (
    _probe("/livez", "Whether it lives", "It does."),
    _probe(
        "/readyz",
        "Whether it is ready",
        "It is.",
        more=(Answer(503, "Why it is not: it leaves, or its disk is full.", {"text/plain": TEXT}),),
    ),
    _probe("/metrics", "Its counts, for Prometheus", "The metrics."),
    _document("/docs", "This page", "text/html"),
    _document("/docs/recipes", "A recipe for each client and each provider", "text/html"),
    _document("/docs/openapi.json", "The routes over HTTP, as OpenAPI 3.1", JSON),
    _document("/docs/asyncapi.json", "The WebSocket, as AsyncAPI 3", JSON),
    _document("/docs/docs.css", "How these pages look", "text/css"),
    *(
        Operation(
            "GET",
            name,
            "Page",
            title,
            answers=(Answer(200, title, HTML), AS_BEFORE, _PAGE_MISSING),
        )
        for name, title in _PAGES.items()
    ),
    _file("/favicon.svg", "The page's picture", "image/svg+xml"),
    _file("/theme.js", "Light or dark, before anything is shown", SCRIPT),
    _file("/client.js", "The hub's client for browsers", SCRIPT),
    _file("/client-worker.js", "The worker that tabs share", SCRIPT),
    _file("/client.d.ts", "The types of the client", "application/typescript"),
    _file("/elements.js", "The custom elements", SCRIPT),
    Operation(
        "GET",
        "/{folder}/{name}",
        "Page",
        "What the page is made of",
        parameters=(path("folder", "`assets` or `licenses`."), path("name", "The file's name.")),
        answers=(Answer(200, "The file.", {"*/*": {}}), AS_BEFORE, NO_FILE, NOT_BUILT),
    ),
)
