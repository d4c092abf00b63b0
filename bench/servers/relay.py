"""The hub as ``streamhub serve`` runs it, in front of the upstream whose URL is given."""

from __future__ import annotations

import json
import sys

import uvloop

from hub import Config
from hub.server.serve import serve

if __name__ == "__main__":
    bench = {"dialect": "openai-chat", "url": sys.argv[1]}
    config = Config.model_validate(
        {
            "server": {"port": 0},
            "store": {"url": "memory:"},
            "upstreams": {"bench": bench},
            "default_upstream": "bench",
        }
    )
    uvloop.run(serve(config, announce=lambda where: print(json.dumps({"url": where}), flush=True)))
