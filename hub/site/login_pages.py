"""The pages on which people sign in, and their errors. They run no scripts and load nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Final
from urllib.parse import quote

from aiohttp import web

from hub.auth.login_methods import LoginMethod
from hub.domain.errors import HubError
from hub.http.errors import answer_to, error_response

__all__ = ["begin_page", "link_page", "page", "page_answer_to"]

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif;
  color: light-dark(#1f2328, #e4e6ea); background: light-dark(#ffffff, #14161a); }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
main { width: min(24rem, 100% - 3rem); padding: 2rem 0; }
h1 { font-size: 1.3rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
ul { list-style: none; margin: 0; padding: 0; }
li, form { margin: 0.75rem 0; }
a { color: light-dark(#2f5fd0, #8fb0ff); }
.button { display: block; box-sizing: border-box; width: 100%; padding: 0.7rem 1rem; font: inherit;
  text-align: center; text-decoration: none; cursor: pointer; border-radius: 0.5rem;
  border: 1px solid light-dark(#2f5fd0, #8fb0ff); color: light-dark(#ffffff, #14161a);
  background: light-dark(#2f5fd0, #8fb0ff); }
.button.plain { color: inherit; background: none; border-color: light-dark(#c4c9d1, #4a515c); }
:focus-visible { outline: 2px solid light-dark(#2f5fd0, #8fb0ff); outline-offset: 2px; }
"""

_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} · Streamhub</title>
<style>{style}</style>
<main>
<h1>{title}</h1>
{body}
</main>
</html>
"""


def page(title: str, body: str, *, status: int = 200) -> web.Response:
    """A page with a title, which is text, and a body, which is HTML."""
    text = _PAGE.format(title=escape(title), style=_STYLE, body=body)
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers.update(
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            # With no-referrer, the Origin of a form would be "null". The address may be a secret.
            "Referrer-Policy": "strict-origin",
            "Vary": "Cookie",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return response


def begin_page(methods: Iterable[LoginMethod], user: str | None, then: str = "") -> web.Response:
    """The page that offers the ways to sign in, to somebody who may be ``user`` already.

    ``then`` is the path where they come from; without one, they go on to the hub's page.
    """
    home = escape(then or "./")
    if user is not None:
        return page(
            "You are signed in",
            f"<p>You are signed in as <strong>{escape(user)}</strong>.</p>"
            f'<p><a class="button" href="{home}">Continue</a></p>'
            '<form method="post" action="v1/logout">'
            '<button class="button plain">Sign out</button></form>',
        )
    offered = "".join(f"<li>{_offer(method, then)}</li>" for method in methods)
    if not offered:
        offered = "<li>This hub does not ask anybody to sign in.</li>"
    back = f'<p><a href="{home}">Back to the conversations</a></p>'
    return page("Sign in", f"<ul>{offered}</ul>{back}")


def link_page(user: str) -> web.Response:
    """The page of a sign-in link: only its button uses the link up."""
    return page(
        "Sign in",
        f"<p>This link signs you in as <strong>{escape(user)}</strong>. It works once.</p>"
        f'<form method="post"><button class="button">Sign in as {escape(user)}</button></form>',
    )


def page_answer_to(error: Exception, request: web.Request) -> web.Response:
    """The response to any exception of a page's handler: a page that says what to do.

    Raises:
        web.HTTPRedirection: ``error`` itself.
    """
    if not isinstance(error, HubError):
        return answer_to(error, request)
    answer = error_response(error)
    said = escape(error.message[:1].upper() + error.message[1:])
    # Relative, because a proxy in front may have stripped a prefix.
    up = "../" * request.path.rpartition("/login")[2].count("/")
    response = page(
        "This did not work",
        f"<p>{said}.</p><p><code>{escape(error.code)}</code></p>"
        f'<p><a href="{up}login">Sign in another way</a></p>',
        status=answer.status,
    )
    for name in ("Retry-After", "WWW-Authenticate"):
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    return response


def _offer(method: LoginMethod, then: str) -> str:
    label = escape(method.label)
    if method.href is None:
        return label
    query = f"?next={quote(then, safe='')}" if then else ""
    return f'<a class="button" href="{escape(method.href + query)}">{label}</a>'
