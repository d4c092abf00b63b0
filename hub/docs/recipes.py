"""``RECIPES.md`` as a page in the style of the documents."""

from __future__ import annotations

from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from hub.docs.html import Markup, el, joined
from hub.docs.page import anchor_of, shell

__all__ = ["page"]


def page(markdown: str) -> str:
    """A page with an anchor at each heading."""
    # HTML in the Markdown is shown as text.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(markdown)
    headings = _set_anchors(tokens)
    shown = str(reader.renderer.render(tokens, reader.options, {}))
    # The keyboard must reach whatever scrolls sideways, which is only code in a `pre`.
    body = Markup(shown.replace("<pre>", '<pre tabindex="0">'))
    groups: list[tuple[Markup, list[Markup]]] = []
    for level, text, anchor in headings:
        link = el("a", text, href=f"#{anchor}")
        if level == "h2" or not groups:
            groups.append((link, []))
        else:
            groups[-1][1].append(el("li", link))
    contents = joined(*(el("section", link, el("ul", *items)) for link, items in groups))
    return shell("Recipes for Streamhub", contents, body, here="/recipes", docs="../docs")


def _set_anchors(tokens: list[Token]) -> list[tuple[str, str, str]]:
    """Set an anchor on each heading below the title; returns levels, texts and anchors."""
    found = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag in ("h2", "h3"):
            text = inline.content.replace("`", "")
            anchor = anchor_of(text)
            opening.attrSet("id", anchor)
            found.append((opening.tag, text, anchor))
    return found
