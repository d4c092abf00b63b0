"""What is in deploy/ is what the hub, Redis, nginx and systemd understand; see docs/nodes.md.

Containers are not run here, and no unit is started: the commands in them are.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from configparser import RawConfigParser
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import pytest
import yaml

from hub import Config
from tests.clients.nginx import in_front
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.processes import COMMAND, environ
from tests.support.redis_server import installed

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
COMPOSE: Final = DEPLOY / "compose"
SYSTEMD: Final = DEPLOY / "systemd"
NAME: Final = "chat.example.org"
SECRET: Final = "a secret of thirty-two bytes or more"
UNITS: Final = sorted([*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")])


def unit(name: str) -> RawConfigParser:
    found = RawConfigParser()
    found.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    found.read_string((SYSTEMD / name).read_text("utf-8"))
    return found


def variables(config: Path) -> set[str]:
    """The environment variables that a configuration names."""
    return set(re.findall(r'_env = "(\w+)"', config.read_text("utf-8")))


@asynccontextmanager
async def redis(*words: str) -> AsyncIterator[None]:
    """A server with this command, without a port of TCP, that answers once this returns."""
    program = await asyncio.to_thread(installed, "redis")
    process = await asyncio.create_subprocess_exec(
        *(program.path, *words), env=program.environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def asked(socket: Path, *commands: str) -> bytes:
    """What the server at a socket says to some commands, once it is there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            # It is there a moment before the server listens.
            with suppress(FileNotFoundError, ConnectionRefusedError):
                reader, writer = await asyncio.open_unix_connection(str(socket))
                break
            await asyncio.sleep(0.02)
    writer.write("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
    said = await reader.read()
    writer.close()
    return said


# The compose file


def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))
    return found


def test_the_services_have_what_they_need() -> None:
    services = composed()["services"]
    hubs = [services[name] for name in ("hub-1", "hub-2")]
    names = {hub["environment"]["STREAMHUB_NODE__NAME"] for hub in hubs}
    assert names == {"hub-1", "hub-2"}
    config = Config.load(COMPOSE / "hub.toml", {})
    for hub in hubs:
        assert variables(COMPOSE / "hub.toml") <= set(hub["environment"])
        assert int(hub["stop_grace_period"].rstrip("s")) > config.server.drain_seconds
    (subnet,) = composed()["networks"]["inside"]["ipam"]["config"]
    assert [str(proxy) for proxy in config.server.trusted_proxies] == [subnet["subnet"]]
    for service in services.values():
        assert service["networks"] == ["inside"]
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).is_file()
            else:
                assert source in composed()["volumes"]


def test_the_proxy_leads_to_all_hubs_and_asks_whether_they_are_ready() -> None:
    text = (COMPOSE / "Caddyfile").read_text("utf-8")
    config = Config.load(COMPOSE / "hub.toml", {})
    assert f"reverse_proxy hub-1:{config.server.port} hub-2:{config.server.port} {{" in text
    assert "health_uri /readyz\n" in text
    assert text.startswith(f"{NAME} {{")
    assert f"Host {NAME}\n" in text
    assert list(config.server.hosts) == [NAME]


def test_the_image_runs_the_command_with_the_file_that_is_mounted() -> None:
    text = (COMPOSE / "Dockerfile").read_text("utf-8")
    assert 'CMD ["streamhub", "serve", "--config", "/etc/streamhub/hub.toml"]' in text
    for hub in ("hub-1", "hub-2"):
        assert "./hub.toml:/etc/streamhub/hub.toml:ro" in composed()["services"][hub]["volumes"]


async def test_redis_takes_the_command_of_the_compose_file(tmp_path: Path) -> None:
    program, *words = composed()["services"]["redis"]["command"]
    assert program == "redis-server"
    socket = tmp_path / "redis.sock"
    words = [word.replace("${REDIS_PASSWORD:?}", "secret") for word in words]
    own = ("--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path))
    async with redis(*words, *own):
        said = await asked(socket, "AUTH secret", "CONFIG GET maxmemory-policy", "INFO persistence")
    assert b"noeviction" in said
    assert b"aof_enabled:1" in said


# The units


def test_the_units_fit_together() -> None:
    node, config = unit("streamhub@.service"), Config.load(SYSTEMD / "hub.toml", {})
    assert node["Unit"]["Wants"] == "streamhub-redis.service"
    assert int(node["Service"]["TimeoutStopSec"]) > config.server.drain_seconds
    nodes = unit("streamhub.target")["Unit"]["Wants"].split()
    ports = [name.removeprefix("streamhub@").removesuffix(".service") for name in nodes]
    proxy = (SYSTEMD / "nginx.conf").read_text("utf-8")
    assert re.findall(r"server 127\.0\.0\.1:(\d+)", proxy) == ports
    assert list(config.server.hosts) == [NAME]
    assert f"server_name {NAME};" in proxy
    socket = config.store.url.removeprefix("unix://")
    assert f"\nunixsocket {socket}\n" in (SYSTEMD / "redis.conf").read_text("utf-8")
    folder = unit("streamhub-redis.service")["Service"]["RuntimeDirectory"]
    assert Path(socket).parent == Path("/run") / folder


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not there")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for file in UNITS:
        # The programs are elsewhere on this machine.
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", file.read_text("utf-8"))
        (tmp_path / file.name).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / file.name) for file in UNITS)],
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stderr.splitlines() if "streamhub" in line]
    assert not said


