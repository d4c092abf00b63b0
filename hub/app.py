"""Builds a hub from a configuration, in an aiohttp application: the one place of wiring.

`make_app` returns an application of its own, `setup` adds the hub to an existing one, and
`hub.server.serve` runs one as a process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import aiohttp_cors
from aiohttp import HttpVersion11, web

from hub import dialects
from hub.auth.cookies import SessionCookie, keep_private
from hub.auth.gate import Authorize, Authorizer, Gate, free
from hub.auth.sign_in import SignIn
from hub.backends import SharedStore
from hub.config.schema import Config, UpstreamTable
from hub.connections.connection import Pace
from hub.docs.endpoint import Documents
from hub.generations.queue_changes import QueueLimits
from hub.generations.runs import RunLimits
from hub.http.admission import PRINCIPAL, Admission
from hub.http.bodies import Bodies, leave_packed, release
from hub.http.errors import answer_to, unmatched
from hub.http.forwarded import TrustedProxies
from hub.http.hosts import Hosts
from hub.http.origins import Origins
from hub.http.request_ids import begin, named, show
from hub.http.response import WHOLE_BYTES, deliver_whole
from hub.hub import Hub, HubLimits
from hub.protocols.agui.endpoint import TanStack
from hub.protocols.aisdk.endpoint import AISDK
from hub.protocols.conversation.one_request import Replies
from hub.protocols.conversation.plain_errors import sentence, sentence_in_json
from hub.protocols.conversation.view_reading import ViewPace
from hub.protocols.durable.endpoint import Durable
from hub.protocols.follow import Follow
from hub.protocols.generations import Generations
from hub.protocols.live import Live
from hub.protocols.openai.chat import OpenAI
from hub.protocols.openai.error_responses import lacking, openai_answer_to
from hub.protocols.openai.models import Models
from hub.protocols.openai.responses import OpenAIResponses
from hub.protocols.shares import Shares
from hub.protocols.standing import let_go
from hub.protocols.streams_list import Listing
from hub.protocols.tutorial import Tutorial
from hub.protocols.websocket.endpoint import WebSockets
from hub.shutdown import Shutdown
from hub.site.login import Login
from hub.site.login_pages import page_answer_to
from hub.site.oidc_login import OIDCLogin
from hub.site.operations import Operations
from hub.site.page import Page
from hub.site.share_page import SharePage
from hub.stores import Store
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.streams.registry import StreamLimits
from hub.streams.stream import Retention
from hub.upstreams.http_client import Dialer
from hub.upstreams.upstream import Upstream

if TYPE_CHECKING:
    from hub.auth.webhook import Webhook

__all__ = ["FAREWELL", "HUB", "make_app", "setup", "trusted_proxies"]

log = logging.getLogger("hub")

HUB = web.AppKey("streamhub", Hub)
"""The key of the hub in its application."""

FAREWELL = web.AppKey("streamhub_farewell", Shutdown)
"""The key of the shutdown, which can be started before the application ends."""

EXPOSED = (
    "ETag",
    "Location",
    "Producer-Epoch",
    "Producer-Expected-Seq",
    "Producer-Received-Seq",
    "Producer-Seq",
    "Retry-After",
    "Stream-Closed",
    "Stream-Cursor",
    "Stream-Expires-At",
    "Stream-Next-Offset",
    "Stream-SSE-Data-Encoding",
    "Stream-TTL",
    "Stream-Up-To-Date",
    "Streamhub-Generation",
    "Streamhub-Stream",
    "x-request-id",
)
"""Response headers that pages from other allowed origins may read."""


def make_app(
    config: Config | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    store: SharedStore | None = None,
) -> web.Application:
    """An application with nothing but a hub, over the store of the configuration or another one.

    Raises:
        ConfigError: an upstream cannot be used as configured.
    """
    config = config or Config()
    app = web.Application(
        client_max_size=config.limits.body_bytes, middlewares=[named, lacking, unmatched]
    )
    _add(app, "", config, environ, None, store)
    return app


def setup(
    app: web.Application,
    *,
    prefix: str = "",
    config: Config | None = None,
    environ: Mapping[str, str] = os.environ,
    authorize: Authorize | None = None,
) -> Hub:
    """Add a hub to an application, with its routes under ``prefix`` (such as ``"/hub"``).

    The hub starts and stops with the application, where it is ``app[HUB]``. Request bodies are
    bounded by the application's ``client_max_size``.

    Without ``authorize`` and ``[auth]`` everybody may do everything; a warning says so, unless
    ``auth.open`` is set.

    ``authorize`` finds the principal of each request, in place of the credentials that the
    configuration knows; it raises `hub.domain.errors.Unauthorized` to refuse one. If it is an
    instance of `hub.auth.gate.Authorizer`, it is also asked about subscriptions, generations, and
    connections that go on.

    Raises:
        ConfigError: an upstream cannot be used as configured.
    """
    config = config or Config()
    if authorize is None and not config.auth.enabled and not config.auth.open:
        log.warning(
            "whoever reaches the routes of the hub may do everything: pass authorize= to "
            "hub.setup, say in [auth] who may, or set auth.open = true if your application decides"
        )
    return _add(app, prefix.rstrip("/"), config, environ, authorize)


def _add(
    app: web.Application,
    prefix: str,
    config: Config,
    environ: Mapping[str, str],
    authorize: Authorize | None,
    store: SharedStore | None = None,
) -> Hub:
    """Add a hub to an application; see `setup`."""
    dialer = Dialer()
    webhook = _webhook(config, environ) if authorize is None else None
    hub = Hub(
        store or _store(config, environ),
        _upstreams(config, dialer, environ),
        config.default_upstream,
        _limits(config, of_each=bool(config.auth.enabled or authorize)),
        hooks=authorize if isinstance(authorize, Authorizer) else webhook,
    )
    app[HUB] = hub
    gate, sign_in, close_gate = _gate(hub, config, environ, authorize, webhook, prefix)
    if hub.shared_limits is not None and gate is not None and gate.windows is not None:
        hub.shared_limits.share_requests(gate.windows)
    sockets = _route(app, hub, config, prefix, gate, sign_in)
    farewell = Shutdown(hub, sockets, drain_seconds=config.server.drain_seconds)
    app[FAREWELL] = farewell

    async def running(_: web.Application) -> AsyncIterator[None]:
        await hub.start()
        yield
        await hub.close()
        await dialer.close()
        await close_gate()

    async def leave(_: web.Application) -> None:
        """Drain before the connections are closed; does nothing if that was done earlier."""
        await farewell.drain()
        await farewell.say()

    app.on_response_prepare.append(show)
    app.cleanup_ctx.append(running)
    app.on_shutdown.append(leave)
    return hub


def trusted_proxies(config: Config) -> TrustedProxies:
    """What the configuration says about proxies in front of the hub."""
    server = config.server
    return TrustedProxies(server.trusted_proxies, headers=server.proxy_headers)


def _webhook(config: Config, environ: Mapping[str, str]) -> Webhook | None:
    """What is asked about principals, if the configuration says so.

    Raises:
        ConfigError: its secret is not there, or is none.
    """
    if config.auth.webhook is None:
        return None
    from hub.auth_from_config import webhook_of

    return webhook_of(config.auth, environ)


def _gate(
    hub: Hub,
    config: Config,
    environ: Mapping[str, str],
    authorize: Authorize | None,
    webhook: Webhook | None,
    prefix: str,
) -> tuple[Gate | None, SignIn | None, Callable[[], Awaitable[None]]]:
    """What finds the principals of requests, what lets people sign in, and what to call when these
    are needed no more.

    Raises:
        ConfigError: the secret of an issuer cannot be read, or is none.
    """

    async def nothing() -> None:
        pass

    auth = config.auth
    most = auth.limits.requests_per_minute
    if authorize is not None:
        return Gate(authorize=authorize, requests_per_minute=most), None, nothing
    if not auth.enabled:
        return None, None, nothing
    # Only here: cryptography takes its time and its memory, and most hubs have no use for it.
    from hub.auth_from_config import authentication_of

    found = authentication_of(
        auth,
        hub.credentials,
        environ,
        hub.revoke,
        hub.is_revoked,
        webhook=webhook,
        prefix=prefix,
    )
    hub.was_revoked = found.was_revoked
    gate = Gate(
        credentials=found.authenticator,
        header=found.header,
        cookie=found.sign_in.cookie,
        requests_per_minute=most,
        token_seconds=auth.token_seconds,
    )
    return gate, found.sign_in, found.close


def _route(
    app: web.Application,
    hub: Hub,
    config: Config,
    prefix: str,
    gate: Gate | None,
    sign_in: SignIn | None,
) -> WebSockets:
    fanout, limits, server = config.fanout, config.limits, config.server
    origins = Origins(server.origins)
    bodies = Bodies(hub.allowance, seconds=limits.body_seconds)
    authenticate = None if gate is None else gate.principal
    admission = Admission(
        trusted_proxies(config),
        Hosts(server.hosts),
        origins,
        bodies,
        authenticate,
        None if gate is None else gate.charge,
    )
    pace = Pace(
        catch_up_bytes=fanout.catch_up_bytes,
        beat_seconds=server.beat_seconds,
        slow_client_timeout=fanout.slow_client_timeout,
        subscriptions=limits.subscriptions,
        write_buffer_bytes=fanout.write_buffer_bytes,
    )
    sockets = WebSockets(
        hub,
        gate,
        pace=replace(pace, beat_seconds=server.ws_beat_seconds),
        frame_bytes=limits.frame_bytes,
        frame_seconds=limits.body_seconds,
        origins=origins,
    )
    tutorial = Tutorial(
        hub,
        config.tutorial,
        origins,
        beat_seconds=server.beat_seconds,
        grace_seconds=server.grace_seconds,
        patience=config.fanout.slow_client_timeout,
    )
    app.cleanup_ctx.append(tutorial.sample_file)
    durable = Durable(
        hub,
        pace=pace,
        long_poll_seconds=config.streams.long_poll_seconds,
        sse_rotate_seconds=config.streams.sse_rotate_seconds,
    )
    tab = gate.tab if gate else lambda _: free
    plain = [
        *Live(hub, pace=pace).routes(),
        *Follow(hub, tab, pace=pace, rotate_seconds=config.streams.sse_rotate_seconds).routes(),
        *durable.routes(),
        *Generations(hub).routes(),
        *Listing(hub, allowed=server.list_streams).routes(),
        *Shares(hub, gate).routes(),
        *Operations(hub).routes(),
    ]
    login = Login(gate, sign_in, hub.permissions)
    oidc = OIDCLogin(gate, sign_in, login, prefix=prefix, public_url=config.auth.public_url)
    built = Page(_web_folder(), frame_ancestors=server.frame_ancestors)
    page = [*built.routes(), *SharePage(hub, gate, built).routes()]
    shown = [*tutorial.routes(), *Documents().routes()]
    replies = Replies(
        hub, pace=pace, on_disconnect=server.on_disconnect, grace_seconds=server.grace_seconds
    )
    openai = [
        *OpenAI(hub, replies).routes(),
        *OpenAIResponses(hub, replies, tab).routes(),
        *Models(hub).routes(),
    ]
    view = ViewPace(pace, config.streams.long_poll_seconds, config.streams.sse_rotate_seconds)
    # Not aiohttp_cors.setup: the application may have CORS rules of its own. Without other allowed
    # origins there is nothing to send, which aiohttp_cors would find out for every response.
    allow = _shared(app, config) if server.origins else _unshared
    cookie = None if sign_in is None else sign_in.cookie
    routing = _Routing(app, hub, prefix, admission, cookie, fanout.slow_client_timeout)
    groups: tuple[tuple[list[web.RouteDef], Answer, Needs], ...] = (
        (plain, answer_to, "operation"),
        (shown, answer_to, "anything"),
        (page, answer_to, "nothing"),
        ([*oidc.pages(), *login.pages()], page_answer_to, "nothing"),
        (login.routes(), answer_to, "nothing"),
        (openai, openai_answer_to, "operation"),
        (AISDK(hub, replies, pace=view).routes(), sentence, "operation"),
        (TanStack(hub, replies, pace=view).routes(), sentence_in_json, "operation"),
    )
    for routes, answer, needs in groups:
        for route in routes:
            allow(routing.add(route, answer, _EXCEPTIONS.get(route.path, needs)))
    for route in sockets.routes():
        routing.add(route, answer_to, "operation")
    return sockets


Needs = Literal["nothing", "anything", "operation", "reading"]
"""What the principal of a request needs: not even a credential, any permission, or those that the
operations of the handler ask for, which change something unless they are for ``reading``."""

Answer = Callable[[Exception, web.Request], web.Response]
"""Responds to an error."""

_EXCEPTIONS: Final[Mapping[str, Needs]] = {
    "/livez": "nothing",
    "/readyz": "nothing",
    "/v1/tickets": "reading",
    "/v1/follow": "reading",
}
"""Routes that need something else than the others of their group."""


@dataclass(frozen=True, slots=True)
class _Routing:
    """Adds routes whose errors are answered as the hub does, whatever the application does."""

    app: web.Application
    hub: Hub
    prefix: str
    admission: Admission
    cookie: SessionCookie | None
    patience: float

    def add(
        self,
        route: web.RouteDef,
        answer: Answer,
        needs: Needs,
    ) -> web.AbstractRoute:
        inner, hub, admission, cookie = route.handler, self.hub, self.admission, self.cookie
        patience = self.patience
        public, any_permission, reading = (
            needs == one for one in ("nothing", "anything", "reading")
        )

        # A single function, because every open connection keeps its frame.
        async def handle(request: web.Request) -> web.StreamResponse:
            begin(request)
            hub.callers.enter()
            try:
                await admission.admit(request, public=public, reading=reading)
                if any_permission:
                    hub.permissions.check_beyond_a_stream(request[PRINCIPAL])
                await admission.take(request, public=public)
                response = await inner(request)
                size = _unsent(response)
                hub.unsent.take(size, request[PRINCIPAL].counted_as)
            except Exception as error:
                response, size = answer(error, request), 0
                if cookie is not None:
                    cookie.delete_ended(error, request, response)
                if request.writer.output_size and request.transport is not None:
                    # A response has begun: the client would take this one for part of its body.
                    request.transport.abort()
            finally:
                release(request)
                let_go(hub, request)
            leave_packed(request, response)
            if not response.prepared:
                response.headers.setdefault("X-Content-Type-Options", "nosniff")
                if cookie is not None and not public:
                    keep_private(request, response)
                if size and isinstance(response, web.Response):
                    try:
                        await deliver_whole(response, request, patience)
                    finally:
                        hub.unsent.give(size, request[PRINCIPAL].counted_as)
            elif request.version < HttpVersion11:
                # A streamed body ends with the connection, which aiohttp would leave open.
                response.force_close()
            return response

        async def expect(request: web.Request) -> web.StreamResponse | None:
            begin(request)
            try:
                await admission.expect(request, public=public, reading=reading)
            except Exception as error:
                response = answer(error, request)
                if cookie is not None:
                    cookie.delete_ended(error, request, response)
                response.force_close()  # the client may send the body nevertheless
                return response
            return None

        more = {**route.kwargs, "expect_handler": expect}
        added = web.RouteDef(route.method, self.prefix + route.path, handle, more)
        return added.register(self.app.router)[0]


def _unsent(response: web.StreamResponse) -> int:
    """The bytes of a response's body that is to be sent with `deliver_whole`; 0 for all others."""
    if response.prepared or not isinstance(response, web.Response):
        return 0
    size = len(response.body) if isinstance(response.body, bytes | bytearray) else 0
    return size if size > WHOLE_BYTES else 0


