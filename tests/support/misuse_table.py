"""The table of bad input: every misuse there is, and the one error that it must give.

Whoever adds an error adds a row. See `tests.support.misuse_steps` for what a row may do, and
`tests.promises.test_bad_input` for what is held against each.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aiohttp import WSMsgType

from tests.support.misuse_steps import KEY, Asked, Cut, Frame, Http, Misuse, Startup, TakenPort
from tests.support.upstream_answers import Answer, Ending, openai_block, refusal

__all__ = ["CASES", "Case"]

ASK: Final = "/v1/generations"
COMPLETE: Final = "/v1/chat/completions"
FOREIGN: Final = {"Origin": "https://evil.example"}
HELLO: Final = ({"role": "user", "content": "hello"},)
DEEP: Final = '{"a":' * 300 + "1" + "}" * 300
"""Deeper than JSON can be written here, but not than it can be read."""
BOMB: Final = b"[" * 3000
NAME: Final = "a stream name consists of letters, digits and . _ ~ : @ + -"
POSITION: Final = "a position must be copied from a response of the hub"


class Case(NamedTuple):
    """A misuse and what it must be told: the code, a part of the message, the status."""

    misuse: Misuse
    code: str
    says: str
    status: int = 0


def post(body: Any, code: str, says: str, status: int, **more: Any) -> Case:
    return Case(Http("POST", ASK, body, **more), code, says, status)


def get(path: str, code: str, says: str, status: int, **more: Any) -> Case:
    return Case(Http("GET", path, **more), code, says, status)


def command(frame: Any, code: str, says: str, **more: Any) -> Case:
    return Case(Frame(frame, **more), code, says)


def answer(given: Answer | None, code: str, says: str, upstream: str = "faulty") -> Case:
    return Case(Asked(given, upstream), code, says)


def body(*pieces: bytes, type: str = "text/event-stream", **more: Any) -> Answer:  # noqa: A002 - HTTP's name
    return Answer(*pieces, type=type, **more)


ONE: Final = 'default_upstream = "one"\n[upstreams.one]\n'
REMOTE: Final = ONE + 'dialect = "openai-chat"\nurl = "http://127.0.0.1"\n'
SUBSCRIBE: Final = {"type": "subscribe", "stream": "calm"}
BUSY: Final = {"prompt": "stall", "stream": "busy"}
KEYED: Final = {"Idempotency-Key": "k1"}

STARTUP: Final = {
    "unknown config key": Case(
        Startup("[server]\n\nprot = 1"),
        "config_invalid",
        '/config.toml:3: server.prot: unknown key; did you mean "port"?',
    ),
    "unknown config table": Case(
        Startup("[limts]"), "config_invalid", '1: limts: unknown key; did you mean "limits"?'
    ),
    "config that is not TOML": Case(Startup("a = ["), "config_invalid", "1: is not TOML"),
    "config that is not text": Case(Startup(b"\n\xff"), "config_invalid", "2: must be UTF-8 text"),
    "unreadable file": Case(Startup(None), "config_invalid", "cannot read /config.toml"),
    "missing API key": Case(
        Startup(REMOTE + 'api_key_env = "MINE"'),
        "api_key_missing",
        'set the environment variable MINE to the API key of the upstream "one"',
    ),
    "unreadable API key": Case(
        Startup(REMOTE + 'api_key_file = "/nowhere"'),
        "api_key_missing",
        'cannot read the API key of the upstream "one" from /nowhere',
    ),
    "an API key in place of its name": Case(
        Startup(ONE + f'dialect = "demo"\napi_key_env = "{KEY}"'),
        "config_invalid",
        "not the key itself",
    ),
    "unknown dialect": Case(
        Startup(ONE + 'dialect = "opnai"'),
        "config_invalid",
        'unknown dialect "opnai"',
    ),
    "port in use": Case(TakenPort(), "port_in_use", "port PORT on 127.0.0.1 is in use"),
}

REQUESTS: Final = {
    "broken UTF-8 in a body": post(b'{"prompt":"\xff"}', "bad_json", "not valid UTF-8", 400),
    "lone surrogate in a body": post(b'{"prompt":"\\ud800"}', "bad_json", "surrogate", 400),
    "malformed JSON in a body": post(b"{", "bad_json", "the body is not JSON", 400),
    "empty body": post(b"", "bad_json", "the body is not JSON", 400),
    "body that is no object": post([], "bad_request", "must be a JSON object", 400),
    "JSON bomb in a body": post(BOMB, "bad_json", "depth limit", 400),
    "deep JSON in a body": post(f'{{"messages":[{DEEP}]}}'.encode(), "bad_json", "deeply", 400),
    "body too large": post({"prompt": "x" * 5000}, "http_413", "larger than the limit", 413),
    "prompt too large": post({"prompt": "x" * 3000}, "too_large", "at most 2048 bytes", 413),
    "body of another type": post(
        b'{"prompt":"hi"}',
        "unsupported_type",
        "Content-Type: application/json",
        415,
        headers={"Content-Type": "text/plain"},
    ),
    "body of no type": post(
        b'{"prompt":"hi"}',
        "unsupported_type",
        "Content-Type: application/json",
        415,
        headers={"Content-Type": ""},
    ),
    "unknown field": post({"promt": "hi"}, "bad_request", "promt", 400),
    "field of a wrong type": post({"prompt": 5}, "bad_request", "prompt", 400),
    "neither prompt nor messages": post({}, "bad_request", 'either "prompt" or "messages"', 400),
    "both prompt and messages": post(
        {"prompt": "hi", "messages": HELLO}, "bad_request", 'either "prompt" or "messages"', 400
    ),
    "empty prompt": post({"prompt": ""}, "bad_request", "empty", 400),
    "empty messages": post({"messages": []}, "bad_request", "empty", 400),
    "unknown upstream": post(
        {"prompt": "hi", "upstream": "x"}, "upstream_not_found", 'no upstream is called "x"', 404
    ),
    "unknown upstream of a long name": post(
        {"prompt": "hi", "upstream": "x" * 3000}, "upstream_not_found", "no upstream is called", 404
    ),
    "stream name of another alphabet": post(
        {"prompt": "hi", "stream": "a b"}, "bad_name", NAME, 400
    ),
    "empty stream name": post({"prompt": "hi", "stream": ""}, "bad_name", NAME, 400),
    "reserved stream name": post({"prompt": "hi", "stream": "__ds/a"}, "bad_name", NAME, 400),
    "stream name that climbs": post({"prompt": "hi", "stream": "a/../b"}, "bad_name", NAME, 400),
    "NUL in a stream name": post({"prompt": "hi", "stream": "a\0"}, "bad_name", NAME, 400),
    "newline in a stream name": post({"prompt": "hi", "stream": "a\n"}, "bad_name", NAME, 400),
    "stream name too long": post({"prompt": "hi", "stream": "x" * 201}, "bad_name", "200", 400),
    "busy stream": post(
        {"prompt": "hi", "stream": "busy"},
        "stream_busy",
        'a generation is already running in "busy"',
        409,
        before=((ASK, BUSY, {}),),
    ),
    "closed stream": post({"prompt": "hi", "stream": "shut"}, "stream_closed", "is closed", 409),
    "idempotency key used again": post(
        {"prompt": "other"},
        "key_reused",
        "used for another request",
        422,
        headers=KEYED,
        before=((ASK, {"prompt": "one"}, KEYED),),
    ),
    "POST from a foreign page": post(
        {"prompt": "hi"}, "origin_not_allowed", "https://evil.example", 403, headers=FOREIGN
    ),
    "POST from an origin that is none": post(
        {"prompt": "hi"}, "origin_not_allowed", "http://[", 403, headers={"Origin": "http://["}
    ),
    "DELETE from a foreign page": Case(
        Http("DELETE", f"{ASK}/x", headers=FOREIGN), "origin_not_allowed", "evil", 403
    ),
    "WebSocket from a foreign page": get(
        "/v1/ws",
        "origin_not_allowed",
        "https://evil.example",
        403,
        headers={**FOREIGN, "Upgrade": "websocket", "Connection": "Upgrade"},
    ),
    "WebSocket without an upgrade": get("/v1/ws", "http_426", "ws://", 426),
    "WebSocket of an unknown subprotocol": get(
        "/v1/ws",
        "bad_subprotocol",
        "hub.v1",
        400,
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": "chat",
        },
    ),
    "method not allowed": Case(
        Http("PUT", ASK, {}), "http_405", "PUT is not allowed here; allowed: ", 405
    ),
    "HEAD where a stream would begin": Case(Http("HEAD", "/v1/live/calm"), "", "", 405),
    "unknown path": get("/v2", "http_404", "nothing is at /v2", 404),
    "unknown generation": get(f"{ASK}/gen_x", "generation_not_found", '"gen_x"', 404),
    "cancel of an unknown generation": Case(
        Http("DELETE", f"{ASK}/gen_x"), "generation_not_found", '"gen_x"', 404
    ),
    "unknown stream": get("/v1/live/none", "stream_not_found", '"none"', 404),
    "NUL in a stream's address": get("/v1/live/a%00", "bad_name", NAME, 400),
    "newline in a stream's address": get("/v1/live/a%0Ab", "bad_name", NAME, 400),
    "bytes that are no text in an address": get("/v1/live/a%FF", "bad_name", NAME, 400),
    "malformed position": get("/v1/live/calm?from=5", "bad_position", POSITION, 400),
    "position in other digits": get(
        f"/v1/live/calm?from={'٠' * 16}_{'٠' * 16}", "bad_position", POSITION, 400
    ),
    "newline after a position": get(
        f"/v1/live/calm?from={'0' * 16}_{'0' * 16}%0A", "bad_position", POSITION, 400
    ),
    "malformed Last-Event-ID": get(
        "/v1/live/calm", "bad_position", POSITION, 400, headers={"Last-Event-ID": "x\udcff"}
    ),
    "unknown format": get("/v1/live/calm?format=xml", "bad_format", "sse, ndjson", 400),
    "unknown model": Case(
        Http("POST", COMPLETE, {"model": "x/y", "messages": HELLO}),
        "model_not_found",
        'no model is called "x/y"',
        404,
    ),
    "completion with empty messages": Case(
        Http("POST", COMPLETE, {"model": "demo", "messages": []}), "bad_request", "messages", 400
    ),
    "completion of two choices": Case(
        Http("POST", COMPLETE, {"model": "demo", "messages": HELLO, "n": 2}),
        "bad_request",
        "n:",
        400,
    ),
    "deep JSON in a completion": Case(
        Http("POST", COMPLETE, f'{{"model":"demo","messages":[{DEEP}]}}'.encode()),
        "bad_json",
        "deeply",
        400,
    ),
}

FRAMES: Final = {
    "unknown command": command({"type": "sing"}, "bad_command", "unknown command 'sing'"),
    "command without a type": command({}, "bad_command", 'needs a "type"'),
    "command with a type that is none": command({"type": 5}, "bad_command", 'a "type"'),
    "command with a bomb for a type": command(
        b'{"type":' + b"[" * 1000 + b"]" * 1000 + b"}", "bad_command", 'a "type"'
    ),
    "command not known yet": command({"type": "auth", "token": "x"}, "not_supported", "auth"),
    "command with an unknown field": command({"type": "ping", "x": 1}, "bad_command", '"x"'),
    "command without a field": command({"type": "subscribe"}, "bad_command", '"stream"'),
    "malformed JSON in a frame": command(b"{", "bad_json", "one JSON object"),
    "frame that is no object": command([], "bad_json", "one JSON object"),
    "lone surrogate in a command": command(
        b'{"type":"subscribe","stream":"\\ud800"}', "bad_json", "one JSON object"
    ),
    "JSON bomb in a frame": command(BOMB, "bad_json", "one JSON object"),
    "deep JSON in an event": command(
        b'{"type":"append","stream":"s","event":%b}' % DEEP.encode(),
        "bad_json",
        "nested too deeply",
    ),
    "deep JSON in messages": command(
        b'{"type":"generate","messages":[%b]}' % DEEP.encode(), "bad_request", "as JSON"
    ),
    "binary frame": command(b"{}", "bad_frame", "text frames", kind=WSMsgType.BINARY),
    "frame too large": command({"type": "x" * 5000}, "frame_too_large", "at most 4096 bytes"),
    "frame too large in bytes alone": command(
        b'{"type":"ping","x":"%b"}' % ("流".encode() * 2000), "frame_too_large", "4096 bytes"
    ),
    "event too large": command(
        {"type": "append", "stream": "s", "event": {"x": "y" * 2000}}, "too_large", "1024 bytes"
    ),
    "event that is none": command(
        {"type": "append", "stream": "s", "event": {"type": "message", "role": "king"}},
        "bad_event",
        '"role"',
    ),
    "event for a bad stream name": command(
        {"type": "append", "stream": "a\nb", "event": {}}, "bad_name", NAME
    ),
    "event for a closed stream": command(
        {"type": "append", "stream": "shut", "event": {}}, "stream_closed", "is closed"
    ),
    "subscribe to an unknown stream": command(
        {"type": "subscribe", "stream": "none"}, "stream_not_found", '"none"'
    ),
    "subscribe from a malformed position": command(
        {**SUBSCRIBE, "from": "0_0"}, "bad_position", POSITION
    ),
    "subscribe twice": command(
        SUBSCRIBE, "conflict", 'already follows "calm"', before=(SUBSCRIBE,)
    ),
    "too many subscriptions": command(
        {**SUBSCRIBE, "stream": "shut2"},
        "limit_exceeded",
        "2 streams",
        before=(SUBSCRIBE, {**SUBSCRIBE, "stream": "quiet"}),
    ),
    "unsubscribe from what is not followed": command(
        {"type": "unsubscribe", "stream": "calm"}, "not_subscribed", "does not follow"
    ),
    "cancel of an unknown generation over WebSocket": command(
        {"type": "cancel", "generation": "gen_x"}, "generation_not_found", '"gen_x"'
    ),
    "generate with an empty prompt": command(
        {"type": "generate", "prompt": ""}, "bad_request", "empty"
    ),
    "generate by an unknown upstream": command(
        {"type": "generate", "prompt": "hi", "upstream": "x"}, "upstream_not_found", '"x"'
    ),
    "generate in a busy stream": command(
        {"type": "generate", "prompt": "hi", "stream": "busy"},
        "stream_busy",
        '"busy"',
        before=({"type": "generate", **BUSY},),
    ),
    "broken UTF-8 in a frame": Case(Cut(b'"\xff"'), "", "", 1007),
    "frame far too large": Case(Cut(b"x" * 50_000), "", "", 1009),
    "frame of an unknown kind": Case(Cut(b"x", WSMsgType.CONTINUATION), "", "", 1002),
}

HEAD: Final = openai_block({"content": "Hel"})

ANSWERS: Final = {
    "upstream refused": answer(None, "upstream_refused", "refused the connection", "refused"),
    "upstream not found by DNS": answer(None, "upstream_dns", "host name", "nowhere"),
    "a message that the upstream's format cannot hold": Case(
        Asked(None, "ollama", ({"role": "assistant", "tool_calls": 5},)), "bad_request", "tool call"
    ),
    "401": answer(
        refusal(401, f"Incorrect API key provided: {KEY}"), "upstream_unauthorized", "API key"
    ),
    "429": answer(refusal(429, "slow down"), "upstream_rate_limited", "slow down"),
    "500": answer(refusal(500, "oops"), "upstream_error", "oops"),
    "503": answer(refusal(503, "busy"), "upstream_overloaded", "busy"),
    "500 with a page": answer(
        body(b"<html><title>Bad gateway</title>", type="text/html", status=502),
        "upstream_error",
        "Bad gateway",
    ),
    "redirect": answer(
        body(b"", status=302, headers={"Location": f"http://evil/?{KEY}"}),
        "upstream_rejected",
        "redirect",
    ),
    "HTML instead of JSON": answer(
        body(b"<!doctype html><title>Log in</title>", type="text/html"), "upstream_html", "HTML"
    ),
    "an error under a 200": answer(
        body(b'{"error":{"message":"no such model"}}', type="application/json"),
        "upstream_error",
        "no such model",
    ),
    "an error in mid-stream": answer(
        body(HEAD, b'data: {"error":{"message":"key %b"}}\n\n' % KEY.encode()),
        "upstream_error",
        "key",
    ),
    "broken UTF-8 from upstream": answer(
        body(HEAD, b'data: {"x":"\xff"}\n\n'), "upstream_malformed", "UTF-8"
    ),
    "malformed JSON from upstream": answer(
        body(HEAD, b"data: {nonsense}\n\n"), "upstream_malformed", "not JSON"
    ),
    "JSON bomb from upstream": answer(
        # How deep is too deep differs between versions of Python; this is no JSON to any.
        body(HEAD, b"data: " + b"[" * 2000 + b"?" + b"]" * 2000 + b"\n\n"),
        "upstream_malformed",
        "JSON",
    ),
    "deep tool arguments from upstream": answer(
        body(
            b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":%b}}]},"done":false}\n'
            % DEEP.encode(),
            b'{"message":{"content":""},"done":"no"}\n',
        ),
        "upstream_truncated",
        "",
        "ollama",
    ),
    "huge line from upstream": answer(
        body(HEAD, b"data: " + b"x" * 5000), "chunk_too_large", "4096"
    ),
    "answer cut off": answer(body(HEAD), "upstream_truncated", ""),
    "answer cut by a close": answer(
        Answer(HEAD, Ending.CLOSE), "upstream_truncated", "closed the connection"
    ),
    "answer cut by a reset": answer(Answer(HEAD, Ending.RESET), "upstream_reset", "reset"),
    "no HTTP at all": answer(
        Answer(b"SSH-2.0-OpenSSH_9\r\n", framing="raw"), "upstream_malformed", "HTTP"
    ),
    "bad chunks of HTTP": answer(
        Answer(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            framing="raw",
        ),
        "upstream_malformed",
        "HTTP",
    ),
    "bad compression": answer(
        body(b"not gzip", headers={"Content-Encoding": "gzip"}), "upstream_malformed", "decompress"
    ),
}

CASES: Final = STARTUP | REQUESTS | FRAMES | ANSWERS
