"""The routes of an application."""

from __future__ import annotations

import re

from aiohttp import web

__all__ = ["routes"]


def routes(app: web.Application) -> set[tuple[str, str]]:
    """What the router takes, but for the questions of CORS and what HEAD has from GET."""
    found: set[tuple[str, str]] = set()
    for resource in app.router.resources():
        path = re.sub(r"{(\w+):[^}]*}", r"{\1}", resource.canonical) or "/"
        handlers = {route.method: route.handler for route in resource}
        for method, handler in handlers.items():
            if method != "OPTIONS" and (method != "HEAD" or handler is not handlers.get("GET")):
                found.add((method, path))
    return found
