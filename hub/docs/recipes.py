"""``RECIPES.md`` as a page of the same kind as the documents."""

from __future__ import annotations

import re
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from hub.docs.html import Markup, el, joined
from hub.docs.page import shell

__all__ = ["page"]


def page(markdown: str) -> str:
    """A page with an anchor at each heading."""
    # HTML in the text stays text.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(markdown)
    headings = _headings(tokens)
    shown = str(reader.renderer.render(tokens, reader.options, {}))
    # What may scroll sideways must be reached by the keyboard; only code is in a `pre`.
    body = Markup(shown.replace("<pre>", '<pre tabindex="0">'))
    groups: list[tuple[Markup, list[Markup]]] = []
    for level, said, place in headings:
        link = el("a", said, href=f"#{place}")
        if level == "h2" or not groups:
            groups.append((link, []))
        else:
            groups[-1][1].append(el("li", link))
    contents = joined(*(el("section", link, el("ul", *items)) for link, items in groups))
    return shell("Streamhub: recipes", contents, body, here="/recipes", docs="../docs")


def _headings(tokens: list[Token]) -> list[tuple[str, str, str]]:
    """Below the title: level, text and anchor; the anchors are set."""
    found = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag in ("h2", "h3"):
            said = re.sub("`", "", inline.content)
            place = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")
            opening.attrSet("id", place)
            found.append((opening.tag, said, place))
    return found
