"""JSON Web Tokens, against a real key server on loopback: whose hold, and whose do not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from hub.auth.issuers import (
    ALGORITHMS,
    HMAC,
    STREAMS,
    TOKEN_BYTES,
    Issuer,
    Issuers,
    Secrets,
    public_key,
)
from hub.auth.key_sets import KeySet
from hub.domain.errors import ConfigError, Unauthorized, Unavailable
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import PERMISSIONS, Grant, StreamPattern
from hub.domain.principal import Principal
from tests.support.key_server import AUDIENCE, ISSUER, KeyServer, Signer, claims, signers

KEYS = signers()
NEW = signers(kid="new-")
SECRET = b"0123456789abcdef0123456789abcdef"
LONG = SECRET * 2
ALL = frozenset(PERMISSIONS)
RULES = Rules(
    [
        Rule(Who.parse("user"), Grant(ALL - {"admin"}, StreamPattern.parse("chat/{user}/**"))),
        Rule(Who.parse("claim group=staff"), Grant(frozenset({"read"}), StreamPattern.parse("**"))),
    ]
)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: dict[str, Any], payload: Any, key: bytes | None = None) -> str:
    """A token by hand, with what no library writes; signed with HMAC, if there is a key."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
    signature = b"" if key is None else hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64(signature)}"


def hs(held: dict[str, Any] | None = None, key: bytes = SECRET, **headers: Any) -> str:
    return jwt.encode(claims() if held is None else held, key, "HS256", headers)


def shared(secret: bytes = SECRET, **fields: Any) -> Issuer:
    given: dict[str, Any] = {"algorithms": HMAC, "source": Secrets(secret), **fields}
    return Issuer("app", ISSUER, AUDIENCE, **given)


async def believed(token: str, *issuers: Issuer) -> Principal:
    return await Issuers(issuers or (shared(),)).principal(token, RULES)


async def refused(token: str, *issuers: Issuer, code: str = "invalid_token") -> str:
    """Why a token is refused; it is said in one line, without the token."""
    with pytest.raises(Unauthorized) as caught:
        await believed(token, *issuers)
    assert caught.value.code == code
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    return caught.value.message


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    server = KeyServer(*(KEYS[name].jwk for name in ("RS256", "PS256", "ES256", "ES384", "EdDSA")))
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def issuer(server: KeyServer) -> AsyncIterator[Issuer]:
    key_set = KeySet(server.url, server.client)
    yield Issuer("idp", ISSUER, AUDIENCE, ALGORITHMS, key_set)
    await key_set.close()


# Signatures


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_a_token_is_checked_with_the_key_set_of_its_issuer(
    issuer: Issuer, algorithm: str
) -> None:
    ann = await believed(KEYS[algorithm].sign(), issuer)
    assert (ann.user, ann.tenant, ann.key, ann.subject) == ("ann", None, None, "ann")
    assert ann.may("append", "chat/ann/1")
    assert not ann.may("read", "chat/bob/1")
    assert ann.within is None
    assert ann.expires is not None
    assert 290 < ann.expires - time.time() <= 300
    # The same name for another key is not that key.
    await refused(NEW[algorithm].sign(kid=KEYS[algorithm].kid), issuer)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_is_checked_with_the_secret_of_its_issuer(algorithm: str) -> None:
    token = jwt.encode(claims(), LONG, algorithm)
    assert (await believed(token, shared(LONG))).user == "ann"
    assert "not signed by its issuer" in await refused(token, shared(b"x" * 64))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "EdDSA"])
async def test_a_token_is_checked_with_the_public_key_of_its_issuer(algorithm: str) -> None:
    key = public_key(KEYS[algorithm].pem, ALGORITHMS, "key.pem")
    issuer = Issuer("own", ISSUER, AUDIENCE, ALGORITHMS, Secrets(key))
    assert (await believed(KEYS[algorithm].sign(), issuer)).user == "ann"
    await refused(NEW[algorithm].sign(), issuer)
    for other in {"RS256", "ES256", "ES384", "EdDSA"} - {algorithm}:
        await refused(KEYS[other].sign(), issuer)


