"""The documents as one static page for people: no scripts, nothing loaded from elsewhere.

It is rendered from the documents alone. Everything has an anchor: a route is
``#get-v1-live-name``, a command ``#command-subscribe``, a frame ``#frame-events``, a schema
``#schema-Delta``, a code ``#code-gone``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hub.docs.codes import CODES, status
from hub.docs.html import Markup, el, joined, prose
from hub.docs.openapi import REQUEST_ID
from hub.docs.schema_html import definition, kind

__all__ = ["anchor_of", "page", "shell"]

Document = Mapping[str, Any]

LINKS: Final = {
    "": "Interfaces",
    "/recipes": "Recipes",
    "/openapi.json": "openapi.json",
    "/asyncapi.json": "asyncapi.json",
}
"""The titles of the documents by their paths below ``docs``."""


def anchor_of(*words: str) -> str:
    """The anchor of a heading, an operation or a message."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def shell(title: str, contents: Markup, body: Markup, *, here: str, docs: str) -> str:
    """A whole page; ``docs`` is the relative URL of the documents."""
    head = joined(
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="icon", href=f"{docs}/../favicon.svg", type="image/svg+xml"),
        el("link", rel="stylesheet", href=f"{docs}/docs.css"),
    )
    links = [
        el("a", text, href=docs + path, aria_current="page" if path == here else "")
        for path, text in LINKS.items()
    ]
    top = el(
        "header",
        el("a", "Streamhub", class_="name", href=f"{docs}/../"),
        el("nav", *links, aria_label="Documents"),
        el("a", "Contents", class_="jump", href="#contents"),
    )
    skip = el("a", "Skip to the text", class_="skip", href="#main")
    aside = el("nav", contents, class_="contents", id="contents", aria_label="Contents")
    main = el("main", body, id="main")
    inner = joined(skip, top, el("div", main, aside, class_="page"))
    return f'<!doctype html>\n<html lang="en">{el("head", head)}{el("body", inner)}</html>\n'


def page(openapi: Document, asyncapi: Document) -> str:
    """Both documents on one page."""
    operations: dict[str, list[tuple[str, str, Document]]] = {}
    for path, methods in openapi["paths"].items():
        for method, one in methods.items():
            operations.setdefault(one["tags"][0], []).append((method, path, one))
    schemas = {**asyncapi["components"]["schemas"], **openapi["components"]["schemas"]}
    messages = {
        message["payload"]["$ref"] for message in asyncapi["components"]["messages"].values()
    }
    body = joined(
        el("h1", "The interfaces of Streamhub"),
        el("p", prose(openapi["info"]["description"]), class_="lead"),
        *(
            el(
                "section",
                el("h2", tag["name"], id=anchor_of(tag["name"])),
                el("p", prose(tag["description"]), class_="lead"),
                *(_operation(*one, schemas) for one in operations[tag["name"]]),
            )
            for tag in openapi["tags"]
        ),
        _websocket(asyncapi),
        el(
            "section",
            el("h2", "Schemas", id="schemas"),
            *(
                _schema(name, schemas[name])
                for name in sorted(schemas)
                if f"#/components/schemas/{name}" not in messages
            ),
        ),
        _codes(),
    )
    contents = joined(
        *(
            _contents(
                name,
                ((method, method.upper(), _path(path), anchor_of(method, path), path)
                 for method, path, _ in entries),
            )
            for name, entries in operations.items()
        ),
        _contents(
            "WebSocket",
            ((kind, kind, message["name"], f"{kind}-{message['name']}", "")
             for kind, name, message in _messages(asyncapi)),
        ),
        el("section", el("a", "Schemas", href="#schemas")),
        el("section", el("a", "Error codes", href="#codes")),
    )  # fmt: skip
    return shell("The interfaces of Streamhub", contents, body, here="", docs="docs")


def _contents(name: str, items: Iterable[tuple[str, str, str, str, str]]) -> Markup:
    """A section of the contents; an item is a class, its label, a text, an anchor and a title."""
    links = []
    for what, label, text, anchor, title in items:
        method = el("span", label, class_=f"method {what}")
        links.append(el("li", el("a", method, " ", text, href=f"#{anchor}", title=title)))
    return el("section", el("a", name, href=f"#{anchor_of(name)}"), el("ul", *links))


def _path(path: str) -> Markup:
    """A path that may wrap after each slash."""
    return joined(*(joined(part, Markup("<wbr>")) for part in re.findall(r"/?[^/]*", path) if part))


def _operation(method: str, path: str, one: Document, schemas: Document) -> Markup:
    anchor = anchor_of(method, path)
    label = el("span", method.upper(), class_=f"method {method}")
    parts = [
        el("h3", el("a", label, " ", el("code", _path(path)), href=f"#{anchor}")),
        el("p", prose(one["summary"]), class_="summary"),
    ]
    if "description" in one:
        parts.append(el("p", prose(one["description"])))
    if "parameters" in one:
        parts.append(_rows("Parameters", map(_parameter, one["parameters"])))
    if "requestBody" in one:
        parts.append(_rows("Body", _content(one["requestBody"]["content"], schemas)))
    responses, errors = [], []
    for number, response in one["responses"].items():
        if "x-codes" in response:
            links = [el("a", el("code", c), href=f"#code-{c}") for c in response["x-codes"]]
            errors.append(_row(el("b", number), *_separated(links)))
        elif number != "default":
            responses.append(_response(number, response))
    parts.append(_rows("Responses", responses))
    if errors:
        parts.append(_rows("Errors", errors))
    return el("article", *parts, id=anchor)


