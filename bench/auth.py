"""``python -m bench.auth``: what authentication costs a request.

A request with a credential that was seen before passes the gate: its header is read, its
principal found, and the request counted. CPU time of the best of some runs. Delivery is not
measured here: permissions are checked when a subscription begins, not for each frame.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Final

import jwt
from aiohttp.test_utils import make_mocked_request
from rich.console import Console
from rich.table import Table

from bench.machine import describe
from hub.auth.api_keys import ApiKey, new_key
from hub.auth.authenticator import Authenticator
from hub.auth.gate import Gate
from hub.auth.issuers import HMAC, Issuer, Issuers, Secrets
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.untold import Untold

REQUESTS: Final = 10_000
BAR: Final = 50.0
"""Microseconds that a request with a remembered token may cost more."""

SECRET: Final = b"0123456789abcdef0123456789abcdef"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.auth", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="runs of each")
    runs = max(1, parser.parse_args().runs)
    table = Table("credential", "µs a request", "against the bar")
    met = True
    for name, credential, gate in asyncio.run(_gates()):
        spent = min(asyncio.run(_seconds(gate, credential)) for _ in range(runs))
        each = spent / REQUESTS * 1e6
        table.add_row(name, f"{each:.1f}", f"{each / BAR:.2f} × {BAR:g}")
        met = met and each <= BAR
    console = Console()
    console.print(table)
    console.print(describe(), markup=False, highlight=False)
    return 0 if met else 1


async def _gates() -> list[tuple[str, str, Gate]]:
    key, made, digest = new_key()
    kept = ApiKey(made, digest, "bench", "ann")

    async def find_key(name: str) -> ApiKey | None:
        return kept if name == made else None

    grant = Grant(PERMISSIONS, StreamPattern.parse("chat/{user}/**"))
    issuer = Issuer("bench", "bench", "hub", HMAC, Secrets(SECRET))
    authenticator = Authenticator(Rules([Rule(Who("user"), grant)]), Issuers([issuer]), find_key)
    claims = {"iss": "bench", "aud": "hub", "sub": "ann", "exp": int(time.time()) + 3600}
    gate, shared = (Gate(credentials=authenticator, requests_per_minute=10**6) for _ in range(2))
    if shared.windows is not None:
        shared.windows.untold = Untold(lambda: None)
    return [
        ("JSON Web Token", jwt.encode(claims, SECRET, "HS256"), gate),
        ("API key", key, gate),
        ("API key, of several hubs", key, shared),
    ]


async def _seconds(gate: Gate, credential: str) -> float:
    """The CPU seconds of many requests."""
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {credential}"})
    begun = time.process_time()
    for _ in range(REQUESTS):
        await gate.principal(request)
    return time.process_time() - begun


if __name__ == "__main__":
    raise SystemExit(main())
