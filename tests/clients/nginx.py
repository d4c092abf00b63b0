"""nginx in front of a hub: from apt where it is not there, with a folder and a port of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.loopback_hub import eventually
from tests.support.ports import Port

__all__ = ["in_front", "installed"]

# Buffering and the version of HTTP as nginx has them unless it is told otherwise.
CONFIG: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_read_timeout 3s;
  {server}
}}
"""
SERVER: Final = """
server {
  listen 127.0.0.1:PORT;
  location / { proxy_pass http://127.0.0.1:HUB; }
  location /v1/ws {
    proxy_pass http://127.0.0.1:HUB;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
  }
}
"""


def installed() -> str:
    """Where nginx is; a test that needs it is skipped where it cannot be installed."""
    found = _found()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        for asked in (["update"], ["install", "--yes", "--no-install-recommends", "nginx-light"]):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", *asked], env=quiet, capture_output=True, check=False)
        found = _found()
    if found is None:
        pytest.skip("nginx is not there, and cannot be installed with apt")
    return found


def _found() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@asynccontextmanager
async def in_front(hub: int, folder: Path, server: str = SERVER) -> AsyncIterator[str]:
    """Run nginx before the hub at this port; gives its URL.

    ``server`` is its server, with ``PORT`` and ``HUB`` for the ports of both.
    """
    nginx = await asyncio.to_thread(installed)
    port = Port()
    number = port.number
    port.release()
    config = folder / "nginx.conf"
    server = server.replace("PORT", str(number)).replace("HUB", str(hub))
    config.write_text(CONFIG.format(folder=folder, server=server), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(nginx, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log"))
    )
    try:
        await eventually((folder / "pid").is_file)
        yield f"http://127.0.0.1:{number}"
    finally:
        process.terminate()
        await process.wait()