def _shared(app: web.Application, config: Config) -> Callable[[web.AbstractRoute], object]:
    """What lets pages of the allowed origins read the responses of a route."""
    cors = aiohttp_cors.CorsConfig(app, defaults=_cors(config))
    resources: set[web.AbstractResource | None] = set()

    async def vary(request: web.Request, response: web.StreamResponse) -> None:
        """Tell caches that a response to one origin is not for another (WHATWG Fetch, CORS)."""
        held = response.headers.get("Vary", "")
        if "origin" in held.lower() or "no-store" in response.headers.get("Cache-Control", ""):
            return
        if request.match_info.route.resource in resources:
            response.headers["Vary"] = f"{held}, Origin" if held else "Origin"

    def allow(route: web.AbstractRoute) -> None:
        cors.add(route)
        resources.add(route.resource)

    app.on_response_prepare.append(vary)
    return allow


def _unshared(route: web.AbstractRoute) -> None:
    """Send no CORS headers, so that browsers let no other origin use the route."""


def _cors(config: Config) -> dict[str, aiohttp_cors.ResourceOptions]:
    allowed = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]  # not annotated there
        allow_credentials=False,
        expose_headers=EXPOSED,
        allow_headers="*",
        allow_methods="*",
        max_age=3600,
    )
    return dict.fromkeys(config.server.origins, allowed)


