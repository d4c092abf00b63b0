"""Sockets are set up for streaming, and what cannot be listened on is said in one sentence."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.domain.errors import ConfigError
from hub.http.sockets import NOTSENT_LOWAT, listen, listen_unix


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    sockets = listen(host, port, notsent_lowat=16384)
    try:
        yield sockets
    finally:
        for made in sockets:
            made.close()


def refused(host: str, port: int = 0) -> ConfigError:
    """The error that listening there is."""
    with pytest.raises(ConfigError) as caught, listening(host, port):
        pass
    return caught.value


def refused_unix(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        listen_unix(str(path)).close()
    return caught.value


# TCP


def test_connections_send_at_once_and_hide_no_slow_reader() -> None:
    with listening("127.0.0.1") as (made,), socket.create_connection(made.getsockname()):
        made.setblocking(True)
        accepted, _ = made.accept()
        with accepted:
            tcp = socket.IPPROTO_TCP
            assert accepted.getsockopt(tcp, socket.TCP_NODELAY)
            if NOTSENT_LOWAT is not None:
                assert accepted.getsockopt(tcp, NOTSENT_LOWAT) == 16384


def test_port_0_is_a_free_one() -> None:
    with listening("127.0.0.1") as (one,), listening("127.0.0.1") as (other,):
        assert 0 < one.getsockname()[1] != other.getsockname()[1] > 0
        assert not one.getblocking()


def test_a_name_with_several_addresses_listens_on_each_at_one_port() -> None:
    with listening("localhost") as sockets:
        found = {info[4][0] for info in socket.getaddrinfo("localhost", 0)}
        assert {made.getsockname()[0] for made in sockets} <= found
        assert len({made.getsockname()[1] for made in sockets}) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_an_address_that_this_machine_lacks_does_not_spoil_the_others(
    order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `localhost` does, where there is no IPv6."""
    here: Any = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
    # TEST-NET-1 (RFC 5737) is no machine's own.
    absent: Any = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    both = [here, absent][::order]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with listening("localhost") as sockets:
        assert [made.getsockname()[0] for made in sockets] == ["127.0.0.1"]


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with listening("127.0.0.1") as (made,):
        port = made.getsockname()[1]
        error = refused("127.0.0.1", port)
    assert error.code == "port_in_use"
    assert error.message == (
        f"port {port} on 127.0.0.1 is in use: stop the program that uses it, or choose another "
        "port with --port"
    )


def test_only_sockets_that_are_all_shared_listen_on_one_port() -> None:
    first = listen("127.0.0.1", 0, notsent_lowat=16384, shared=True)
    port = first[0].getsockname()[1]
    second = listen("127.0.0.1", port, notsent_lowat=16384, shared=True)
    assert refused("127.0.0.1", port).code == "port_in_use"
    for made in first + second:
        made.close()


def test_a_port_that_was_just_left_is_free() -> None:
    with listening("127.0.0.1") as (made,):
        address = made.getsockname()
        made.setblocking(True)
        with socket.create_connection(address):
            accepted, _ = made.accept()
            accepted.close()  # the side that closes first waits in TIME_WAIT
    with listening(*address) as (again,):
        assert again.getsockname() == address


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "nowhere.invalid", "x" * 70, "a..b", "a b", "256.1.1.1", "\0"]
)
def test_a_host_that_is_none_of_this_machine_is_said_to_be_none(host: str) -> None:
    error = refused(host)
    assert error.code == "bad_host"
    assert f'"{host}" is not ' in error.message
    assert "\n" not in error.message


def test_a_privileged_port_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As to whoever is not root, and not in a container where all ports are open to all."""

    def refuses(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuses)
    assert refused("127.0.0.1", 1).code == "port_not_allowed"


def test_sockets_of_a_host_are_closed_when_one_of_them_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both or none: a hub that listens on half of its addresses would look like a whole one."""
    with listening("127.0.0.1") as (taken,):
        port = taken.getsockname()[1]
        found: Any = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host in ("127.0.0.2", "127.0.0.1")
        ]
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert refused("localhost", port).code == "port_in_use"
        with listening("127.0.0.2", port):
            pass


# Paths


def test_a_path_is_listened_on(tmp_path: Path) -> None:
    with listen_unix(str(tmp_path / "s")) as made, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        assert not made.getblocking()


def test_a_socket_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen_unix(str(path)).close()
    assert path.exists()
    listen_unix(str(path)).close()


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listen_unix(str(path)), socket.socket(socket.AF_UNIX) as client:
        error = refused_unix(path)
        assert (error.code, error.message) == (
            "port_in_use",
            f"another process is listening on {path}",
        )
        client.connect(str(path))


def test_a_file_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    assert refused_unix(path).message == f"{path} exists and is not a socket"
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 120, "path too long"),
        ("x" * 300, os.strerror(errno.ENAMETOOLONG)),
        ("nowhere/s", os.strerror(errno.ENOENT)),
        ("file/s", os.strerror(errno.ENOTDIR)),
    ],
    ids=["for a socket", "for a file", "no folder", "a file for a folder"],
)
def test_a_path_that_cannot_be_one_is_refused_with_the_reason(
    name: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    error = refused_unix(tmp_path / name)
    assert error.code == "config_invalid"
    assert error.message.startswith(f"cannot listen on {tmp_path}")
    assert error.message.endswith(why)
