"""`/s/{secret}`: the page of a share link, with one conversation and nothing to write.

The page presents the link's secret as its credential, so it can do what the link allows and
nothing more. What the link shows is also there without a script, as plain text, for
``?format=text`` and for clients that do not take HTML. A link that does not work looks the same
whatever the reason.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

import orjson
from aiohttp import web

from hub.access.shares import NO_LINK, Share
from hub.auth.gate import Gate, address_of
from hub.domain.conversation import Conversation
from hub.domain.errors import Gone, NotFound, RateLimited, Unauthorized
from hub.domain.principal import Principal
from hub.http.admission import PRINCIPAL
from hub.http.errors import retry_headers, status_of
from hub.hub import Hub
from hub.protocols.one_read import one_read
from hub.site.page import Page
from hub.streams.followed import FollowedStream

__all__ = ["SharePage"]

FILE: Final = "share.html"
"""The page, as it was built."""

TEXT_BYTES: Final = 4 * 1024 * 1024
"""About how much of a conversation is shown as plain text."""

LEFT_OUT: Final = "… (the rest is left out here)"

_RELATIVE: Final = re.compile(r'((?:src|href)=")(?:\./)?(?![/.?#]|[a-z]+:)')
"""Addresses of the page's files, which are one level up."""

_ROLES: Final = {"user": "User", "assistant": "Assistant", "tool": "Tool", "system": "System"}

_SENTENCE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow">
<link rel="icon" href="../favicon.svg" type="image/svg+xml">
<title>{title}</title>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


class SharePage:
    """The pages of one hub's share links, made of the built ``page``."""

    def __init__(self, hub: Hub, gate: Gate | None, page: Page) -> None:
        self._hub = hub
        self._gate = gate if gate is not None and gate.takes_tokens else None
        self._page = page

    def routes(self) -> list[web.RouteDef]:
        """The route, for an application's router."""
        return [web.get("/s/{secret:[^/]+}", self._show)]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            share, stream = await self._open(request)
        except RateLimited as error:
            text = "Too many links were tried from your network. Wait a minute, and try again."
            response = _sentence("Please wait", text, status_of(error))
            response.headers.update(retry_headers(error))
        except (Unauthorized, NotFound, Gone):
            response = _sentence("This link does not work", NO_LINK.capitalize(), 404)
        else:
            response = await self._shown(request, share, stream)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return self._page.safe(response)

    async def _open(self, request: web.Request) -> tuple[Share, FollowedStream]:
        """What the link in a request shows.

        Raises:
            HubError: nothing.
        """
        if self._gate is None:
            raise Unauthorized(NO_LINK)
        secret = request.match_info["secret"]
        by: Principal = await self._gate.present(f"sl_{secret}", address_of(request))
        request[PRINCIPAL] = by  # what it is sent is counted as this one's
        if by.shared is None or by.credential is None:
            raise Unauthorized(NO_LINK)
        share = await self._hub.shares.find(by.credential)
        return share, await self._hub.streams.open(share.stream, by=by)

    async def _shown(
        self, request: web.Request, share: Share, stream: FollowedStream
    ) -> web.StreamResponse:
        if not stream.settings.is_json and not stream.settings.is_text:
            text = (
                f"This link shows data of the type {stream.content_type}, which has no page. A "
                f"program reads it at v1/stream/{share.stream}, with sl_ and the last part of this "
                "address as its token."
            )
            return _sentence(_title(share), text, 200)
        takes_html = "text/html" in request.headers.get("Accept", "").lower()
        if not stream.settings.is_json or not takes_html or request.query.get("format") == "text":
            with self._hub.unsent.taken(TEXT_BYTES, request[PRINCIPAL].counted_as):
                async with one_read(self._hub, request):
                    text = await _plain(stream)
                return web.Response(text=text)
        built = await self._page.built(FILE)
        if built is None:
            return self._page.missing()
        return web.Response(text=_filled(built, share), content_type="text/html")


def _filled(built: str, share: Share) -> str:
    """The built page for one link."""
    shown = {
        "stream": share.stream,
        "title": share.title,
        "frozen": share.until is not None,
        "expires": share.expires,
    }
    held = html.escape(orjson.dumps(shown).decode())
    page = _RELATIVE.sub(r"\1../", built)
    page = page.replace("<title>Streamhub</title>", f"<title>{html.escape(_title(share))}</title>")
    return page.replace("</head>", f'  <meta name="share" content="{held}">\n  </head>', 1)


def _title(share: Share) -> str:
    return share.title or "A shared conversation"


def _sentence(title: str, text: str, status: int) -> web.Response:
    page = _SENTENCE.format(title=html.escape(title), text=html.escape(text))
    return web.Response(status=status, text=page, content_type="text/html")


async def _plain(stream: FollowedStream) -> str:
    """A conversation, or a text, as plain text."""
    if stream.settings.is_text:
        return await _text(stream)
    conversation = Conversation()
    async for records in stream.stretches():
        conversation.read([record.body for record in records])
        if conversation.size > TEXT_BYTES:
            return "\n\n".join([*_turns(conversation), LEFT_OUT]) + "\n"
    return "\n\n".join(_turns(conversation)) + "\n"


async def _text(stream: FollowedStream) -> str:
    held = bytearray()
    async for records in stream.stretches():
        held += b"".join(record.body for record in records)
        if len(held) > TEXT_BYTES:
            return f"{held[:TEXT_BYTES].decode('utf-8', 'ignore')}\n\n{LEFT_OUT}\n"
    return held.decode("utf-8", "replace")


def _turns(conversation: Conversation) -> Iterator[str]:
    for message in conversation.messages():
        role, content = str(message["role"]), message["content"]
        if isinstance(content, str) and content:
            yield f"{_ROLES.get(role, role)}:\n{content}"
