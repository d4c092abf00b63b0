"""Routes for operators, of the page, and of these documents."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import ANY, TEXT, ref
from hub.docs.operations import JSON, Operation, Response, group, path, query

__all__ = ["GROUPS"]

_HTML: Final = {"text/html": TEXT}
_PLAIN: Final = {"text/plain": TEXT}
_UNCHANGED: Final = Response(304, "Not modified.")
_NO_FILE: Final = Response(404, "No such file: `http_404`.", {JSON: ref("Error")})
_NOT_BUILT: Final = Response(503, "The page is not built: `page_not_built`.", {JSON: ref("Error")})
_PAGE_NOT_BUILT: Final = Response(503, "The page is not built; says what to run.", _HTML)
_UNREADY: Final = Response(503, "Why it is not ready: it is draining, or its disk is full.", _PLAIN)


def _file(name: str, title: str, kind: str, *others: Response, public: bool = True) -> Operation:
    shown = Response(200, title, {kind: ANY if kind == JSON else TEXT})
    return Operation("GET", name, title, responses=(shown, _UNCHANGED, *others), public=public)


def _script(name: str, title: str, kind: str = "text/javascript") -> Operation:
    return _file(name, title, kind, _NOT_BUILT)


def _probe(
    name: str, title: str, description: str, *others: Response, public: bool = True
) -> Operation:
    responses = (Response(200, description, _PLAIN), *others)
    return Operation("GET", name, title, responses=responses, public=public)


GROUPS: Final = (
    group(
        "Operations",
        "For whoever operates the hub.",
        _probe("/livez", "Check whether the hub is alive", "It is alive."),
        _probe("/readyz", "Check whether the hub is ready", "It is ready.", _UNREADY),
        _probe("/metrics", "Get metrics for Prometheus", "The metrics.", public=False),
    ),
    group(
        "Documents",
        "What you are reading.",
        _file("/docs", "This page", "text/html", public=False),
        _file("/docs/recipes", "Recipes for each client and provider", "text/html", public=False),
        _file("/docs/openapi.json", "The HTTP routes, as OpenAPI 3.1", JSON, public=False),
        _file("/docs/asyncapi.json", "The WebSocket, as AsyncAPI 3", JSON, public=False),
        _file("/docs/docs.css", "The style sheet of these pages", "text/css", public=False),
    ),
    group(
        "Page",
        "The hub's page, and scripts for other pages.",
        _file("/", "The page", "text/html", _PAGE_NOT_BUILT),
        _file("/single.html", "A single conversation, to embed", "text/html", _PAGE_NOT_BUILT),
        Operation(
            "GET",
            "/s/{secret}",
            "The page of a share link",
            "Shows one conversation, read-only. Clients that do not take HTML get plain text, and "
            "so does whoever asks for it. If the link does not work, a page says so, the same "
            "whatever the reason.",
            (
                path("secret", "The link's secret."),
                query("format", "`text` for plain text.", enum=["text"]),
            ),
            responses=(
                Response(200, "The page, or the conversation as text.", {**_HTML, **_PLAIN}),
                Response(404, "The link does not work.", _HTML),
                Response(429, "Too many links were tried from the client's network.", _HTML),
                _PAGE_NOT_BUILT,
            ),
            public=True,
        ),
        _script("/favicon.svg", "The page's icon", "image/svg+xml"),
        _script("/theme.js", "The script that sets light or dark before the page is drawn"),
        _script("/client.js", "The hub's client for browsers"),
        _script("/client-worker.js", "The worker that tabs share"),
        _script("/client.d.ts", "The types of the client", "application/typescript"),
        _script("/elements.js", "The custom elements"),
        _script("/math.js", "What sets formulas, loaded when the first one is shown"),
        _script("/diagram.html", "The frame in which diagrams are drawn", "text/html"),
        _script("/diagram.js", "What draws them"),
        Operation(
            "GET",
            "/{folder}/{name}",
            "The page's assets and licenses",
            parameters=(
                path("folder", "`assets` or `licenses`."),
                path("name", "The file's name."),
            ),
            responses=(Response(200, "The file.", {"*/*": ANY}), _UNCHANGED, _NO_FILE, _NOT_BUILT),
            public=True,
        ),
    ),
)
