"""``[auth]``: what it may say, and the secrets that it names."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hub.config.auth import Auth, AuthLimits, GrantTable, IssuerTable, KeyTable, OIDCTable, seconds
from hub.domain.errors import ConfigError

SECRET = "0123456789abcdef0123456789abcdef"
HASH = "0" * 64
KEY = {"sha256": HASH, "id": "abcdefghijkl"}
JWKS = {"jwks": "https://id.example.org/jwks.json", "audience": "hub"}
SHARED = {"secret_env": "SECRET", "audience": "hub"}
GRANT = {"who": "user", "can": ["read"]}


def mistakes(**tables: Any) -> dict[str, str]:
    """What is wrong, each by its place; no message repeats what stands there."""
    with pytest.raises(ValidationError) as caught:
        Auth.model_validate(tables)
    assert SECRET not in str(caught.value)
    return {".".join(map(str, one["loc"])): one["msg"] for one in caught.value.errors()}


def issuer(**keys: Any) -> IssuerTable:
    auth = Auth.model_validate({"issuers": {"app": {"audience": "hub", **keys}}})
    return auth.issuers["app"]


def test_nothing_said_is_no_authentication() -> None:
    assert not Auth().enabled
    assert not Auth(open=True).enabled
    assert not Auth(limits=AuthLimits(requests_per_minute=1)).enabled


def test_who_may_come_in_makes_authentication() -> None:
    assert Auth(issuers={"app": IssuerTable.model_validate(JWKS)}).enabled
    assert Auth(keys={"ci": KeyTable.model_validate(KEY)}).enabled
    assert Auth(grants=[GrantTable.model_validate(GRANT)]).enabled
    assert Auth(required=True).enabled, "as keys may come from elsewhere"


def test_a_whole_table_is_read() -> None:
    auth = Auth.model_validate(
        {
            "token_seconds": 5.0,
            "issuers": {"app": JWKS, "own": {**SHARED, "issuer": "https://own.example"}},
            "keys": {"ci": {**KEY, "user": "ci", "can": ["read"], "match": "jobs/**"}},
            "grants": [
                {
                    "who": "claim group=staff",
                    "match": "chat/{user}/**",
                    "can": ["read", "generate"],
                    "upstreams": ["mini"],
                    "models": ["gpt"],
                    "max_tokens": 4000,
                }
            ],
            "limits": {"requests_per_minute": 0, "generations": 0},
        }
    )
    assert auth.grants[0].max_tokens == 4000
    assert auth.issuers["app"].leeway_seconds == 30
    assert auth.issuers["own"].issuer == "https://own.example"


def test_open_is_said_alone() -> None:
    assert "leave it out" in mistakes(open=True, grants=[GRANT])["open"]


@pytest.mark.parametrize(
    ("grant", "place", "said"),
    [
        ({"who": "ann"}, "who", 'should be "anyone"'),
        ({"match": "chat/a*"}, "match", "cannot be a segment"),
        ({"match": "**/a"}, "match", "only be the last"),
        ({"can": ["reed"]}, "can.0", "should be 'read'"),
        ({"can": []}, "can", "at least 1 item"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"cannot": ["read"]}, "cannot", "not permitted"),
    ],
)
def test_a_grant_that_is_none_is_refused(grant: dict[str, Any], place: str, said: str) -> None:
    assert said in mistakes(grants=[{**GRANT, **grant}])[f"grants.0.{place}"]


@pytest.mark.parametrize(
    ("key", "place", "said"),
    [
        ({"sha256": "sh_abcdefghijkl_" + "a" * 43}, "sha256", "must be the SHA-256"),
        ({"sha256": HASH[:-1]}, "sha256", "must be the SHA-256"),
        ({"sha256": "A" * 64}, "sha256", "must be the SHA-256"),
        ({"id": "ABCDEFGHIJKL"}, "id", "match"),
        ({"id": "short"}, "id", "match"),
        ({"match": "a b"}, "match", "cannot be a segment"),
        ({"user": ""}, "user", "must be one line"),
        ({"expires": "tomorrow"}, "expires", "must be a time such as"),
        ({"expires": "2027-01-31T00:00:00"}, "expires", "must be a time such as"),
        ({"expires": "2027-01-31"}, "expires", "must be a time such as"),
        ({"expires": ""}, "expires", "must be a time such as"),
    ],
)
def test_a_key_that_is_none_is_refused(key: dict[str, Any], place: str, said: str) -> None:
    assert said in mistakes(keys={"ci": {**KEY, **key}})[f"keys.ci.{place}"]


def test_times_are_read_with_their_offset() -> None:
    assert seconds("1970-01-01T00:00:10Z") == 10
    assert seconds("1970-01-01T01:00:10+01:00") == 10


def test_two_keys_have_two_ids_and_two_issuers_two_names() -> None:
    assert mistakes(keys={"a": KEY, "b": KEY}) == {"keys.b.id": "stands there twice"}
    own = {**JWKS, "issuer": "app"}
    assert mistakes(issuers={"app": JWKS, "b": own}) == {"issuers.b.issuer": "stands there twice"}


@pytest.mark.parametrize(
    ("table", "place", "said"),
    [
        ({"jwks": None}, "jwks", "give one of jwks, secret_env, secret_file, public_key_file"),
        ({"secret_env": "SECRET"}, "jwks", "give one of"),
        ({"public_key_file": "key.pem"}, "jwks", "give one of"),
        ({"jwks": "http://id.example.org/jwks.json"}, "jwks", "must be an https:// URL"),
        ({"jwks": "http://localhost.example.org/"}, "jwks", "must be an https:// URL"),
        ({"jwks": "file:///etc/passwd"}, "jwks", "must be an http:// or https:// URL"),
        ({"jwks": "https://u:p@id.example.org/"}, "jwks", "user or password"),
        ({"algorithms": ["HS256"]}, "algorithms", "must be of RS256"),
        ({"algorithms": ["RS256", "HS256"]}, "algorithms", "must be of RS256"),
        ({"algorithms": ["none"]}, "algorithms.0", "'HS256'"),
        ({"algorithms": []}, "algorithms", "at least 1 item"),
        ({"previous_secret_env": "OLD"}, "previous_until", "give both"),
        ({"previous_until": "2027-01-01T00:00:00Z"}, "previous_until", "give both"),
        (
            {"previous_secret_env": "OLD", "previous_until": "2027-01-01T00:00:00Z"},
            "previous_secret_env",
            "only for issuers with a shared secret",
        ),
        ({"leeway_seconds": 301.0}, "leeway_seconds", "less than or equal to 300"),
        ({"leeway_seconds": -1.0}, "leeway_seconds", "greater than or equal to 0"),
        ({"max_seconds": 0.0}, "max_seconds", "greater than 0"),
        ({"audience": ""}, "audience", "must be one line"),
        ({"secret": SECRET}, "secret", "not permitted"),
    ],
)
def test_an_issuer_that_is_none_is_refused(table: dict[str, Any], place: str, said: str) -> None:
    found = mistakes(issuers={"app": {**JWKS, **table}})
    matching = [text for where, text in found.items() if where.startswith(f"issuers.app.{place}")]
    assert any(said in text for text in matching), found


def test_an_issuer_needs_an_audience() -> None:
    assert mistakes(issuers={"app": {"jwks": JWKS["jwks"]}}) == {
        "issuers.app.audience": "Field required"
    }


def test_a_shared_secret_goes_with_its_own_algorithms() -> None:
    found = mistakes(issuers={"app": {**SHARED, "algorithms": ["HS256", "RS256"]}})
    assert "must be of HS256, HS384, HS512" in found["issuers.app.algorithms"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost/", "http://[::1]:2/"])
def test_a_key_set_on_this_machine_needs_no_tls(url: str) -> None:
    assert issuer(jwks=url).jwks == url


def test_the_secret_itself_is_no_name_of_a_variable() -> None:
    found = mistakes(issuers={"app": {**SHARED, "secret_env": SECRET}})
    assert "not the key itself" in found["issuers.app.secret_env"]


def test_algorithms_are_those_of_the_kind_of_key_unless_said() -> None:
    assert issuer(secret_env="S").accepted == ("HS256", "HS384", "HS512")
    public = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
              "EdDSA")  # fmt: skip
    assert issuer(jwks=JWKS["jwks"]).accepted == public
    assert issuer(public_key_file="k").accepted == public
    assert issuer(jwks=JWKS["jwks"], algorithms=["EdDSA"]).accepted == ("EdDSA",)


# Secrets


def test_a_secret_is_read_from_its_variable() -> None:
    assert issuer(secret_env="S").secret({"S": f" {SECRET}\n"}) == SECRET.encode()
    assert issuer(jwks=JWKS["jwks"]).secret({}) is None
    assert issuer(public_key_file="k").secret({}) is None
    assert issuer(secret_env="S").public_key() is None
    assert issuer(secret_env="S").previous_secret({}) is None


def test_a_secret_is_read_from_its_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    assert issuer(secret_file=str(file)).secret({}) == SECRET.encode()
    assert not caplog.records
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert issuer(secret_file=str(file)).secret({}) == SECRET.encode()
    assert "chmod 600" in caplog.text
    assert SECRET not in caplog.text


def test_a_public_key_may_be_read_by_everybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PUBLIC KEY-----")
    file.chmod(0o644)
    assert issuer(public_key_file=str(file)).public_key() == b"-----BEGIN PUBLIC KEY-----"
    assert not caplog.records


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for key in ("secret_file", "public_key_file"):
        table = issuer(**{key: str(tmp_path / "none")})
        with pytest.raises(ConfigError, match=r'issuer "app" from .*none: No such file'):
            table.secret({}) if key == "secret_file" else table.public_key()


@pytest.mark.parametrize("environ", [{}, {"S": ""}, {"S": " \n"}])
def test_a_secret_that_is_not_set_is_asked_for(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r'set the environment variable S to the secret .* "app"'):
        issuer(secret_env="S").secret(environ)


@pytest.mark.parametrize(
    ("algorithms", "length", "least"),
    [
        (None, 31, 32),
        (["HS256"], 31, 32),
        (["HS384"], 47, 48),
        (["HS512"], 63, 64),
        (["HS256", "HS512"], 40, 64),
    ],
)
def test_a_short_secret_is_refused_with_what_to_do(
    algorithms: list[str] | None, length: int, least: int
) -> None:
    table = issuer(secret_env="S", **({} if algorithms is None else {"algorithms": algorithms}))
    short = "k" * length
    with pytest.raises(ConfigError) as caught:
        table.secret({"S": short})
    said = caught.value.message
    assert f"the environment variable S holds {length} bytes" in said
    assert f"needs at least {least}: make one with `openssl rand -base64 {least}`" in said
    assert short not in said
    assert table.secret({"S": "k" * least}) == b"k" * least


@pytest.mark.parametrize(
    "held",
    [
        "-----BEGIN PUBLIC KEY-----\n" + "a" * 64,
        "-----BEGIN RSA PRIVATE KEY-----\n" + "a" * 64,
        json.dumps({"kty": "RSA", "n": "a" * 64}),
        "ssh-ed25519 " + "a" * 64,
    ],
)
def test_a_key_that_everybody_knows_is_no_secret(held: str) -> None:
    with pytest.raises(ConfigError, match="use public_key_file or jwks"):
        issuer(secret_env="S").secret({"S": held})


def test_the_previous_secret_holds_until_its_date() -> None:
    table = issuer(secret_env="S", previous_secret_env="OLD", previous_until="1970-01-01T00:01:00Z")
    assert table.previous_secret({"OLD": "o" * 32}) == (b"o" * 32, 60.0)
    with pytest.raises(ConfigError, match="environment variable OLD holds 3 bytes"):
        table.previous_secret({"OLD": "abc"})
    with pytest.raises(ConfigError, match="set the environment variable OLD"):
        table.previous_secret({})


OIDC = {"issuer": "https://id.example.org/realms/a", "client_id": "hub"}


def oidc(**keys: Any) -> OIDCTable:
    return Auth.model_validate({"oidc": {**OIDC, **keys}}).oidc


def test_a_provider_makes_authentication() -> None:
    assert Auth.model_validate({"oidc": OIDC}).enabled
    assert not Auth.model_validate({"oidc": {"user_claim": "email"}}).enabled


def test_a_provider_is_read() -> None:
    table = oidc(
        scopes=["openid", "groups", "api://hub/x"],
        allowed=["claim groups=staff", "email *@example.org"],
        user_claim="email",
        tenant="acme",
        sign_out_at_provider=True,
    )
    assert table.secret({}) is None
    assert table.enabled
    for local in ("http://127.0.0.1:8080/realms/a", "http://localhost", "https://a.example/"):
        assert oidc(issuer=local).issuer == local


@pytest.mark.parametrize(
    ("keys", "place", "said"),
    [
        ({"issuer": "http://id.example.org"}, "oidc.issuer", "https://"),
        ({"issuer": "https://a.example/?x=1"}, "oidc.issuer", "must not contain"),
        ({"client_id": None}, "oidc.client_id", "give both issuer and client_id"),
        ({"issuer": None}, "oidc.issuer", "give both issuer and client_id"),
        ({"client_secret": SECRET}, "oidc.client_secret", "Extra inputs"),
        ({"client_secret_env": SECRET}, "oidc.client_secret_env", "must be the name of"),
        (
            {"client_secret_env": "A", "client_secret_file": "b"},
            "oidc.client_secret_file",
            "not both",
        ),
        ({"scopes": ["email"]}, "oidc.scopes", 'must contain "openid"'),
        ({"scopes": ["openid email"]}, "oidc.scopes.0", "match pattern"),
        ({"allowed": ["groups=staff"]}, "oidc.allowed.0", 'should be "claim NAME=VALUE"'),
        ({"allowed": "email *@example.org"}, "oidc.allowed", "valid list"),
        ({"user_claim": ""}, "oidc.user_claim", "one line"),
    ],
)
def test_mistakes_about_a_provider(keys: dict[str, Any], place: str, said: str) -> None:
    found = mistakes(oidc={**OIDC, **keys})
    assert [*found] == [place]
    assert said in found[place]


def test_the_secret_at_the_provider(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" a: b/ü \n")
    file.chmod(0o600)
    assert oidc(client_secret_env="OIDC").secret({"OIDC": " a: b/ü "}) == "a: b/ü"
    assert oidc(client_secret_file=str(file)).secret({}) == "a: b/ü"


@pytest.mark.parametrize("held", [None, "", " ", f"{SECRET}\n{SECRET}", f"{SECRET}\x00"])
def test_a_secret_that_cannot_be_one(tmp_path: Path, held: str | None) -> None:
    file = tmp_path / "secret"
    if held is not None:
        file.write_text(held)
    environ = {} if held is None else {"OIDC": held}
    for table, where in (
        (oidc(client_secret_env="OIDC"), "OIDC"),
        (oidc(client_secret_file=str(file)), str(file)),
    ):
        with pytest.raises(ConfigError, match=r"client secret of auth\.oidc") as caught:
            table.secret(environ)
        assert where in str(caught.value)
        assert SECRET not in str(caught.value)


def test_a_secret_that_everybody_can_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text("hush")
    file.chmod(0o644)
    assert oidc(client_secret_file=str(file)).secret({}) == "hush"
    assert "chmod 600" in caplog.text
    assert "hush" not in caplog.text