def _limits(config: Config, *, of_each: bool = False) -> HubLimits:
    """The limits of a hub; with ``of_each`` also those of each principal."""
    streams, limits, fanout = config.streams, config.limits, config.fanout
    own = config.auth.limits
    server = config.server
    shortest = min(fanout.slow_client_timeout, server.beat_seconds, server.ws_beat_seconds)
    return HubLimits(
        connections=limits.connections,
        connections_of_one=own.connections if of_each else 0,
        event_bytes=limits.event_bytes,
        bodies_bytes=limits.bodies_bytes,
        presence=limits.presence,
        presence_bytes=limits.presence_bytes,
        shares_of_one=own.shares,
        slice_size=fanout.slice,
        deliver=fanout.deliver,
        foreign_generations=streams.foreign_generations,
        look_seconds=min(1.0, shortest / 4),
        retention=Retention(
            streams.max_bytes, streams.max_records, streams.warm_bytes, streams.max_producers
        ),
        streams=StreamLimits(
            streams=limits.streams,
            total_bytes=limits.stream_bytes_total,
            name_length=limits.name_length,
            keep_closed=streams.keep_closed_seconds,
            keep_idle=streams.keep_idle_seconds,
        ),
        runs=RunLimits(
            generations=limits.generations,
            seconds=limits.generation_seconds,
            prompt_bytes=limits.prompt_bytes,
            prompt_messages=limits.prompt_messages,
            keys=limits.idempotency_keys,
            queue=QueueLimits(limits.queued_prompts, limits.queued_bytes),
            of_one=own.generations if of_each else 0,
        ),
    )


