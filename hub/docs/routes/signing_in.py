"""Routes by which people sign in to the hub's page."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import TEXT, ref
from hub.docs.operations import JSON, Operation, Response, group, path, query

__all__ = ["GROUP"]

_HTML: Final = {"text/html": TEXT}
_SECRET: Final = path("secret", "The last segment of the link.")
_NEXT: Final = query("next", "The path to go to then; by default the hub's page.")
_LINK_ERRORS: Final = "login_link_invalid rate_limit_exceeded"

GROUP: Final = group(
    "Signing in",
    "People sign in to the hub's page, and have a session in a cookie. It counts only in requests "
    "of the hub's own pages. Programs use keys and tokens.",
    Operation(
        "GET",
        "/v1/me",
        "Who one is",
        "This needs no credential, and says how to sign in. A session that has ended counts as "
        "none; another credential that does not hold is refused.",
        responses=(Response(200, "Whoever makes the request.", {JSON: ref("Me")}),),
        errors="invalid_credential invalid_api_key invalid_token token_expired "
        "rate_limit_exceeded key_set_unavailable",
        public=True,
    ),
    Operation(
        "POST",
        "/v1/logout",
        "Sign out",
        "Ends the session in the cookie, and its connections. Who accepts `text/html`, as a form "
        "does, is sent to the sign-in page.",
        responses=(
            Response(
                200,
                "No session is left; `url` is where to sign out at the identity provider.",
                {JSON: ref("SignedOut")},
            ),
            Response(204, "No session is left."),
            Response(303, "No session is left.", headers={"Location": "The sign-in page."}),
        ),
        errors="store_failed store_full",
        public=True,
    ),
    Operation(
        "GET",
        "/login",
        "The sign-in page",
        parameters=(_NEXT,),
        responses=(Response(200, "The ways to sign in.", _HTML),),
        errors="rate_limit_exceeded",
        error_format="page",
        public=True,
    ),
    Operation(
        "GET",
        "/login/oidc",
        "Sign in with the identity provider",
        "If `auth.oidc` is configured.",
        parameters=(_NEXT,),
        responses=(
            Response(
                303,
                "The provider is asked.",
                headers={"Location": "The provider.", "Set-Cookie": "What the browser has begun."},
            ),
        ),
        errors="not_found https_required rate_limit_exceeded oidc_unavailable",
        error_format="page",
        public=True,
    ),
    Operation(
        "GET",
        "/login/oidc/callback",
        "Come back from the identity provider",
        "Its parameters are those of OpenID Connect. Only the browser that has begun to sign in "
        "can do this, once.",
        parameters=tuple(
            query(name, said)
            for name, said in (
                ("state", "What the provider was given."),
                ("code", "What the hub exchanges for the user's claims."),
                ("iss", "The provider (RFC 9207)."),
                ("error", "Why the provider refuses."),
                ("error_description", "The same in words."),
            )
        ),
        responses=(
            Response(
                303,
                "A session has begun.",
                headers={"Location": "The page.", "Set-Cookie": "The session."},
            ),
        ),
        errors="not_found login_expired login_cancelled login_refused login_not_allowed "
        "email_not_verified https_required limit_exceeded rate_limit_exceeded oidc_unavailable "
        "oidc_client_refused key_set_unavailable store_failed store_full",
        error_format="page",
        public=True,
    ),
    Operation(
        "GET",
        "/login/oidc/logout",
        "Sign out at the identity provider",
        "This ends no session of the hub.",
        responses=(
            Response(200, "A page that leads to the provider.", _HTML),
            Response(303, "The provider offers no such thing.", headers={"Location": "A page."}),
        ),
        errors="not_found rate_limit_exceeded",
        error_format="page",
        public=True,
    ),
    Operation(
        "GET",
        "/login/{secret}",
        "The page of a sign-in link",
        "This does not use the link up.",
        parameters=(_SECRET,),
        responses=(Response(200, "A page with a button.", _HTML),),
        errors=_LINK_ERRORS,
        error_format="page",
        public=True,
    ),
    Operation(
        "POST",
        "/login/{secret}",
        "Sign in with a link",
        "Only the hub's own page can do this. A link works once.",
        parameters=(_SECRET,),
        responses=(
            Response(
                303,
                "A session has begun.",
                headers={"Location": "The page.", "Set-Cookie": "The session."},
            ),
        ),
        errors=f"{_LINK_ERRORS} https_required store_failed store_full",
        error_format="page",
        public=True,
    ),
)