class Nodes:
    """The nodes of the units, with ports of their own, on a Redis with its configuration."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports

    async def until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as client:
            for port in self.ports:
                while not await _ready(client, port):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)


async def _ready(client: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with client.get(f"http://127.0.0.1:{port}/readyz", headers={"Host": NAME}) as found:
            return found.status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    socket = tmp_path / "redis.sock"
    config = (SYSTEMD / "redis.conf").read_text("utf-8")
    folder = f"dir /var/lib/{unit('streamhub-redis.service')['Service']['StateDirectory']}\n"
    assert folder in config
    here = tmp_path / "redis.conf"
    here.write_text(config.replace(folder, f"dir {tmp_path}\n"), "utf-8")
    async with AsyncExitStack() as stack:
        own = ("--unixsocket", str(socket), "--supervised", "no")
        await stack.enter_async_context(redis(str(here), *own))
        assert b"noeviction" in await asked(socket, "CONFIG GET maxmemory-policy")
        held = [Port(), Port()]
        for port in held:
            stack.callback(port.release)
            process = await asyncio.create_subprocess_exec(
                *_command(port.number),
                env=environ(
                    STREAMHUB_STORE__URL=f"unix://{socket}",
                    STREAMHUB_SERVER__DRAIN_SECONDS="0",
                    STREAMHUB_NODE__NAME=_node(port.number),
                    APP_SECRET=SECRET,
                    OPENAI_API_KEY="a key",
                ),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            stack.push_async_callback(_end, process)
        started = Nodes([port.number for port in held])
        await started.until_ready()
        yield started


def _command(port: int) -> list[str]:
    """What the unit of a node starts, in this environment."""
    program, *words = unit("streamhub@.service")["Service"]["ExecStart"].split()
    assert program == "/opt/streamhub/bin/streamhub"
    words = [word.replace("%i", str(port)) for word in words]
    return [*COMMAND, *(word.replace("/etc/streamhub", str(SYSTEMD)) for word in words)]


def _node(port: int) -> str:
    name, equals, value = unit("streamhub@.service")["Service"]["Environment"].partition("=")
    assert (name, equals) == ("STREAMHUB_NODE__NAME", "=")
    return value.replace("%i", str(port))


async def _end(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()


async def test_what_the_units_start_is_one_hub_behind_nginx(nodes: Nodes, tmp_path: Path) -> None:
    config = (SYSTEMD / "nginx.conf").read_text("utf-8")
    config = re.sub(r"(?m)^ *ssl_\w+ .*\n", "", config).replace("443 ssl", "127.0.0.1:PORT")
    for unit_port, port in zip(("7001", "7002"), nodes.ports, strict=True):
        config = config.replace(f":{unit_port}", f":{port}")
    claims = {"iss": "app", "sub": "ann", "aud": "streamhub", "exp": int(time.time()) + 3600}
    headers = {"Host": NAME, "Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    path = "/v1/stream/chat/ann/1"
    async with in_front(0, tmp_path, config) as url, aiohttp.ClientSession(url) as client:
        plain = {**headers, "Content-Type": "text/plain"}
        async with client.put(path, headers=plain, data="a") as made:
            assert made.status == 201, await made.read()
        for number in range(6):
            async with client.post(path, headers=plain, data=str(number)) as written:
                assert written.status == 204
            async with client.get(path, headers=headers) as found:
                assert (await found.text()).endswith(str(number))
        socket = await client.ws_connect("/v1/ws", protocols=["hub.v1"], headers=headers)
        await socket.send_json({"type": "subscribe", "id": 1, "stream": "chat/ann/2", "wait": True})
        assert (await socket.receive_json(timeout=PATIENCE))["type"] in ("hello", "ok")
        await socket.close()
        async with client.get(path, headers={"Host": NAME}) as refused:
            assert refused.status == 401