@pytest.mark.parametrize("name", ["alg", "signature", "payload", "header"])
async def test_every_part_of_a_token_counts(issuer: Issuer, name: str) -> None:
    token = KEYS["ES256"].sign()
    header, payload, signature = token.split(".")
    parts = {
        "alg": (b64(b'{"alg":"ES384","kid":"ES256"}'), payload, signature),
        "signature": (header, payload, b64(bytes(64))),
        "payload": (header, b64(json.dumps(claims(sub="bob")).encode()), signature),
        "header": (b64(b'{"alg":"ES256","kid":"ES256","a":1}'), payload, signature),
    }
    await refused(".".join(parts[name]), issuer)
    assert (await believed(token, issuer)).user == "ann"


# Algorithms


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 1, [], {}, "HS1"])
async def test_a_token_without_a_signature_is_nobody_s(issuer: Issuer, algorithm: Any) -> None:
    for one in (issuer, shared(), shared(algorithms=("HS256", "none"))):
        for key in (None, b""):
            await refused(forged({"alg": algorithm, "kid": "RS256"}, claims(), key), one)
            await refused(forged({"alg": algorithm}, claims(), key), one)
    await refused(forged({}, claims()), issuer)


def public_forms(signer: Signer) -> dict[str, bytes]:
    """What everybody can know of a public key."""
    public = signer.key.public_key()
    jwk = signer.jwk
    return {
        "pem": signer.pem,
        "pem without its last line break": signer.pem.strip(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(jwk).encode(),
        "set": json.dumps({"keys": [jwk]}).encode(),
        "n": str(jwk.get("n", jwk.get("x"))).encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("form", public_forms(KEYS["RS256"]))
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_is_never_taken_for_a_secret(
    issuer: Issuer, form: str, algorithm: str
) -> None:
    token = forged(
        {"alg": "HS256", "typ": "JWT", "kid": algorithm},
        claims(),
        public_forms(KEYS[algorithm])[form],
    )
    assert "not signed with this algorithm" in await refused(token, issuer)
    key = public_key(KEYS[algorithm].pem, ALGORITHMS, "key.pem")
    for algorithms in (ALGORITHMS, (*ALGORITHMS, *HMAC)):
        # Even where the algorithms are mixed up, the kinds of keys are not.
        await refused(token, Issuer("own", ISSUER, AUDIENCE, algorithms, Secrets(key)))
        mixed = Issuer("idp", ISSUER, AUDIENCE, algorithms, issuer.source)
        await refused(token, mixed)


async def test_a_secret_is_never_taken_for_a_public_key() -> None:
    one = shared(KEYS["RS256"].pem, algorithms=(*HMAC, "RS256"))
    await refused(KEYS["RS256"].sign(), one)
    await refused(forged({"alg": "HS256"}, claims(), KEYS["RS256"].pem), one)


async def test_an_issuer_signs_only_with_its_own_algorithms(issuer: Issuer) -> None:
    only = Issuer("idp", ISSUER, AUDIENCE, ("ES256",), issuer.source)
    assert (await believed(KEYS["ES256"].sign(), only)).user == "ann"
    for other in ("RS256", "ES384", "EdDSA"):
        await refused(KEYS[other].sign(), only)


async def test_keys_and_algorithms_of_two_issuers_are_never_pooled(issuer: Issuer) -> None:
    other = "https://other.example.org"
    both = (issuer, Issuer("own", other, AUDIENCE, HMAC, Secrets(SECRET)))
    assert (await believed(KEYS["RS256"].sign(), *both)).credential is not None
    assert (await believed(hs(claims(iss=other)), *both)).user == "ann"
    assert "algorithm" in await refused(KEYS["RS256"].sign(claims(iss=other)), *both)
    assert "algorithm" in await refused(hs(claims()), *both)
    # Nor two with the same algorithms.
    two = (shared(), Issuer("own", other, AUDIENCE, HMAC, Secrets(b"x" * 32)))
    await refused(hs(claims(iss=other)), *two)
    await refused(hs(claims(), b"x" * 32), *two)


@pytest.mark.parametrize("length", [1, 16, 31])
async def test_a_short_secret_is_refused_whatever_signed_the_token(length: int) -> None:
    short = b"k" * length
    token = forged({"alg": "HS256", "typ": "JWT"}, claims(), short)
    await refused(token, shared(short))
    assert await refused(forged({"alg": "HS256"}, claims(), b""), shared(b""))
    # Long enough for one algorithm, and too short for another.
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        long = jwt.encode(claims(), SECRET, "HS512")
    await refused(long, shared(SECRET))


async def test_a_short_rsa_key_is_refused(server: KeyServer, issuer: Issuer) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  # this is the point
    weak = Signer("RS256", key, "weak")
    server.keys = [weak.jwk]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = weak.sign()
    await refused(token, issuer)


async def test_the_previous_secret_holds_until_its_date() -> None:
    new, now = b"n" * 32, time.time()
    rotating = shared(source=Secrets(new, SECRET, now + 60))
    rotated = shared(source=Secrets(new, SECRET, now - 1))
    assert (await believed(hs(), rotating)).user == "ann"
    assert (await believed(hs(key=new), rotating)).user == "ann"
    assert (await believed(hs(key=new), rotated)).user == "ann"
    await refused(hs(), rotated)
    await refused(hs(key=b"x" * 32), rotating)


# Key sets and kid


async def test_a_rotation_of_keys_goes_unnoticed(server: KeyServer) -> None:
    now = [0.0]
    key_set = KeySet(server.url, server.client, clock=lambda: now[0])
    issuer = Issuer("idp", ISSUER, AUDIENCE, ALGORITHMS, key_set)
    old, new = KEYS["RS256"].sign(), NEW["RS256"].sign()
    assert (await believed(old, issuer)).user == "ann"
    now[0] += 61
    server.keys = [NEW["RS256"].jwk]
    found = await asyncio.gather(*(believed(new, issuer) for _ in range(20)))
    assert {one.user for one in found} == {"ann"}
    await refused(old, issuer)
    assert server.asked == 2
    await key_set.close()


async def test_a_withdrawn_key_ends_with_the_freshness_of_the_set(server: KeyServer) -> None:
    now = [0.0]
    key_set = KeySet(server.url, server.client, clock=lambda: now[0])
    issuer = Issuer("idp", ISSUER, AUDIENCE, ALGORITHMS, key_set)
    token = KEYS["RS256"].sign()
    assert (await believed(token, issuer)).user == "ann"
    server.keys = [KEYS["ES256"].jwk]
    now[0] += 601
    await refused(token, issuer)
    await key_set.close()


async def test_without_its_keys_nobody_is_believed_and_nobody_is_refused(
    server: KeyServer, issuer: Issuer
) -> None:
    server.answer = server.fail
    with pytest.raises(Unavailable) as caught:
        await believed(KEYS["RS256"].sign(), issuer)
    assert caught.value.code == "key_set_unavailable"
    # What can be refused without keys needs none.
    await refused(hs(), issuer)
    await refused("abc", issuer)


@pytest.mark.parametrize(
    "kid",
    [
        "unknown", "", "../../../dev/null", "/dev/null", "file:///etc/passwd",
        "' UNION SELECT 'AAAA'; --", "RS256'; DROP TABLE keys", "RS256\0", "a" * 8000, "RS256 ",
        "https://evil.example/jwks.json", "| cat /etc/passwd", "é\n",
    ],
)  # fmt: skip
async def test_a_kid_is_compared_and_nothing_else(
    server: KeyServer, issuer: Issuer, kid: str
) -> None:
    assert (await believed(KEYS["RS256"].sign(), issuer)).user == "ann"
    await refused(KEYS["RS256"].sign(kid=kid), issuer)
    for key in (b"", b"\0", b"AAAA", kid.encode()):
        await refused(forged({"alg": "HS256", "kid": kid}, claims(), key), issuer)
    assert server.asked == 1


@pytest.mark.parametrize("kid", [1, 0, 1.5, True, None, ["RS256"], {"RS256": 1}, [], {}])
async def test_a_kid_is_text(issuer: Issuer, kid: Any) -> None:
    _, payload, signature = KEYS["RS256"].sign().split(".")
    bad = b64(json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode())
    await refused(f"{bad}.{payload}.{signature}", issuer)


async def test_a_secret_has_no_kid() -> None:
    for kid in ("any", "/dev/null", "a" * 1000):
        assert (await believed(hs(kid=kid))).user == "ann"


async def test_a_token_without_a_kid_is_checked_with_every_key(issuer: Issuer) -> None:
    for name in ("RS256", "ES256", "ES384", "EdDSA"):
        assert (await believed(KEYS[name].sign(kid=...), issuer)).user == "ann"
        await refused(NEW[name].sign(kid=...), issuer)


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c", "x5t"])
async def test_a_token_brings_no_keys_along(server: KeyServer, issuer: Issuer, header: str) -> None:
    evil = KeyServer(NEW["RS256"].jwk)
    await evil.start()
    try:
        held: Any = {"jwk": NEW["RS256"].jwk, "x5c": [b64(NEW["RS256"].pem)], "x5t": "a"}.get(
            header, evil.url
        )
        for kid in ("RS256", "new-RS256", ...):
            await refused(NEW["RS256"].sign(kid=kid, **{header: held}), issuer)
        assert evil.asked == 0
        # Nor does it harm who has the right key.
        assert (await believed(KEYS["RS256"].sign(**{header: held}), issuer)).user == "ann"
        assert server.asked == 1
    finally:
        await evil.close()


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "b64"}, {"b64": False}]
)
async def test_what_a_token_says_is_critical_must_be_understood(header: dict[str, Any]) -> None:
    await refused(forged({"alg": "HS256", **header}, claims(), SECRET))


