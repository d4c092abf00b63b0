"""What proxies tell of their clients: the right value is found, and a client's own word ignored."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.addresses import Networks, parse_network
from hub.domain.forwarded import MOST, Client, client, forwarded, parse_node, x_forwarded

PROXIES = Networks([parse_network("10.0.0.0/8"), parse_network("fd00::/8")])
trusted = PROXIES.__contains__

addresses = st.ip_addresses().map(str)
proxies = st.one_of(
    st.ip_addresses(network="10.0.0.0/8").map(str), st.ip_addresses(network="fd00::/8").map(str)
)
outside = addresses.map(lambda text: parse_node(text) or "").filter(lambda one: not trusted(one))
garbage = st.text(st.characters(codec="latin-1"), max_size=40)


def node(address: str, port: int | None = None) -> str:
    name = f"[{address}]" if ":" in address else address
    return name if port is None else f"{name}:{port}"


@given(st.one_of(addresses, garbage), outside, st.lists(proxies, max_size=5), st.data())
def test_the_client_is_the_last_address_that_is_no_proxy(
    own_word: str, address: str, between: list[str], data: st.DataObject
) -> None:
    """The client connects to the first proxy, each one to the next, and the last to the hub."""
    path = [address, *between]
    port = st.one_of(st.none(), st.integers(0, 65_535))
    told = [node(one, data.draw(port)) for one in path]
    peer = data.draw(proxies)
    found = client(peer, x_forwarded([", ".join([own_word, *told])], ["https"], ["a"]), trusted)
    assert found == Client(address, "https", "a", proxied=True)
    quoted = ", ".join(f'for="{one}"' for one in told)
    assert client(peer, forwarded([quoted]), trusted).address == address


@given(st.lists(st.one_of(garbage, addresses), max_size=5), garbage, garbage)
def test_whatever_is_told_an_address_a_scheme_and_a_host_come_of_it(
    nodes: list[str], scheme: str, host: str
) -> None:
    for hops in (
        x_forwarded(nodes, [scheme], [host]),
        forwarded(nodes),
        forwarded([f"for={one};proto={scheme};host={host}" for one in nodes]),
    ):
        found = client("10.0.0.1", hops, trusted)
        assert str(ip_address(found.address)) == found.address
        assert found.scheme in (None, "http", "https")
        assert found.host is None or (found.host.isascii() and found.host.isprintable())
        assert found.host is None or not set(found.host) & set('/\\@,;" ')


@given(st.one_of(addresses, garbage), outside, st.sampled_from(["http", "https"]))
def test_of_appended_schemes_and_hosts_the_one_beside_the_client_counts(
    own_word: str, address: str, scheme: str
) -> None:
    hops = x_forwarded(
        [f"{own_word}, {address}, 10.0.0.3"],
        [f"javascript, {scheme}, http"],
        ["evil.example, chat.example, inner"],
    )
    assert client("10.0.0.2", hops, trusted) == Client(
        address, scheme, "chat.example", proxied=True
    )


@given(garbage, outside)
def test_a_client_that_begins_a_quoted_string_hides_only_itself(own: str, address: str) -> None:
    hops = forwarded([f'for="{own}', f"for={address};proto=https"])
    assert client("10.0.0.2", hops, trusted).address in (
        "10.0.0.2",
        *((address,) if '"' in own else ()),
    )


@pytest.mark.parametrize(
    ("nodes", "address"),
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["[2001:DB8:0::7]:80"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["192.0.2.7, "], "10.0.0.1"),
        (["192.0.2.7, unknown"], "10.0.0.1"),
        (["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (["192.0.2.7 198.51.100.1"], "10.0.0.1"),
        (["fe80::1%eth0"], "10.0.0.1"),
        (["[192.0.2.7]"], "10.0.0.1"),
        (["192.0.2.07"], "10.0.0.1"),
        (["3221225991"], "10.0.0.1"),
        ([", ".join(["192.0.2.7"] + ["10.0.0.9"] * MOST)], "10.0.0.9"),
    ],
)
def test_addresses_in_x_forwarded_for(nodes: list[str], address: str) -> None:
    assert client("10.0.0.1", x_forwarded(nodes, [], []), trusted).address == address


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["for=192.0.2.7;proto=https;host=a.example"], ("192.0.2.7", "https", "a.example")),
        (['For="[2001:db8::7]:47";PROTO="HTTPS"'], ("2001:db8::7", "https", None)),
        (['for="192.0.2.7:47";host="a.example:8443"'], ("192.0.2.7", None, "a.example:8443")),
        ([r'for="192\.0.2.7"'], ("192.0.2.7", None, None)),
        (["proto=https"], ("10.0.0.1", "https", None)),
        (["for=192.0.2.7;;proto=https;"], ("192.0.2.7", "https", None)),
        (["for=192.0.2.7;proto=https, ,"], ("192.0.2.7", "https", None)),
        (
            ["for=198.51.100.1;proto=http, for=192.0.2.7;proto=https, for=10.0.0.2;proto=http"],
            ("192.0.2.7", "https", None),
        ),
        (["for=192.0.2.7;proto=https, for=10.0.0.2"], ("192.0.2.7", "https", None)),
        (["for=192.0.2.7, for=_hidden;proto=https"], ("10.0.0.1", "https", None)),
        (["for=192.0.2.7, for=10.0.0.2;proto=https"], ("192.0.2.7", None, None)),
        (["for=192.0.2.7;for=192.0.2.8"], ("10.0.0.1", None, None)),
        (['for="192.0.2.7'], ("10.0.0.1", None, None)),
        (["for=192.0.2.7 proto=https"], ("10.0.0.1", None, None)),
        (["192.0.2.7"], ("10.0.0.1", None, None)),
        (["for=192.0.2.7" + "," * 9000], ("10.0.0.1", None, None)),
        ([" " * 8000 + "x"], ("10.0.0.1", None, None)),
    ],
)
def test_elements_of_forwarded(
    lines: list[str], expected: tuple[str, str | None, str | None]
) -> None:
    found = client("10.0.0.1", forwarded(lines), trusted)
    assert (found.address, found.scheme, found.host) == expected


@pytest.mark.parametrize(
    ("told", "scheme"),
    [("https", "https"), (" HTTPS ", "https"), ("wss", "https"), ("ws", "http"), ("on", None)],
)
def test_a_scheme_is_that_of_http(told: str, scheme: str | None) -> None:
    assert client("10.0.0.1", x_forwarded([], [told], []), trusted).scheme == scheme


@pytest.mark.parametrize(
    ("told", "host"),
    [
        ("chat.example", "chat.example"),
        ("chat.example:8443", "chat.example:8443"),
        ("[2001:db8::7]:80", "[2001:db8::7]:80"),
        ("chat.example/x", None),
        ("a@chat.example", None),
        ("chat.example:", None),
        ("", None),
    ],
)
def test_a_host_is_a_name_and_a_port(told: str, host: str | None) -> None:
    assert client("10.0.0.1", x_forwarded([], [], [told]), trusted).host == host


@given(st.ip_addresses(v=4), st.ip_addresses(v=6))
def test_each_address_is_in_its_own_network(four: IPv4Address, six: IPv6Address) -> None:
    for one in (str(four), str(six), f"::ffff:{four}"):
        assert one in Networks([parse_network(one)])
    assert str(four) in Networks([parse_network("::ffff:0:0/96")])
    assert str(four) not in Networks([parse_network("::/0")])
    assert "unix" not in Networks([parse_network("0.0.0.0/0"), parse_network("::/0")])
