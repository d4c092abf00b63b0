"""Who may do what: by name, by ownership, within a credential, and up to which length."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.permissions import Permissions
from hub.domain.counters import Counters
from hub.domain.errors import Forbidden, HubError, StreamNotFound, Unauthorized
from hub.domain.generation_request import GenerationRequest
from hub.domain.grant_rules import Identity, filled
from hub.domain.permissions import PERMISSIONS, Grant, Permission, StreamPattern
from hub.domain.principal import LOCAL, NOBODY, Principal, SharedStream
from hub.domain.stream_names import list_of
from hub.stores.memory import MemoryStore
from hub.streams.registry import StreamLimits, Streams
from hub.streams.stream import Retention

PERMISSIONS_OF = Permissions()


def grant(can: str, match: str = "**", **limits: Any) -> Grant:
    named = {key: frozenset(held.split()) for key, held in limits.items() if isinstance(held, str)}
    return Grant(
        frozenset(one for one in PERMISSIONS if one in can.split()),
        StreamPattern.parse(match),
        **{**limits, **named},
    )


def user(*grants: Grant, within: tuple[Grant, ...] | None = None) -> Principal:
    return Principal("ann", grants=grants, within=within, credential="app:1")


def refused(by: Principal, *what: Any) -> HubError:
    with pytest.raises((Unauthorized, StreamNotFound, Forbidden)) as caught:
        PERMISSIONS_OF.check(by, *what)
    assert isinstance(caught.value, HubError)
    return caught.value


def test_local_is_refused_nothing() -> None:
    for permission in get_args(Permission):
        PERMISSIONS_OF.check(LOCAL, permission)
        PERMISSIONS_OF.check(LOCAL, permission, "any/stream", "somebody")


@pytest.mark.parametrize("permission", get_args(Permission))
def test_who_shows_no_credential_is_asked_for_one(permission: Permission) -> None:
    for where in (None, "chat/1"):
        error = refused(NOBODY, permission, where, "bob")
        assert isinstance(error, Unauthorized)
        assert error.code == "unauthorized"


def test_anybody_may_have_grants_without_a_credential() -> None:
    guest = Principal(grants=(grant("read", "public/*"),))
    PERMISSIONS_OF.check(guest, "read", "public/1")
    assert isinstance(refused(guest, "append", "public/1"), Unauthorized)
    assert isinstance(refused(guest, "read", "chat/1"), Unauthorized)


def test_a_list_of_conversations_is_for_its_subject_alone() -> None:
    """Also under grants that match everything: names may be all that protects conversations."""
    own, others = list_of("ann"), list_of("bob")
    for ann in (user(grant("read append", "chat/{user}/*")), user(grant(" ".join(PERMISSIONS)))):
        assert PERMISSIONS_OF.conversations(ann) == own
        for permission in get_args(Permission):
            assert isinstance(refused(ann, permission, others), StreamNotFound)
            assert isinstance(refused(ann, permission, others, "ann"), StreamNotFound)
            if permission in ("read", "append"):
                PERMISSIONS_OF.check(ann, permission, own)
            else:
                assert isinstance(refused(ann, permission, own, "ann"), Forbidden)
    tenant = Principal("ann", "acme", grants=(grant("read append"),))
    assert PERMISSIONS_OF.conversations(tenant) not in (None, own)


def test_a_list_of_conversations_allows_no_more_than_elsewhere() -> None:
    own, all_of_it = list_of("ann"), grant(" ".join(PERMISSIONS))
    reader = user(grant("read"))
    narrowed = user(all_of_it, within=(grant("read append", "chat/ann/*"),))
    link = Principal("ann", grants=(all_of_it,), shared=SharedStream(own, 1))
    ticket = user(all_of_it).only_reading("chat/ann/1")
    for by in (
        reader,
        narrowed,
        link,
        ticket,
        Principal(grants=(all_of_it,), credential="x"),
        LOCAL,
    ):
        assert PERMISSIONS_OF.conversations(by) is None
    for by in (reader, narrowed, link, ticket):
        assert not PERMISSIONS_OF.allows(by, "append", own)
    PERMISSIONS_OF.check(LOCAL, "read", own)
    PERMISSIONS_OF.check(LOCAL, "delete", own)


def test_what_somebody_may_not_read_does_not_exist_for_them() -> None:
    ann = user(grant("read append", "chat/ann/*"), grant("append", "inbox"))
    for permission in ("read", "append", "delete", "fork", "cancel", "share"):
        assert isinstance(refused(ann, permission, "chat/bob/1"), StreamNotFound)
    PERMISSIONS_OF.check(ann, "append", "inbox")
    assert isinstance(refused(ann, "read", "inbox"), StreamNotFound)
    assert isinstance(refused(ann, "delete", "inbox"), StreamNotFound)


def test_what_somebody_may_only_read_is_forbidden() -> None:
    error = refused(user(grant("read")), "append", "chat/1")
    assert isinstance(error, Forbidden)
    assert error.code == "not_permitted"
    assert error.message == 'your credential does not allow "append" on this stream'


def test_what_concerns_the_hub_is_forbidden() -> None:
    error = refused(user(grant("read")), "admin")
    assert isinstance(error, Forbidden)
    assert error.message == 'your credential does not allow "admin"'


async def test_a_stream_that_is_hidden_looks_like_one_that_is_not_there() -> None:
    streams = Streams(
        MemoryStore(),
        retention=Retention(),
        limits=StreamLimits(streams=1),
        slice_size=1,
        counts=Counters(),
    )
    with pytest.raises(StreamNotFound) as caught:
        await streams.open("chat/bob")
    assert str(refused(user(), "read", "chat/bob")) == str(caught.value)


# Ownership


def test_an_owner_may_do_to_its_streams_what_it_may_do_anywhere() -> None:
    ann = user(grant("read generate cancel", "chat/ann/**"))
    for permission in ("read", "generate", "cancel"):
        PERMISSIONS_OF.check(ann, permission, "gen_1", "ann")
        assert isinstance(refused(ann, permission, "gen_1", "bob"), StreamNotFound)
        assert isinstance(refused(ann, permission, "gen_1", None), StreamNotFound)
    assert isinstance(refused(ann, "delete", "gen_1", "ann"), Forbidden)


def test_nobody_owns_what_has_no_owner() -> None:
    guest = Principal(grants=(grant("read", "public/*"),))
    assert guest.subject is None
    assert not PERMISSIONS_OF.allows(guest, "read", "chat/1", None)


def test_a_tenant_of_the_same_name_is_no_owner() -> None:
    ann = Principal("ann", "acme", grants=(grant("read", "x"),), credential="app:1")
    assert PERMISSIONS_OF.allows(ann, "read", "gen_1", "acme/ann")
    assert not PERMISSIONS_OF.allows(ann, "read", "gen_1", "ann")


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("owner", ["ann", "acme/ann", "evil/ann", "acme/bob", "bob", "key:k1"])
def test_the_folder_of_a_name_is_not_that_of_another_tenant(tenant: str | None, owner: str) -> None:
    rule = grant("read append generate delete", "chat/{user}/**")
    mine = filled([rule], Identity(user="ann", tenant=tenant))
    ann = Principal("ann", tenant, grants=mine, credential="app:1")
    same = owner.startswith("acme/") == (tenant == "acme") and not owner.startswith("evil/")
    for permission in ("read", "append", "delete", "generate"):
        assert PERMISSIONS_OF.allows(ann, permission, "chat/ann/1", owner) is same
        assert PERMISSIONS_OF.allows(ann, permission, "chat/ann/1", None)
    asked = ask("chat/ann/1")
    if same:
        assert PERMISSIONS_OF.generation(ann, asked, "mini", "gpt", owner) == asked
    else:
        with pytest.raises(StreamNotFound):
            PERMISSIONS_OF.generation(ann, asked, "mini", "gpt", owner)


def test_a_folder_that_names_the_tenant_is_for_all_of_it_who_may() -> None:
    rules = [grant("read", "{tenant}/{user}/*"), grant("read", "all/**")]
    mine = filled(rules, Identity(user="ann", tenant="acme"))
    ann = Principal("ann", "acme", grants=mine, credential="app:1")
    assert PERMISSIONS_OF.allows(ann, "read", "acme/ann/1", "evil/bob")
    assert PERMISSIONS_OF.allows(ann, "read", "all/1", "evil/bob")


def test_a_narrowed_credential_reaches_no_other_stream_of_its_owner() -> None:
    ann = user(grant("read append"), within=(grant("read", "chat/7"),))
    PERMISSIONS_OF.check(ann, "read", "chat/7", "ann")
    assert isinstance(refused(ann, "read", "chat/8", "ann"), StreamNotFound)
    assert isinstance(refused(ann, "append", "chat/7", "ann"), Forbidden)


# Generations


def ask(stream: str | None = None, /, **options: Any) -> GenerationRequest:
    return GenerationRequest("hi", stream=stream, options=options)


def bounded(by: Principal, asked: GenerationRequest, model: str | None = "gpt") -> dict[str, Any]:
    return dict(PERMISSIONS_OF.generation(by, asked, "mini", model).options)


def not_allowed(
    by: Principal,
    asked: GenerationRequest,
    *,
    owner: str | None = None,
    upstream: str = "mini",
    model: str | None = "gpt",
) -> tuple[str, str | None]:
    with pytest.raises(Forbidden) as caught:
        PERMISSIONS_OF.generation(by, asked, upstream, model, owner)
    return caught.value.code, caught.value.param


LIMITED = user(grant("generate", max_tokens=100))


def test_without_a_limit_a_request_is_as_it_was() -> None:
    for by in (LOCAL, user(grant("generate")), user(grant("generate", models="gpt"))):
        asked = ask("chat/1", max_completion_tokens=10**9, n=2)
        assert PERMISSIONS_OF.generation(by, asked, "mini", "gpt") is asked


def test_a_generation_must_be_allowed_at_all() -> None:
    with pytest.raises(StreamNotFound):
        PERMISSIONS_OF.generation(user(grant("generate", "a")), ask("b"), "mini", "gpt")
    with pytest.raises(Unauthorized):
        PERMISSIONS_OF.generation(NOBODY, ask(), "mini", "gpt")


LENGTHS = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict",
    "n_predict",
)  # fmt: skip


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("length", [101, 10**9, 0, -1, -2, 1.5, 50.0, True, "50", "x", [50], {}])
def test_no_name_of_the_length_gets_around_the_limit(name: str, length: Any) -> None:
    assert not_allowed(LIMITED, ask(**{name: length})) == ("max_tokens_not_permitted", name)
    if name != "max_tokens":
        for smaller in (None, 50):
            asked = ask(max_tokens=smaller, **{name: length})
            assert not_allowed(LIMITED, asked) == ("max_tokens_not_permitted", name)
    if name != "max_completion_tokens":
        asked = ask(**{name: length}, max_completion_tokens=50)
        assert not_allowed(LIMITED, asked) == ("max_tokens_not_permitted", name)


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_within_the_limit_is_kept(name: str) -> None:
    assert bounded(LIMITED, ask(**{name: 100, "seed": 1})) == {"max_tokens": 100, "seed": 1}
    assert bounded(LIMITED, ask(**{name: 1})) == {"max_tokens": 1}
    assert bounded(LIMITED, ask(**{name: None})) == {"max_tokens": 100}


def test_the_smallest_length_counts_and_none_is_the_limit() -> None:
    assert bounded(LIMITED, ask()) == {"max_tokens": 100}
    assert bounded(LIMITED, ask(max_tokens=None, max_completion_tokens=None)) == {"max_tokens": 100}
    assert bounded(LIMITED, ask(max_tokens=60, max_completion_tokens=50)) == {"max_tokens": 50}


@pytest.mark.parametrize("name", ["n", "best_of", "num_return_sequences", "candidate_count"])
def test_one_answer_at_a_time(name: str) -> None:
    for several in (2, 0, -1, True, "2", 1.0):
        asked = ask(**{name: several})
        assert not_allowed(LIMITED, asked) == ("max_tokens_not_permitted", name)
    assert bounded(LIMITED, ask(**{name: 1})) == {"max_tokens": 100, name: 1}
    assert bounded(LIMITED, ask(**{name: None})) == {"max_tokens": 100, name: None}


TABLES = ("extra_body", "options", "generation_config", "generationConfig", "parameters")


@pytest.mark.parametrize("name", TABLES)
def test_no_option_hides_in_a_table(name: str) -> None:
    hidden = ask(**{name: {"max_tokens": 10**6, "model": "large"}})
    assert not_allowed(LIMITED, hidden) == ("max_tokens_not_permitted", name)
    models = user(grant("generate", models="gpt"))
    assert not_allowed(models, hidden) == ("model_not_permitted", name)


@pytest.mark.parametrize("name", ["model", "models", "fallbacks"])
def test_no_other_model_comes_in_by_an_option(name: str) -> None:
    by = user(grant("generate", models="gpt"))
    assert not_allowed(by, ask(**{name: "large"})) == ("model_not_permitted", name)
    assert PERMISSIONS_OF.generation(by, ask(), "mini", "gpt") == ask()


UNDOING: list[dict[str, Any]] = [
    {"N": 9}, {"Max_Completion_Tokens": 9}, {"Models": ["large"]}, {"Extra_Body": {}},
    {"max_tokens_to_sample": 9}, {"maxOutputTokens": 9}, {"engine": "large"}, {"api_base": "http://x"},
    {"extra_headers": {}}, {"provider": {}}, {"plugins": []}, {"route": "fallback"},
    {"web_search_options": {}}, {"service_tier": "priority"}, {"store": True},
    {"modalities": ["text", "image"]}, {"previous_response_id": "resp_1"},
    {"tools": [{"type": "image_generation", "model": "large"}]}, {"tools": [{"google_search": {}}]},
    {"tools": {"type": "function"}}, {"tools": [{"name": "f", "googleSearch": {}}]},
    {"tools": [{"type": "function", "function": {"name": "f"}, "googleSearch": {}}]},
    {"tools": [{"type": "custom", "name": "f", "model": "large"}]},
    {"reasoning": {"max_tokens": 101}}, {"reasoning": True},
    {"thinking": {"type": "enabled", "budget_tokens": 10**6}}, {"thinking": {"model": "large"}},
]  # fmt: skip

KEEPING: list[dict[str, Any]] = [
    {"temperature": 0.5, "stop": ["x"]}, {"service_tier": "auto", "store": False},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
    {"tools": [{"name": "f", "input_schema": {}}]}, {"thinking": {"budget_tokens": 100}},
    {"reasoning": {"effort": "low", "summary": "auto"}}, {"unknown": None},
]  # fmt: skip


@pytest.mark.parametrize("options", UNDOING, ids=str)
def test_an_option_that_is_not_known_may_undo_a_limit(options: dict[str, Any]) -> None:
    (name,) = options
    assert not_allowed(LIMITED, ask(**options)) == ("option_not_permitted", name)
    anything = user(grant("generate"))
    assert PERMISSIONS_OF.generation(anything, ask(**options), "mini", "gpt").options == options
    if name not in ("reasoning", "thinking"):
        models = user(grant("generate", models="gpt"))
        assert not_allowed(models, ask(**options)) == ("option_not_permitted", name)


@pytest.mark.parametrize("options", KEEPING, ids=str)
def test_options_that_undo_no_limit_are_passed_on(options: dict[str, Any]) -> None:
    assert bounded(LIMITED, ask(**options)) == {**options, "max_tokens": 100}


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.dictionaries(st.sampled_from([*LENGTHS, "n", "best_of", "seed"]), JSON))
def test_whatever_is_asked_the_answer_is_bounded(options: dict[str, Any]) -> None:
    try:
        found = bounded(LIMITED, ask(**options))
    except Forbidden:
        return
    assert 1 <= found["max_tokens"] <= 100
    assert set(found) & set(LENGTHS) == {"max_tokens"}
    assert found.get("n") in (None, 1)


def test_the_most_generous_grant_for_a_model_counts() -> None:
    by = user(
        grant("generate", max_tokens=10),
        grant("generate", models="gpt", max_tokens=50),
        grant("generate", models="large", max_tokens=90),
        grant("read"),
    )
    assert bounded(by, ask()) == {"max_tokens": 50}
    assert bounded(by, ask(), "large") == {"max_tokens": 90}
    assert bounded(by, ask(), "tiny") == {"max_tokens": 10}
    assert bounded(by, ask(), None) == {"max_tokens": 10}
    assert bounded(user(*by.grants, grant("generate", upstreams="mini")), ask()) == {}


def test_a_model_must_be_in_a_grant_for_the_stream() -> None:
    by = user(
        grant("generate read", "chat/*", models="gpt"),
        grant("generate", "lab/*", models="large", upstreams="mini big"),
    )
    assert not_allowed(by, ask("chat/1"), model="large") == ("model_not_permitted", "model")
    assert not_allowed(by, ask("lab/1"), model="gpt") == ("model_not_permitted", "model")
    assert not_allowed(by, ask("lab/1"), model="large", upstream="huge")[0] == "model_not_permitted"
    assert bounded(by, ask("lab/1"), "large") == {}
    # On a stream of its own, it may have any model that it may have somewhere.
    assert bounded(by, ask(), "large") == {}
    PERMISSIONS_OF.generation(by, ask("chat/1"), "mini", "large", "ann")
    assert not_allowed(by, ask("chat/1"), model="large", owner="bob")[0] == "model_not_permitted"


def test_somebody_without_a_name_owns_no_stream_that_has_no_owner() -> None:
    """Else the grants for all streams would hold for each."""
    guest = Principal(
        grants=(grant("generate", "public/*", models="gpt"), grant("generate", "lab/*"))
    )
    assert not_allowed(guest, ask("public/1"), model="large")[0] == "model_not_permitted"


def test_a_credential_narrows_models_and_lengths() -> None:
    by = user(
        grant("generate", max_tokens=100), within=(grant("generate", models="gpt", max_tokens=20),)
    )
    assert bounded(by, ask("chat/1")) == {"max_tokens": 20}
    assert not_allowed(by, ask("chat/1"), model="large")[0] == "model_not_permitted"
    wider = user(*by.grants, within=(grant("generate", max_tokens=500),))
    assert bounded(wider, ask()) == {"max_tokens": 100}


def test_a_credential_for_one_stream_begins_no_other() -> None:
    by = user(grant("generate read"), within=(grant("generate read", "chat/7"),))
    assert bounded(by, ask("chat/7")) == {}
    with pytest.raises(Forbidden):
        PERMISSIONS_OF.generation(by, ask(), "mini", "gpt")
    with pytest.raises(StreamNotFound):
        PERMISSIONS_OF.generation(by, ask("chat/8"), "mini", "gpt", "ann")


def test_what_is_changed_leaves_the_rest_of_a_request() -> None:
    asked = GenerationRequest(
        messages=({"role": "user", "content": "hi"},), stream="chat/1", key="k", model="gpt"
    )
    found = PERMISSIONS_OF.generation(LIMITED, asked, "mini", "gpt")
    assert found.fingerprint() != asked.fingerprint()
    assert (found.messages, found.stream, found.key) == (asked.messages, "chat/1", "k")
    assert dict(asked.options) == {}