# Claims


NOW = int(time.time())


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "sub"])
@pytest.mark.parametrize("value", [..., None, "", [], {}])
async def test_what_must_be_there_must_be_there(name: str, value: Any) -> None:
    await refused(forged({"alg": "HS256"}, claims(**{name: value}), SECRET))


@pytest.mark.parametrize(
    "issuer",
    ["https://evil.example", ISSUER + "/", ISSUER.upper(), [ISSUER], {ISSUER: 1}, 1, True, "app"],
)
async def test_the_issuer_must_be_known_by_exactly_this_name(issuer: Any) -> None:
    token = forged({"alg": "HS256"}, claims(iss=issuer), SECRET)
    assert "does not know the issuer" in await refused(token)


@pytest.mark.parametrize(
    "audience", ["other", AUDIENCE + "/", AUDIENCE.upper(), ["other"], [[AUDIENCE]], {AUDIENCE: 1}]
)
async def test_the_audience_must_be_this_hub(audience: Any) -> None:
    token = forged({"alg": "HS256"}, claims(aud=audience), SECRET)
    assert "audience" in await refused(token)


async def test_the_audience_may_be_one_of_several() -> None:
    assert (await believed(hs(claims(aud=["other", AUDIENCE])))).user == "ann"


async def test_an_expired_token_is_told_to_get_a_new_one() -> None:
    said = await refused(hs(claims(exp=time.time() - 31)), code="token_expired")
    assert "get a new one" in said


