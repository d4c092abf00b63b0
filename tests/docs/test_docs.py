"""The documents say what the code does: no more, no less, and in the specifications' own words."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, get_args

from jsonschema import Draft7Validator, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from hub import make_app
from hub.docs import asyncapi, files, openapi
from hub.docs.codes import CODES
from hub.docs.frames import ANSWERED, COMMANDS, FRAMES
from hub.domain.errors import HubError
from hub.http.acceptor import HEAD_BYTES
from hub.http.errors import CloseCode
from hub.protocols.websocket import commands
from tests.support.documented_answers import asyncapi_document, openapi_document
from tests.support.routes import routes
from web.node import install

HERE = Path(__file__).parents[1]
HUB = HERE.parent / "hub"
SPECIFICATION = HERE / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"


def test_the_documents_are_what_the_code_makes(tmp_path: Path) -> None:
    made, asked = files.write(tmp_path / "documents")
    assert json.loads(made.read_text("utf-8")) == openapi.document() == openapi_document()
    assert json.loads(asked.read_text("utf-8")) == asyncapi.document() == asyncapi_document()


def test_a_document_that_the_package_carries_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / files.OPENAPI).write_text("{}", "utf-8")
    assert files.openapi(tmp_path) == "{}"
    assert json.loads(files.asyncapi(tmp_path)) == asyncapi_document()


def test_openapi_is_valid() -> None:
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_asyncapi_is_valid() -> None:
    install(HERE)
    document = asyncapi_document()
    errors = Draft7Validator(json.loads(SPECIFICATION.read_text("utf-8"))).iter_errors(document)
    assert [(error.message[:300], list(error.path)) for error in errors] == []


def test_every_reference_leads_somewhere() -> None:
    for document in (openapi_document(), asyncapi_document()):
        for place in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
            held = document
            for step in place.split("/"):
                held = held[step]
            assert held


def test_every_schema_is_one() -> None:
    for document in (openapi_document(), asyncapi_document()):
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)


# Routes


def test_every_route_is_described_and_nothing_else() -> None:
    described = {
        (method.upper(), path)
        for path, held in openapi_document()["paths"].items()
        for method in held
    }
    assert described == routes(make_app())


def test_every_parameter_in_a_path_is_described() -> None:
    for path, methods in openapi_document()["paths"].items():
        for method, one in methods.items():
            named = {held["name"] for held in one.get("parameters", ()) if held["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), (method, path)


def test_what_an_address_may_hold_fits_into_the_head_of_a_request() -> None:
    for path, methods in openapi_document()["paths"].items():
        for method, one in methods.items():
            texts = [
                held["schema"]
                for held in one.get("parameters", ())
                if held["in"] != "header" and held["schema"]["type"] == "string"
            ]
            free = [text for text in texts if "pattern" not in text and "enum" not in text]
            # Four bytes of UTF-8, each as %F0.
            longest = 12 * sum(text["maxLength"] for text in free)
            named = 3 * sum(text.get("maxLength", 100) for text in texts if text not in free)
            assert longest + named + len(path) < HEAD_BYTES, (method, path)


# Commands and frames


def test_every_command_is_described_and_nothing_else() -> None:
    assert set(COMMANDS) == set(ANSWERED)
    heard = {held["const"] for held in _types("#/components/messages", "receive")}
    assert heard == {kind.__name__.lower() for kind in get_args(commands.Command)}


def test_every_frame_is_described_and_nothing_else() -> None:
    """The frames are found where they are written."""
    messages = (
        "protocols/websocket/endpoint.py",
        "protocols/subscribing.py",
        "frames/messages.py",
        "frames/websocket.py",
    )
    written: set[str] = set()
    for source in messages:
        written |= set(re.findall(r'"type":\s*"(\w+)"', (HUB / source).read_text("utf-8")))
    encoder = (HUB / "frames/encoder.py").read_text("utf-8")
    written |= set(re.findall(r'self\.message\("(\w+)"', encoder))
    assert written == set(FRAMES)
    assert {held["const"] for held in _types("#/components/messages", "send")} == written - {"ok"}


def _types(under: str, action: str) -> list[dict[str, Any]]:
    document = asyncapi_document()
    messages = document["components"]["messages"]
    found = []
    for operation in document["operations"].values():
        if operation["action"] == action:
            for one in operation["messages"]:
                schema = messages[one["$ref"].rpartition("/")[2]]["payload"]["$ref"]
                held = document["components"]["schemas"][schema.rpartition("/")[2]]
                found.append(held["properties"]["type"])
    return found


def test_every_close_code_is_described() -> None:
    assert set(asyncapi.CLOSES) == set(CloseCode)


# Error codes

OFFLINE = {
    "backup_damaged", "backup_exists", "backup_missing",
    "store_foreign", "store_locked", "store_missing", "store_older",
    "credential_exists", "too_many_credentials",
    "export_malformed", "export_truncated", "stream_expired", "stream_forked", "stream_changed",
}  # fmt: skip
"""What only the command line says, about a store's file."""


def said() -> set[str]:
    """Every code that the sources name, but for those of the command line and of the client."""
    found: set[str] = set()
    for path in HUB.rglob("*.py"):
        if {"cli", "client", "docs"} & set(path.relative_to(HUB).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") != "ConfigError":
                for keyword in node.keywords:
                    if keyword.arg == "code":
                        held = ast.walk(keyword.value)
                        found |= {
                            one.value
                            for one in held
                            if isinstance(one, ast.Constant)
                            and isinstance(one.value, str)
                            and re.fullmatch(r"[a-z_]*[a-z]", one.value)
                        }
    return found


def classes(kind: type[HubError] = HubError) -> set[type[HubError]]:
    return {kind}.union(*(classes(below) for below in kind.__subclasses__()))


def test_every_code_is_described_and_nothing_else() -> None:
    default = {kind.default_code for kind in classes() if kind.__module__ == "hub.domain.errors"}
    assert said() | default - {"config_invalid"} - OFFLINE <= set(CODES) | OFFLINE
    everything = "".join(
        path.read_text("utf-8") for path in HUB.rglob("*.py") if "docs" not in path.parts
    )
    made = {"position_trimmed", "position_unwritten"}
    for code in set(CODES) - made:
        assert f'"{code}"' in everything, f"nothing says {code}"


def test_a_default_code_is_told_as_its_own_class() -> None:
    for kind in classes() - {HubError}:
        if kind.__module__ == "hub.domain.errors" and kind.default_code in CODES:
            assert CODES[kind.default_code].kind is kind
