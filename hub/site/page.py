"""`/`: the built page, and the scripts for other pages.

The build writes a list of its files, ``built.json``, and only these are served. They are small, so
they are compressed once and kept in memory; a new build is noticed at the next request. The names
of files in ``assets/`` depend on their content, so browsers may cache them forever; all others are
revalidated and answered with 304.

The content security policy only lets a page load the hub's own files and run no inline scripts. So
what a model writes is never run, even if it gets past the sanitiser. If nothing is built, ``/``
says what to run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

from aiohttp import web

from hub.http.errors import error_body
from hub.http.memory_files import MemoryFile

__all__ = ["Page"]

LISTING: Final = "built.json"

PAGES: Final = {"": "index.html", "single.html": "single.html"}
BESIDE: Final = ("favicon.svg", "theme.js")
"""Files that the pages load first, under fixed names."""
FOR_OTHERS: Final = (
    "client.js",
    "client-worker.js",
    "client.d.ts",
    "elements.js",
    "math.js",
    "diagram.js",
)
"""Files that pages of other allowed origins load, and a frame that has no origin."""
FONTS: Final = ".woff2"
"""The fonts of formulas, which those pages load, too."""
DIAGRAM: Final = "diagram.html"
"""The frame in which diagrams are drawn."""

TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "application/typescript",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
UNPACKED: Final = frozenset({".ico", ".png", ".woff2"})
"""Types that gzip does not make smaller."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    # Pictures and sounds of answers are data: URLs.
    "img-src 'self' data:; media-src data:; "
    # The fonts of formulas, and the frame of diagrams.
    "font-src 'self'; frame-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors {ancestors}; "
    "require-trusted-types-for 'script'; trusted-types default dompurify lit-html"
)
DIAGRAM_POLICY: Final = (
    # It draws what a model wrote, with inline styles. It has no origin and no network, and asks and
    # shows nothing of the hub, so any page may hold it.
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; sandbox allow-scripts; "
    "base-uri 'none'; form-action 'none'; frame-ancestors *"
)
UNUSED: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

MISSING: Final = """\
<!doctype html> <html lang="en"> <meta charset="utf-8"> <meta name="viewport"
content="width=device-width, initial-scale=1"> <meta name="color-scheme" content="light dark">
<title>Streamhub: the page is not built</title> <h1>The page is not built yet</h1> <p>The hub is
running, and everything under <code>v1/</code> works. To build the page, run</p> <pre>make run</pre>
<p>in the folder of the checkout, or, without make,</p> <pre>python -m web.build --get-node</pre>
<p>and reload this address. The build takes a few seconds and, the first time, needs the
network.</p> </html>
"""


class Page:
    """The page in a folder; ``frame_ancestors`` are the origins that may embed it in a frame."""

    def __init__(self, folder: Path, *, frame_ancestors: Iterable[str] = ()) -> None:
        self._folder = folder
        self._built: tuple[object, Mapping[str, MemoryFile]] = (None, {})
        ancestors = " ".join(frame_ancestors) or "'none'"
        self._policy = POLICY.format(ancestors=ancestors)

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        return [
            *(web.get(f"/{path}", self._page) for path in PAGES),
            *(web.get(f"/{name}", self._file) for name in (*BESIDE, *FOR_OTHERS)),
            web.get(f"/{DIAGRAM}", self._file),
            web.get("/{folder:assets|licenses}/{name}", self._file),
            # For a prefix without a slash: the page's URLs are relative to the slash.
            web.get("", self._to_slash),
        ]

    async def _to_slash(self, request: web.Request) -> web.StreamResponse:
        # Relative, because a proxy in front may have stripped a prefix.
        last = quote(request.path.rpartition("/")[2])
        query = f"?{request.query_string}" if request.query_string else ""
        raise web.HTTPTemporaryRedirect(f"./{last}/{query}")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        files = await asyncio.to_thread(self._files)
        file = files.get(PAGES[request.path.rpartition("/")[2]])
        response = self.missing() if file is None else file.response(request)
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = UNUSED
        return self.safe(response)

    def missing(self) -> web.Response:
        """What is shown instead of a page if none is built."""
        response = web.Response(status=503, text=MISSING, content_type="text/html")
        response.headers["Cache-Control"] = "no-store"
        return response

    async def built(self, name: str) -> str | None:
        """The text of a built file; ``None`` if it is not there."""
        file = (await asyncio.to_thread(self._files)).get(name)
        return None if file is None else file.whole.decode()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = "/".join([*request.match_info.values()]) or request.path.rpartition("/")[2]
        files = await asyncio.to_thread(self._files)
        if name not in files:
            if files:
                raise web.HTTPNotFound
            body = error_body("page_not_built", "the page is not built: run `make run`")
            return web.Response(status=503, body=body, content_type="application/json")
        response = files[name].response(request)
        if name in FOR_OTHERS or name.endswith(FONTS):
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            response.headers["Vary"] = "Accept-Encoding, Origin"
        else:
            response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if name.startswith("assets/"):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return self.safe(response, DIAGRAM_POLICY if name == DIAGRAM else None)

    def safe(self, response: web.StreamResponse, policy: str | None = None) -> web.StreamResponse:
        """The response with the headers that guard the page; ``policy`` is another one than its."""
        # On scripts, too: a worker's policy is the one that its script was served with.
        response.headers["Content-Security-Policy"] = policy or self._policy
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _files(self) -> Mapping[str, MemoryFile]:
        """The files of the current build."""
        listing = self._folder / LISTING
        with suppress(OSError):  # nothing is built, or the files are being replaced
            found = listing.stat()
            version = (found.st_mtime_ns, found.st_ino)
            if self._built[0] != version:
                names = json.loads(listing.read_bytes())["files"]
                self._built = version, {name: _read(self._folder, name) for name in names}
        return self._built[1]


def _read(folder: Path, name: str) -> MemoryFile:
    suffix = PurePosixPath(name).suffix
    return MemoryFile.of(TYPES[suffix], (folder / name).read_bytes(), pack=suffix not in UNPACKED)