async def test_clocks_may_differ_by_the_leeway() -> None:
    now = time.time()
    for held in (claims(exp=now - 25), claims(nbf=now + 25), claims(iat=now + 25)):
        assert (await believed(hs(held))).user == "ann"
    exact = shared(leeway=0.0)
    await refused(hs(claims(exp=now - 1)), exact, code="token_expired")
    assert (await believed(hs(claims(exp=now + 60)), exact)).user == "ann"


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_a_token_from_the_future_waits_for_it(name: str) -> None:
    said = await refused(hs(claims(**{name: time.time() + 60})))
    assert "not valid yet: compare the clocks" in said


async def test_a_token_that_lives_too_long_is_refused() -> None:
    now = time.time()
    assert (await believed(hs(claims(exp=now + 86_400)))).user == "ann"
    assert "expires too late" in await refused(hs(claims(exp=now + 86_400 + 60)))
    short = shared(max_seconds=60.0)
    assert (await believed(hs(claims(exp=now + 50)), short)).user == "ann"
    assert "60 s at most" in await refused(hs(claims(exp=now + 100)), short)


@pytest.mark.parametrize(
    "expires",
    [10**400, -(10**400), 1e308, str(NOW + 100), f" {NOW + 100} ", True, [NOW + 100], "never"],
    ids=["huge", "tiny", "float", "text", "spaces", "true", "list", "never"],
)
async def test_a_time_that_is_none_is_refused(expires: Any) -> None:
    with pytest.raises(Unauthorized):
        await believed(forged({"alg": "HS256"}, claims(exp=expires), SECRET))


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999", "9" * 5000])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_a_number_that_is_none_is_refused(name: str, number: str) -> None:
    held = json.dumps(claims(**{name: 12345678})).replace("12345678", number)
    header = json.dumps({"alg": "HS256"}).encode()
    signed = f"{b64(header)}.{b64(held.encode())}"
    signature = hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()
    await refused(f"{signed}.{b64(signature)}")