def _store(config: Config, environ: Mapping[str, str]) -> Store | SharedStore:
    """Where the streams are.

    Raises:
        ConfigError: it cannot be used as configured.
    """
    kind, _, path = config.store.url.partition(":")
    if kind == "memory":
        return MemoryStore()
    if config.store.shared:
        # Only here: it needs a package that other hubs do without.
        from hub.store_from_config import shared_store_of

        return shared_store_of(config, environ)
    return SQLiteStore(path, sync=config.store.sync, lock_seconds=config.store.lock_seconds)


def _upstreams(
    config: Config, dialer: Dialer, environ: Mapping[str, str]
) -> Mapping[str, Upstream]:
    made = {
        name: _upstream(name, table, dialer, environ) for name, table in config.upstreams.items()
    }
    for name, table in config.upstreams.items():
        made[name].fallback = tuple(made[other] for other in table.fallback)
    return made


def _upstream(
    name: str, table: UpstreamTable, dialer: Dialer, environ: Mapping[str, str]
) -> Upstream:
    return Upstream(
        name,
        dialects.find(table.dialect),
        dialer,
        url=table.url,
        model=table.model,
        api_key=table.api_key(environ),
        api_key_header=table.api_key_header,
        headers=table.headers,
        query=table.query,
        options=table.options,
        connect_timeout=table.connect_timeout,
        stall_timeout=table.stall_timeout,
        content_timeout=table.content_timeout,
        retries=table.retries,
        max_retry_wait=table.max_retry_wait,
        chunk_limit=table.chunk_bytes,
    )


def _web_folder() -> Path:
    """The page's files: inside an installed package, beside it in a checkout."""
    installed = Path(__file__).parent / "web"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "web" / "dist"
