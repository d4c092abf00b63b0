"""The documents as one page for people: rendered here, nothing to run, nothing from elsewhere.

It is made from the documents alone, so it shows what they say and nothing more. Everything has
an anchor: a route is ``#get-v1-live-name``, a command ``#command-subscribe``, a frame
``#frame-events``, a schema ``#schema-Delta``, a code ``#code-gone``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hub.docs.codes import CODES, status
from hub.docs.html import Markup, el, joined, prose
from hub.docs.openapi import NAMED
from hub.docs.schema import definition, kind

__all__ = ["page", "shell"]

Document = Mapping[str, Any]

TITLE: Final = "Streamhub: what it speaks"
LINKS: Final = {
    "": "What it speaks",
    "/recipes": "Recipes",
    "/openapi.json": "openapi.json",
    "/asyncapi.json": "asyncapi.json",
}
"""What there is to read, below ``docs``."""


def shell(title: str, contents: Markup, body: Markup, *, here: str, docs: str) -> str:
    """A whole page; ``docs`` is where the documents are, seen from it."""
    head = joined(
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="icon", href=f"{docs}/../favicon.svg", type="image/svg+xml"),
        el("link", rel="stylesheet", href=f"{docs}/docs.css"),
    )
    links = [
        el("a", said, href=docs + path, aria_current="page" if path == here else "")
        for path, said in LINKS.items()
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
    groups = {tag["name"]: tag["description"] for tag in openapi["tags"]}
    operations: dict[str, list[tuple[str, str, Document]]] = {name: [] for name in groups}
    for path, methods in openapi["paths"].items():
        for method, one in methods.items():
            operations[one["tags"][0]].append((method, path, one))
    schemas = {**asyncapi["components"]["schemas"], **openapi["components"]["schemas"]}
    shown = [name for name in schemas if not re.search(r"Frame$|Ok$", name)]
    shown = [name for name in shown if name not in _commands(asyncapi)]
    body = joined(
        el("h1", "What Streamhub speaks"),
        el("p", prose(openapi["info"]["description"]), class_="lead"),
        *(_group(name, groups[name], held, schemas) for name, held in operations.items()),
        _websocket(asyncapi),
        el(
            "section",
            el("h2", "Schemas", id="schemas"),
            *(_schema(name, schemas[name]) for name in sorted(shown)),
        ),
        _codes(),
    )
    contents = joined(
        *(
            el(
                "section",
                el("a", name, href=f"#{_id(name)}"),
                el("ul", *(_item(method, path) for method, path, _ in held)),
            )
            for name, held in operations.items()
        ),
        _websocket_contents(asyncapi),
        el("section", el("a", "Schemas", href="#schemas")),
        el("section", el("a", "Error codes", href="#codes")),
    )
    return shell(TITLE, contents, body, here="", docs="docs")


def _item(method: str, path: str) -> Markup:
    place = f"#{_id(method, path)}"
    return el("li", el("a", _method(method), " ", _path(path), href=place, title=path))


def _method(method: str) -> Markup:
    return el("span", method.upper(), class_=f"method {method}")


def _path(path: str) -> Markup:
    """A path that may break after each slash."""
    return joined(*(joined(part, Markup("<wbr>")) for part in re.findall(r"/?[^/]*", path) if part))


def _id(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")


def _group(
    name: str, says: str, held: list[tuple[str, str, Document]], schemas: Document
) -> Markup:
    return el(
        "section",
        el("h2", name, id=_id(name)),
        el("p", prose(says), class_="lead"),
        *(_operation(*one, schemas) for one in held),
    )


def _operation(method: str, path: str, one: Document, schemas: Document) -> Markup:
    place = _id(method, path)
    parts = [
        el("h3", el("a", _method(method), " ", el("code", _path(path)), href=f"#{place}")),
        el("p", one["summary"], class_="summary"),
    ]
    if "description" in one:
        parts.append(el("p", prose(one["description"])))
    if "parameters" in one:
        parts.append(_rows("Parameters", map(_parameter, one["parameters"])))
    if "requestBody" in one:
        parts.append(_rows("Body", _content(one["requestBody"]["content"], schemas)))
    answers = {s: held for s, held in one["responses"].items() if "x-codes" not in held}
    errors = {s: held["x-codes"] for s, held in one["responses"].items() if "x-codes" in held}
    answers.pop("default")
    parts.append(_rows("Answers", (_answer(s, held) for s, held in answers.items())))
    if errors:
        parts.append(_rows("Errors", (_error(s, codes) for s, codes in errors.items())))
    return el("article", *parts, id=place)


def _rows(title: str, rows: Iterator[Markup]) -> Markup:
    return joined(el("h4", title), el("dl", *rows, class_=title.lower()))


def _row(term: Markup, *told: Markup) -> Markup:
    return el("div", el("dt", term), el("dd", *told))


def _parameter(one: Document) -> Markup:
    term = joined(el("code", one["name"]), " ", el("small", one["in"]))
    return _row(term, prose(one["description"]), _choices(one["schema"]))


def _choices(schema: Document) -> Markup:
    told = []
    if "enum" in schema:
        told.append(joined("One of ", *_listed([el("code", one) for one in schema["enum"]]), "."))
    if "default" in schema:
        told.append(joined("Unless given: ", el("code", f"{schema['default']}"), "."))
    return joined(*(joined(" ", one) for one in told))


def _listed(items: list[Markup]) -> Iterator[Markup]:
    for place, item in enumerate(items):
        yield joined(", ", item) if place else item


def _content(content: Document, schemas: Document) -> Iterator[Markup]:
    for media, held in content.items():
        schema = held.get("schema", {})
        named = schemas.get(schema.get("$ref", "").rpartition("/")[2])
        fields = Markup("") if named is None else definition(named)
        yield _row(el("code", media), kind(schema), fields)


def _answer(number: str, held: Document) -> Markup:
    told = [prose(held["description"])]
    content = [
        joined(el("code", media), ": ", kind(one["schema"]))
        if {"$ref", "x-data", "items"} & one.get("schema", {}).keys()
        else el("code", media)
        for media, one in held.get("content", {}).items()
    ]
    if content:
        told.append(el("p", *_listed(content), class_="media"))
    headers = {name: one for name, one in held.get("headers", {}).items() if name not in NAMED}
    rows = (_row(el("code", name), prose(one["description"])) for name, one in headers.items())
    if headers:
        told.append(el("dl", *rows))
    return _row(el("b", number), *told)


def _error(number: str, codes: list[str]) -> Markup:
    links = [el("a", el("code", code), href=f"#code-{code}") for code in codes]
    return _row(el("b", number), *_listed(links))


# The WebSocket


def _commands(asyncapi: Document) -> list[str]:
    """The names of the messages that clients send."""
    asked = (o["messages"] for o in asyncapi["operations"].values() if o["action"] == "receive")
    return [one["$ref"].rpartition("/")[2] for held in asked for one in held]


def _frames(asyncapi: Document) -> list[str]:
    return [one["$ref"].rpartition("/")[2] for one in asyncapi["operations"]["hear"]["messages"]]


def _websocket(asyncapi: Document) -> Markup:
    place = next(iter(asyncapi["channels"].values()))
    closes = (
        _row(joined(el("b", str(one["code"])), " ", el("small", one["name"])),
             prose(one["description"]))
        for one in place["x-close-codes"]
    )  # fmt: skip
    return el(
        "section",
        el("h2", "WebSocket", id="websocket"),
        el("p", prose(asyncapi["info"]["description"]), class_="lead"),
        el("p", prose(place["description"])),
        el("h3", "Commands", id="commands"),
        *(_said(asyncapi, name, "command") for name in _commands(asyncapi)),
        el("h3", "Frames from the hub", id="frames"),
        *(_said(asyncapi, name, "frame") for name in _frames(asyncapi)),
        el("h3", "Close codes", id="closes"),
        el("dl", *closes),
    )


def _said(asyncapi: Document, name: str, what: str) -> Markup:
    message = asyncapi["components"]["messages"][name]
    schemas = asyncapi["components"]["schemas"]
    schema = schemas[message["payload"]["$ref"].rpartition("/")[2]]
    place = f"{what}-{message['name']}"
    parts = [
        el("h4", el("a", el("code", message["name"]), href=f"#{place}")),
        el("p", prose(message["summary"])),
        definition(schema, hide=("type",)),
    ]
    if what == "command":
        answered = schemas[f"{name}Ok"]
        parts += [el("h5", "ok"), definition(answered, hide=("type", "id"))]
    return el("article", *parts, id=place)


def _websocket_contents(asyncapi: Document) -> Markup:
    names = {"command": _commands(asyncapi), "frame": _frames(asyncapi)}
    words = {
        f"#{what}-{asyncapi['components']['messages'][name]['name']}": (what, name.lower())
        for what, held in names.items()
        for name in held
    }
    items = (
        el("li", el("a", el("span", what, class_=f"method {what}"), " ", name, href=place))
        for place, (what, name) in words.items()
    )
    return el("section", el("a", "WebSocket", href="#websocket"), el("ul", *items))


# What all of it refers to


def _schema(name: str, schema: Document) -> Markup:
    parts = [el("h3", el("a", name, href=f"#schema-{name}"))]
    if "description" in schema:
        parts.append(el("p", prose(schema["description"])))
    return el("article", *parts, definition(schema), id=f"schema-{name}")


def _codes() -> Markup:
    rows = (
        el("div", el("dt", el("code", code)), el("dd", el("b", str(status(code))), " ", held.says),
           id=f"code-{code}")
        for code, held in CODES.items()
    )  # fmt: skip
    return el(
        "section",
        el("h2", "Error codes", id="codes"),
        el(
            "p",
            prose(
                'An error is `{"error":{"code","message"}}`, over HTTP with the status beside the '
                "code here; over the WebSocket a frame `error`, in a stream an event `failed`."
            ),
            class_="lead",
        ),
        el("dl", *rows, class_="codes"),
    )