@pytest.mark.parametrize(
    "user", [1, True, ["ann"], {"a": 1}, "a\nb", "\ud800", "a\0", "x" * 257, "\u202eann"]
)
async def test_a_user_is_one_line_of_text(user: Any) -> None:
    await refused(forged({"alg": "HS256"}, claims(sub=user), SECRET))
    one = shared(user_claim="email")
    await refused(forged({"alg": "HS256"}, claims(email=user), SECRET), one)


async def test_the_user_may_be_named_by_another_claim() -> None:
    one = shared(user_claim="email")
    assert (await believed(hs(claims(email="ann@x.example")), one)).user == "ann@x.example"
    assert 'lacks the claim "email"' in await refused(hs(), one)


async def test_users_called_like_patterns_or_paths_stay_in_their_own_segment() -> None:
    for user in ("*", "**", "bob/**", "../bob", "{user}", "~"):
        ann = await believed(hs(claims(sub=user)))
        assert not ann.may("read", "chat/bob/1")
        assert ann.subject != "bob"


async def test_a_tenant_comes_from_its_claim_or_from_the_configuration() -> None:
    fixed, named = shared(tenant="acme"), shared(tenant_claim="org")
    both = shared(tenant="acme", tenant_claim="org")
    assert (await believed(hs(), fixed)).subject == "acme/ann"
    assert (await believed(hs(claims(org="umbrella")), fixed)).subject == "acme/ann"
    assert (await believed(hs(claims(org="umbrella")), named)).subject == "umbrella/ann"
    assert (await believed(hs(claims(org="umbrella")), both)).subject == "umbrella/ann"
    assert (await believed(hs(), both)).subject == "acme/ann"


@pytest.mark.parametrize("org", [..., None, "", 1, ["acme"], "a\nb"])
async def test_without_its_tenant_a_user_is_nobody(org: Any) -> None:
    """Else it would be the user of the same name that has no tenant."""
    await refused(hs(claims(org=org)), shared(tenant_claim="org"))
    if org is not ...:
        await refused(hs(claims(org=org)), shared(tenant="acme", tenant_claim="org"))


async def test_a_claim_brings_the_grants_of_the_configuration() -> None:
    assert (await believed(hs(claims(group="staff")))).may("read", "any/stream")
    assert (await believed(hs(claims(group=["a", "staff"])))).may("read", "any/stream")
    assert not (await believed(hs(claims(group="staffs")))).may("read", "any/stream")


async def test_a_token_is_named_by_its_id() -> None:
    assert (await believed(hs(claims(jti="7")))).credential == "app:7"
    for jti in (None, "", 7, ["7"], "a\nb", "x" * 257):
        await refused(forged({"alg": "HS256"}, claims(jti=jti), SECRET))


async def test_a_token_without_an_id_is_named_by_what_is_signed(issuer: Issuer) -> None:
    """Two signatures of the same claims are one token, and revoked together."""
    held = claims()
    one, other = KEYS["ES256"].sign(held), KEYS["ES256"].sign(held)
    assert one != other
    names = {(await believed(token, issuer)).credential for token in (one, other)}
    assert len(names) == 1
    assert names != {(await believed(KEYS["ES256"].sign(claims(sub="bob")), issuer)).credential}
    assert all(name is not None and name.startswith("idp:~") for name in names)


# What a token is for


CHAT_7 = {"match": "chat/7", "can": ["read"]}


def forms(*streams: Any) -> list[dict[str, Any]]:
    """Both spellings of what a token is for."""
    details = [{"type": "streamhub", **one} for one in streams]
    return [{"streams": list(streams)}, {"authorization_details": details}]


@pytest.mark.parametrize("form", [0, 1])
async def test_a_token_narrows_what_its_user_may_do(form: int) -> None:
    told = forms({"match": "chat/ann/7", "can": ["read", "admin"]}, CHAT_7)[form]
    ann = await believed(hs(claims(**told)))
    assert ann.may("read", "chat/ann/7")
    assert not ann.may("append", "chat/ann/7")
    assert not ann.may("read", "chat/ann/8")
    assert not ann.may("read", "chat/7")
    assert not ann.may("admin")
    assert not ann.may("generate")
    assert not ann.may_own("read", "gen_1")


