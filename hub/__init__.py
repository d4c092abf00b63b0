"""Streamhub: one upstream LLM stream read once, every chunk to every subscriber.

::

    from aiohttp import web
    import hub

    app = web.Application()
    hub.setup(app, prefix="/hub")
    web.run_app(app)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.app import FAREWELL, HUB, make_app, setup
    from hub.config.schema import Config
    from hub.domain.errors import HubError
    from hub.domain.generation_request import GenerationRequest
    from hub.domain.records import Position
    from hub.http.acceptor import Acceptor
    from hub.hub import Hub
    from hub.pipeline.pipeline import Pipeline

    Ask = GenerationRequest
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "FAREWELL": "hub.app",
            "HUB": "hub.app",
            "make_app": "hub.app",
            "setup": "hub.app",
            "Acceptor": "hub.http.acceptor",
            "Config": "hub.config.schema",
            "GenerationRequest": "hub.domain.generation_request",
            "Hub": "hub.hub",
            "HubError": "hub.domain.errors",
            "Pipeline": "hub.pipeline.pipeline",
            "Position": "hub.domain.records",
        },
        deprecated={"Ask": "hub.domain.generation_request:GenerationRequest"},
    )

__all__ = [
    "FAREWELL",
    "HUB",
    "Acceptor",
    "Config",
    "GenerationRequest",
    "Hub",
    "HubError",
    "Pipeline",
    "Position",
    "make_app",
    "setup",
]