def _rows(title: str, rows: Iterable[Markup]) -> Markup:
    return joined(el("h4", title), el("dl", *rows, class_=title.lower()))


def _row(term: Markup, *details: Markup) -> Markup:
    return el("div", el("dt", term), el("dd", *details))


def _parameter(one: Document) -> Markup:
    details = [prose(one["description"])]
    if "enum" in one["schema"]:
        values = [el("code", value) for value in one["schema"]["enum"]]
        details.append(joined(" One of ", *_separated(values), "."))
    if "default" in one["schema"]:
        details.append(joined(" Default: ", el("code", str(one["schema"]["default"])), "."))
    return _row(joined(el("code", one["name"]), " ", el("small", one["in"])), *details)


def _separated(items: list[Markup]) -> Iterator[Markup]:
    for number, item in enumerate(items):
        yield joined(", ", item) if number else item


def _content(content: Document, schemas: Document) -> Iterator[Markup]:
    for media, body in content.items():
        schema = body.get("schema", {})
        named = schemas.get(schema.get("$ref", "").rpartition("/")[2])
        fields = Markup("") if named is None else definition(named)
        yield _row(el("code", media), kind(schema), fields)


def _response(number: str, response: Document) -> Markup:
    details = [prose(response["description"])]
    content = [
        joined(el("code", media), ": ", kind(one["schema"]))
        if {"$ref", "x-data", "items"} & one.get("schema", {}).keys()
        else el("code", media)
        for media, one in response.get("content", {}).items()
    ]
    if content:
        details.append(el("p", *_separated(content), class_="media"))
    headers = [
        _row(el("code", name), prose(one["description"]))
        for name, one in response["headers"].items()
        if name not in REQUEST_ID
    ]
    if headers:
        details.append(el("dl", *headers))
    return _row(el("b", number), *details)


# The WebSocket


def _messages(asyncapi: Document) -> Iterator[tuple[str, str, Document]]:
    """The commands and the frames: ``command`` or ``frame``, the message's key, the message."""
    for operation in asyncapi["operations"].values():
        for one in operation["messages"]:
            name = one["$ref"].rpartition("/")[2]
            what = "command" if operation["action"] == "receive" else "frame"
            yield what, name, asyncapi["components"]["messages"][name]


def _websocket(asyncapi: Document) -> Markup:
    channel = next(iter(asyncapi["channels"].values()))
    schemas = asyncapi["components"]["schemas"]
    articles: dict[str, list[Markup]] = {"command": [], "frame": []}
    for what, name, message in _messages(asyncapi):
        anchor = f"{what}-{message['name']}"
        parts = [
            el("h4", el("a", el("code", message["name"]), href=f"#{anchor}")),
            el("p", prose(message["summary"])),
            definition(schemas[message["payload"]["$ref"].rpartition("/")[2]], hide=("type",)),
        ]
        if what == "command":
            parts += [el("h5", "ok"), definition(schemas[f"{name}Ok"], hide=("type", "id"))]
        articles[what].append(el("article", *parts, id=anchor))
    closes = (
        _row(
            joined(el("b", str(one["code"])), " ", el("small", one["name"])),
            prose(one["description"]),
        )
        for one in channel["x-close-codes"]
    )
    return el(
        "section",
        el("h2", "WebSocket", id="websocket"),
        el("p", prose(asyncapi["info"]["description"]), class_="lead"),
        el("p", prose(channel["description"])),
        el("h3", "Commands", id="commands"),
        *articles["command"],
        el("h3", "Frames from the hub", id="frames"),
        *articles["frame"],
        el("h3", "Close codes", id="closes"),
        el("dl", *closes),
    )


# Schemas and error codes


def _schema(name: str, schema: Document) -> Markup:
    parts = [el("h3", el("a", name, href=f"#schema-{name}"))]
    if "description" in schema:
        parts.append(el("p", prose(schema["description"])))
    return el("article", *parts, definition(schema), id=f"schema-{name}")


def _codes() -> Markup:
    rows = (
        el("div", el("dt", el("code", code)),
           el("dd", el("b", str(status(code))), " ", entry.meaning), id=f"code-{code}")
        for code, entry in CODES.items()
    )  # fmt: skip
    about = (
        'An error is `{"error":{"code","message"}}`. Over HTTP it has the status shown here; over '
        "the WebSocket it is an `error` frame, and in a stream a `failed` event."
    )
    return el(
        "section",
        el("h2", "Error codes", id="codes"),
        el("p", prose(about), class_="lead"),
        el("dl", *rows, class_="codes"),
    )