@pytest.mark.parametrize("form", [0, 1])
async def test_a_token_adds_only_where_its_issuer_may_grant(form: int) -> None:
    told = forms(CHAT_7, {"match": "team/{user}/*", "can": ["append"]})[form]
    ann = await believed(hs(claims(**told)), shared(may_grant=True))
    assert ann.may("read", "chat/7")
    assert ann.may("append", "team/ann/1")
    assert not ann.may("append", "team/bob/1")
    assert not ann.may("read", "chat/ann/1")  # narrowed all the same
    assert not ann.may("append", "chat/7")
    narrowed = await believed(hs(claims(**told)))
    assert not narrowed.may("read", "chat/7")
    assert not narrowed.may("append", "team/ann/1")
    plain = await believed(hs(), shared(may_grant=True))
    assert plain.may("read", "chat/ann/1")
    assert not plain.may("read", "chat/7")


@pytest.mark.parametrize(
    "told",
    [
        {"streams": []},
        {"authorization_details": []},
        {"authorization_details": [{"type": "payment", "match": "**", "can": ["read"]}]},
    ],
)
async def test_a_token_for_nothing_may_do_nothing(told: dict[str, Any]) -> None:
    for one in (shared(), shared(may_grant=True)):
        ann = await believed(hs(claims(**told)), one)
        assert ann.within == ()
        assert not ann.may("read", "chat/ann/1")


async def test_a_token_limits_models_and_lengths_like_a_grant() -> None:
    limited = {**CHAT_7, "upstreams": ["mini"], "models": ["a", "b"], "max_tokens": 10}
    for told in forms(limited):
        ann = await believed(hs(claims(**told)))
        assert ann.within == (
            Grant(
                frozenset({"read"}),
                StreamPattern.parse("chat/7"),
                frozenset({"mini"}),
                frozenset({"a", "b"}),
                10,
            ),
        )


@pytest.mark.parametrize(
    "stream",
    [
        {"match": "chat/7"},
        {"can": ["read"]},
        {**CHAT_7, "match": None},
        {**CHAT_7, "match": ["chat/7"]},
        {**CHAT_7, "match": "chat/**/7"},
        {**CHAT_7, "match": "chat/a\nb"},
        {**CHAT_7, "match": ""},
        {**CHAT_7, "can": "read"},
        {**CHAT_7, "can": None},
        {**CHAT_7, "can": ["reed"]},
        {**CHAT_7, "can": [["read"]]},
        {**CHAT_7, "can": [{"read": 1}]},
        {**CHAT_7, "can": [None]},
        {**CHAT_7, "can": {"read": True}},
        {**CHAT_7, "models": "gpt"},
        {**CHAT_7, "models": None},
        {**CHAT_7, "models": [1]},
        {**CHAT_7, "upstreams": [["mini"]]},
        {**CHAT_7, "max_tokens": 0},
        {**CHAT_7, "max_tokens": True},
        {**CHAT_7, "max_tokens": None},
        {**CHAT_7, "max_tokens": 1.5},
        {**CHAT_7, "until": 100},
        {**CHAT_7, "position": "0"},
    ],
)
async def test_what_may_narrow_a_token_must_be_understood(stream: dict[str, Any]) -> None:
    for told in forms(stream):
        for one in (shared(), shared(may_grant=True)):
            assert "of this token" in await refused(hs(claims(**told)), one)


@pytest.mark.parametrize("value", [None, "", "chat/7", 1, {}, CHAT_7, [None], ["chat/7"], [[]]])
async def test_what_a_token_is_for_is_a_list(value: Any) -> None:
    await refused(hs(claims(streams=value)))
    if not isinstance(value, list):
        await refused(hs(claims(authorization_details=value)))


async def test_what_a_token_is_for_is_said_once() -> None:
    both = claims(streams=[CHAT_7], authorization_details=[])
    assert "has both" in await refused(hs(both))


async def test_a_token_names_so_many_streams() -> None:
    await believed(hs(claims(streams=[CHAT_7] * STREAMS)))
    await refused(hs(claims(streams=[CHAT_7] * (STREAMS + 1))))
    await refused(hs(claims(authorization_details=[{"type": "x"}] * (STREAMS + 1))))


