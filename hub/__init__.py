"""Streamhub: one upstream LLM stream read once, every chunk to every subscriber.

::

    from aiohttp import web
    import hub

    app = web.Application()
    hub.setup(app, prefix="/hub")
    web.run_app(app)
"""

from __future__ import annotations

from hub.app import FAREWELL, HUB, make_app, setup
from hub.ask import Ask
from hub.config import Config
from hub.errors import HubError
from hub.hub import Hub
from hub.pipeline import Pipeline
from hub.records import Position

__all__ = [
    "FAREWELL",
    "HUB",
    "Ask",
    "Config",
    "Hub",
    "HubError",
    "Pipeline",
    "Position",
    "make_app",
    "setup",
]
