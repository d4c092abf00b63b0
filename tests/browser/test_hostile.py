"""Hostile Markdown asks for nothing and runs nothing, while it streams and after.

Each text of the corpus goes through ``<hub-stream>`` letter by letter, as the built page shows
it: once under the policy that the hub sends, and once without any, since sanitizing must hold
by itself. The corpus names a canary, a server on another port of this machine, which the
browser could reach; everything beyond the machine ends in a proxy that remembers it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from tests.browser.strangers import Strangers
from tests.support.patience import PATIENCE
from web.build import DIST, WEB

CORPUS: Final = sorted((WEB / "test/hostile").glob("*.md"))
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'"
)

HTML: Final = """\
<!doctype html>
<title>stage</title>
<script type="module" src="elements.js"></script>
"""

ATTRIBUTES: Final = {
    "*": set[str](),
    "a": {"href", "target", "rel", "class"},
    "ol": {"start"},
    "li": {"class"},
    "th": {"align"},
    "td": {"align"},
    "code": {"class"},
    "span": {"class"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "pre": {"tabindex", "role", "aria-label"},
    "button": {"class", "type", "aria-label", "aria-expanded"},
}
"""What may be on an element, besides its direction; what is not named here has nothing else."""

TAGS: Final = {
    *[
        "p",
        "br",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ],
    *[
        "a",
        "strong",
        "em",
        "b",
        "i",
        "u",
        "s",
        "del",
        "ins",
        "mark",
        "sub",
        "sup",
        "kbd",
        "div",
        "span",
        "button",
    ],
}

FORMULA: Final = {
    *["span", "svg", "path", "line", "math", "semantics", "annotation", "mrow", "mi", "mo", "mn"],
    *["ms", "mtext", "mspace", "mstyle", "mpadded", "mphantom", "mfrac", "msqrt", "mroot", "msub"],
    *["msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "menclose"],
}
"""What may be in a formula; no attribute of it leads or loads, and its style has no address."""
LEADING: Final = re.compile(r"^on|href|src|^id$|^name$|^action|^target|^data-", re.IGNORECASE)

DEEP: Final = {
    "quotes": ">" * 10_000,
    "brackets": "[" * 10_000,
    "stars": "*" * 10_000,
    "strong in em": "**a_" * 2_500,
    "images": "![" * 5_000,
    "items": "- " * 5_000,
    "tags": "<b>" * 3_000,
    "half tags": "<" * 10_000,
    "links": "[a](" * 2_500,
    "pipes": "|a" * 1_500 + "|\n" + "|-" * 1_500 + "|\n",
    "strikes": "~~a" * 3_000,
    "nested code": "```xml\n" + "<a " * 5_000,
    "braces": "```css\n" + "a{" * 5_000,
    "references": "".join(f"[l{i}]: http://a.test/{i}\n" for i in range(1_000)) + "\n[l1] [l999]",
    "one word": "a" * 100_000,
    "dollars": "$a" * 5_000,
    "open formulas": "\\(x\n$$\n" * 1_500,
    "braces in a formula": "$$" + "{" * 4_000 + "}" * 4_000 + "$$",
    "macros without end": r"$\def\a{\a\a}\a$ $\rule{9999em}{9999em}$ " * 20,
    "rows": "|a|\n|-|\n" + "|`|\n" * 3_000,
    "tabs": "-\t" * 3_000,
}
"""Texts that cost a careless parser minutes or its stack."""

DRIVE: Final = """
async ({text, cuts}) => {
  const messages = new MessageChannel();
  const turn = () => new Promise((done) => {
    messages.port1.onmessage = done;
    messages.port2.postMessage(0);
  });
  let told;
  const element = document.createElement("hub-stream");
  element.stream = "hostile";
  element.hub = {
    onStatus(listener) { listener({ state: "live", via: "websocket" }); return () => {}; },
    conversation(_stream, listener) { told = listener; return () => {}; },
  };
  document.body.append(element);
  await element.updateComplete;
  const reply = { kind: "reply", generation: "g", upstream: "u", before: "", reasoning: "",
                  tools: [], refusal: false };
  const tell = (text, state) => told({ turns: [{ ...reply, text, state }], position: "1",
                                       running: [], branches: [], closed: false });
  for (const cut of cuts) {
    tell(text.slice(0, cut), "running");
    await turn(); await turn(); await turn();
  }
  tell(text, "finished");
  const root = element.shadowRoot.querySelector("section");
  for (let same = 0, before = ""; same < 5; same += before === root.innerHTML ? 1 : 0) {
    before = root.innerHTML;
    await turn(); await turn(); await turn();
  }
  const found = [...root.querySelectorAll(".hub-markdown *")].map((node) => [
    node.localName, node.namespaceURI,
    Object.fromEntries(node.getAttributeNames().map((name) => [name, node.getAttribute(name)])),
    node.parentElement.closest(".hub-math") !== null,
  ]);
  const shown = root.textContent;
  for (const link of root.querySelectorAll("a")) link.dispatchEvent(new MouseEvent("mouseover"));
  element.remove();
  return [shown, found];
}
"""
"""Stream a text through an element; gives what it showed and every element of it."""

QUICK: Final = """
{
  // Frames as fast as they are done, not sixty a second.
  const frames = new Map(), messages = new MessageChannel();
  let count = 0;
  messages.port1.onmessage = () => {
    const due = [...frames.values()];
    frames.clear();
    for (const frame of due) frame(performance.now());
  };
  window.requestAnimationFrame = (frame) => {
    frames.set(++count, frame);
    messages.port2.postMessage(0);
    return count;
  };
  window.cancelAnimationFrame = (id) => frames.delete(id);
  window.violations = [];
  document.addEventListener("securitypolicyviolation",
                            (event) => violations.push(event.blockedURI));
}
"""


@dataclass
class Stage:
    """A page with the elements, and what happened on it that must not."""

    page: Page
    canary: str
    asked: list[str]
    outside: Strangers
    faults: list[str] = field(default_factory=list)

    def text(self, raw: str) -> str:
        return raw.replace("CANARY", self.canary)

    async def stream(self, text: str, cuts: list[int]) -> tuple[str, list[Any]]:
        """Show it in these pieces."""
        shown, found = await self.page.evaluate(DRIVE, {"text": text, "cuts": cuts})
        return shown, found

    async def forget(self) -> None:
        """Blame the next text for nothing that this one did."""
        await self.page.evaluate("violations.length = 0; delete window.pwned")
        for told in (self.faults, self.asked, self.outside.asked):
            told.clear()

    async def harm(self) -> list[str]:
        """Everything that a text did."""
        ran = await self.page.evaluate("window.pwned === undefined ? [] : [`ran ${window.pwned}`]")
        violations = await self.page.evaluate("violations")
        return [*self.faults, *self.asked, *self.outside.asked, *ran, *violations]


@asynccontextmanager
async def staged(policy: str | None, chromium: Browser, outside: Strangers) -> AsyncIterator[Stage]:
    asked: list[str] = []

    async def sing(asking: web.Request) -> web.Response:
        asked.append(f"canary: {asking.path}")
        return web.Response(text="window.pwned = 'canary'", content_type="text/javascript")

    async def page(_: web.Request) -> web.Response:
        headers = {} if policy is None else {"Content-Security-Policy": policy}
        html = (
            '<!doctype html><title>stage</title><script type="module" src="elements.js"></script>'
        )
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def elements(_: web.Request) -> web.FileResponse:
        return web.FileResponse(DIST / "elements.js")

    async def lazily(asking: web.Request) -> web.FileResponse:
        return web.FileResponse(DIST / asking.match_info["path"])

    cage, stands = web.Application(), web.Application()
    cage.router.add_route("*", "/{path:.*}", sing)
    stands.router.add_get("/", page)
    stands.router.add_get("/elements.js", elements)
    stands.router.add_get("/{path:math.js|assets/.+}", lazily)
    async with TestServer(cage) as canary, TestServer(stands) as server:
        context = await chromium.new_context()
        own = str(server.make_url("/"))
        url = str(canary.make_url("")).rstrip("/")
        result = Stage(await context.new_page(), url, asked, outside)
        told = result.faults.append
        context.on(
            "request",
            lambda asking: None if asking.url.startswith(own) else told(asking.url),
        )
        context.on("dialog", lambda dialog: told(f"dialog: {dialog.message}"))
        context.on("weberror", lambda error: told(f"error: {error.error}"))
        context.on("page", lambda page: told(f"opened: {page.url}"))
        await result.page.add_init_script(QUICK)
        await result.page.goto(own)
        await result.page.evaluate("customElements.whenDefined('hub-stream').then(() => 0)")
        # What sets formulas is there, so that how fast it comes makes no difference.
        await result.page.evaluate("import('/math.js').then(() => 0)")
        await result.page.evaluate("() => document.fonts.ready.then(() => 0)")
        yield result
        await context.close()


@pytest_asyncio.fixture(
    scope="module", loop_scope="package", params=[POLICY, None], ids=["policy", "no policy"]
)
async def stand(
    request: pytest.FixtureRequest, chromium: Browser, outside: Strangers
) -> AsyncIterator[Stage]:
    """One page for all texts: to load it takes longer than to show one of them."""
    async with staged(request.param, chromium, outside) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="package")
async def stage(stand: Stage) -> AsyncIterator[Stage]:
    """That page, on which nothing has happened yet."""
    await stand.forget()
    yield stand
    await stand.forget()


def refused(found: list[Any]) -> list[str]:
    """What is in the document and not on the list."""
    faults = []
    for tag, namespace, attributes, in_formula in found:
        if in_formula:
            faults += [f"<{tag}>"] if tag not in FORMULA else []
            faults += [f"<{tag} {name}>" for name in attributes if LEADING.search(name)]
            faults += [attributes["style"]] if "url" in attributes.get("style", "") else []
            continue
        allowed = ATTRIBUTES.get(tag, ATTRIBUTES["*"])
        if tag not in TAGS or namespace != "http://www.w3.org/1999/xhtml":
            faults.append(f"<{tag}>")
        faults += [f"<{tag} {name}>" for name in attributes if name not in {*allowed, "dir"}]
        if attributes.get("dir", "auto") not in ("auto", "ltr"):
            faults.append(f"dir={attributes['dir']}")
        if not attributes.get("href", "https://").startswith(("http://", "https://", "mailto:")):
            faults.append(attributes["href"])
        if "href" in attributes and attributes.get("rel") != "noopener noreferrer nofollow":
            faults.append(f"rel={attributes.get('rel')}")
    return faults


@pytest.mark.parametrize("name", [path.stem for path in CORPUS])
async def test_nothing_is_asked_and_nothing_runs(stage: Stage, name: str) -> None:
    raw = (WEB / f"test/hostile/{name}.md").read_text("utf-8")
    text = stage.text(raw)
    letters = list(range(1, len(text.encode("utf-16-le")) // 2))
    shown, found = await stage.stream(text, letters)
    assert "END" in shown or "code" in shown, "it was not shown at all"
    assert refused(found) == []
    again, same = await stage.stream(text, letters[::17])
    assert (again, same) == (shown, found), "other pieces gave another document"
    assert await stage.harm() == []


@pytest.mark.parametrize("name", DEEP)
async def test_depth_is_no_danger(stage: Stage, name: str) -> None:
    text = DEEP[name]
    shown, found = await stage.stream(text, list(range(500, len(text), len(text) // 10)))
    assert shown or found
    assert refused(found) == []
    assert await stage.harm() == []


@pytest.mark.parametrize("policy", [POLICY, None], ids=["policy", "no policy"])
async def test_the_corpus_bites(policy: str | None, chromium: Browser, outside: Strangers) -> None:
    """The same texts as HTML do all of it, on a page of their own: the proof above is one."""
    corpus = WEB / "test/hostile"
    names = ("images", "handlers", "svg", "styles")
    raw = "".join((corpus / f"{name}.md").read_text("utf-8") for name in names)
    async with staged(policy, chromium, outside) as stage:
        await stage.forget()
        await stage.page.evaluate("text => { document.body.innerHTML = text }", stage.text(raw))
        async with asyncio.timeout(PATIENCE):
            while not await stage.harm():
                await stage.page.wait_for_timeout(20)
    outside.asked.clear()