# Anything at all


async def test_a_token_has_at_most_so_many_characters() -> None:
    pad = (TOKEN_BYTES - len(hs(claims(pad="")))) * 3 // 4
    held = refusals = 0
    for more in range(-4, 8):
        token = hs(claims(pad="x" * (pad + more)))
        if len(token) <= TOKEN_BYTES:
            assert (await believed(token)).user == "ann"
            held += 1
        else:
            assert "at most 16384 characters" in await refused(token)
            refusals += 1
    assert held
    assert refusals
    assert "at most" in await refused("x" * 10**6)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b.c", "a.b", "e30.e30.", "e30.e30.e30", "e30.W10.", "W10.e30.",
        "\ud800.\ud800.a", "é.é.é", "\0", " ", "Bearer x", "e30=.e30=.", "e30..", "[]", "null",
        b64(b"[" * 8000) + ".e30.", b64(b'{"alg":"HS256"}') + "." + b64(b"[" * 8000) + ".",
        b64(b'{"a":' * 2000) + ".e30.", b64(b"\xff\xfe") + ".e30.",
        b64(b'{"alg":"HS256"}') + ".\n.",
        b64(b'{"alg":"HS256","alg":"none"}') + ".e30.", b64(b"{}") + "." + b64(b"NaN") + ".",
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused(token: str) -> None:
    await refused(token)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["read", "chat/7", "**", "streamhub", AUDIENCE, ISSUER, 2**70]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["match", "can", "type", "models", "max_tokens", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
CLAIMS = st.dictionaries(
    st.sampled_from(
        ["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "streams", "authorization_details",
         "org", "group", "email"]
    ),
    JSON,
    max_size=5,
)  # fmt: skip

ISSUERS = [
    shared(),
    shared(tenant_claim="org", may_grant=True),
    shared(user_claim="email", tenant="t", tenant_claim="org"),
]


@given(CLAIMS, st.sampled_from(ISSUERS))
@example({"exp": 10**400}, ISSUERS[0])
@example({"streams": [{"match": "a", "can": [{}]}]}, ISSUERS[0])
def test_whatever_is_signed_is_somebody_or_refused(held: dict[str, Any], issuer: Issuer) -> None:
    token = forged({"alg": "HS256"}, {**claims(email="ann"), **held}, SECRET)
    try:
        ann = asyncio.run(believed(token, issuer))
    except Unauthorized as error:
        found: tuple[str, str] = (error.code, error.message)
    else:
        assert ann.expires is not None
        assert not ann.may("admin")
        found = ("believed", ann.user or "\n")
    assert found[0] in ("believed", "invalid_token", "token_expired")
    assert found[1].isprintable()


@given(JSON, JSON)
def test_whatever_is_in_the_parts_of_a_token_is_refused(header: Any, payload: Any) -> None:
    with pytest.raises(Unauthorized):
        asyncio.run(believed(forged(header, payload)))


@given(st.text(max_size=60) | st.text("aeW10.=_- \n", max_size=40))
def test_whatever_is_sent_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        asyncio.run(believed(token))


# Files of keys


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"abc",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        SECRET,
        KEYS["RS256"].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        json.dumps(KEYS["RS256"].jwk).encode(),
    ],
)
def test_a_file_without_a_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigError, match=r"key\.pem must hold an RSA, EC or Ed25519 public key"):
        public_key(pem, ALGORITHMS, "key.pem")


def test_a_key_of_the_wrong_kind_says_what_it_is_for() -> None:
    with pytest.raises(ConfigError) as caught:
        public_key(KEYS["ES384"].pem, ("RS256", "ES256"), "key.pem")
    assert caught.value.message == (
        "the key in key.pem cannot be used with RS256, ES256; set algorithms to some of ES384"
    )
    strange = ec.generate_private_key(ec.SECP256K1()).public_key()
    pem = strange.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigError, match="cannot be used"):
        public_key(pem, ALGORITHMS, "key.pem")


async def test_an_issuer_asked_by_itself_refuses_what_is_no_token(issuer: Issuer) -> None:
    with pytest.raises(Unauthorized):
        await issuer.principal("nonsense", Rules())
