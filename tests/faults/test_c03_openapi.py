"""The OpenAPI document as generators and testers take it, who know nothing of this hub."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from hub.docs import files
from hub.docs.requests import EXAMPLES
from hub.domain.events import Message
from tests.conftest import Running, StartHub
from tests.support.documented_answers import ROUTES, openapi_document, validator
from tests.support.patience import PATIENCE, patient
from tests.support.people import UNLIMITED, auth, bearer
from tests.support.pip import TOOLS
from web.node import find_node, install

HERE: Final = Path(__file__).parents[1]
TRIES: Final = 20
"""How often schemathesis tries each operation, besides at the limits of its schemas. It has as long
as it needs, so that every machine tries the same."""


async def ran(*command: str, within: float = 2 * PATIENCE) -> str:
    """What a command says; it must end well, and in so many seconds."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), within)
    finally:
        if process.returncode is None:
            process.kill()
    # A request that was made up may be longer than what is said of it.
    lines = [line[:300] for line in said.decode().splitlines()]
    assert process.returncode == 0, "\n".join(lines[-200:])
    return said.decode()


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the document."""
    return str(files.write(tmp_path_factory.mktemp("documents"))[0])


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    return await start_hub(tutorial={"pace": 0})


def objects(held: Any) -> list[dict[str, Any]]:
    """Every object in a JSON value."""
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    return [
        *([held] if isinstance(held, dict) else []),
        *(o for one in inside for o in objects(one)),
    ]


def test_what_may_be_left_out_has_no_default_in_a_body() -> None:
    """openapi-typescript makes of a field with a default one that must be there."""
    schemas = openapi_document()["components"]["schemas"]
    assert [one for one in objects(schemas) if "default" in one.get("properties", {})] == []
    fields = [f for one in objects(schemas) for f in one.get("properties", {}).values()]
    assert [field for field in fields if isinstance(field, dict) and "default" in field] == []


def test_no_schema_has_a_name_that_generated_code_needs() -> None:
    assert not {"Response", "Client", "File", "Unset"} & set(
        openapi_document()["components"]["schemas"]
    )


def test_bodies_of_streams_are_described() -> None:
    for method in ("put", "post"):
        content = openapi_document()["paths"]["/v1/stream/{name}"][method]["requestBody"]["content"]
        assert set(content) == {"application/json", "application/octet-stream"}
        assert content["application/json"]["schema"]["examples"]


@pytest.mark.parametrize("name", ROUTES)
async def test_every_body_has_examples_and_the_hub_takes_them(
    name: str, start_hub: StartHub
) -> None:
    hub = await start_hub(auth=auth(), tutorial={"pace": 0})
    await hub.hub.streams.append_to("team/rivers", Message("user", "Hello"))
    examples = openapi_document()["components"]["schemas"][name]["examples"]
    assert examples == EXAMPLES[name]
    for example in examples:
        validator(openapi_document(), name).validate(example)
        headers = bearer("admin")
        async with hub.client.post(ROUTES[name], json=example, headers=headers) as answer:
            assert answer.status < 300, await answer.text()


def test_every_body_that_a_model_checks_has_one() -> None:
    bodies = [
        held["requestBody"]["content"]["application/json"]["schema"]
        for methods in openapi_document()["paths"].values()
        for held in methods.values()
        if "requestBody" in held
    ]
    named = {body["$ref"].rpartition("/")[2] for body in bodies if "$ref" in body}
    assert named == {*ROUTES, "QueueChange"}


async def test_a_queued_prompt_takes_the_examples_of_its_changes(hub: Running) -> None:
    asked = {"prompt": "stall", "stream": "queued", "when_busy": "queue"}
    ids = []
    for _ in range(2):
        async with hub.client.post("/v1/generations", json=asked) as answer:
            ids.append((await answer.json())["id"])
    for example in EXAMPLES["QueueChange"]:
        validator(openapi_document(), "QueueChange").validate(example)
        async with hub.client.patch(f"/v1/generations/{ids[1]}", json=example) as answer:
            assert answer.status == 200, await answer.text()


def test_every_example_of_a_parameter_is_one() -> None:
    for methods in openapi_document()["paths"].values():
        for held in methods.values():
            for parameter in held.get("parameters", ()):
                for example in parameter["schema"].get("examples", ()):
                    Draft202012Validator(parameter["schema"]).validate(example)


async def test_a_python_client_is_generated_and_works(
    hub: Running, document: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(TOOLS.install)
    where = tmp_path / "generated"
    said = await ran(
        *TOOLS.command("-m", "openapi_python_client"),
        *("generate", "--path", document, "--meta", "none", "--output-path", str(where)),
    )
    # Only files of the page are of types that it does not know.
    assert "Endpoint will not be generated" not in said
    assert "Unable to parse this part" not in said
    operations = [method for methods in openapi_document()["paths"].values() for method in methods]
    made = [file for file in (where / "api").rglob("*.py") if file.stem != "__init__"]
    assert len(made) == len(operations)
    await ran(*TOOLS.command("-m", "compileall", "-q"), str(where))
    url = str(hub.client.make_url("")).rstrip("/")
    script = HERE / "tools" / "generated.py"
    told = json.loads(await ran(*TOOLS.command(str(script), str(tmp_path), url)))
    assert told["text"].startswith("## One River")
    assert {**told, "text": ""} == {
        "stream": "made/here",
        "text": "",
        "status": "completed",
        "made": 201,
        "read": [{"reading": 1}],
        "missing": "generation_not_found",
    }


async def test_typescript_types_are_generated_and_compile(document: str, tmp_path: Path) -> None:
    await asyncio.to_thread(install, HERE)
    packages = HERE / "node_modules"
    node = find_node().node
    types = str(tmp_path / "generated.ts")
    await ran(*node, str(packages / "openapi-typescript/bin/cli.js"), document, "-o", types)
    shutil.copy(HERE / "tools" / "generated.ts", tmp_path / "use.ts")
    compiler = str(packages / "typescript/bin/tsc")
    strict = ("--strict", "--noEmit", "--module", "nodenext", "--exactOptionalPropertyTypes")
    await ran(*node, compiler, *strict, str(tmp_path / "use.ts"))


@pytest.mark.timeout(patient(640))
async def test_schemathesis_finds_no_error_and_no_valid_request_refused(
    start_hub: StartHub, document: str
) -> None:
    await asyncio.to_thread(TOOLS.install)
    hub = await start_hub(
        auth=auth(limits=UNLIMITED),
        server={"list_streams": True},
        streams={"long_poll_seconds": 0.1, "sse_rotate_seconds": 0.1},
        limits={"connections": 100},
        tutorial={"pace": 0},
    )
    for name in ("team/rivers", "chat-1"):
        await hub.hub.streams.append_to(name, Message("user", "Hello"))
    ((header, value),) = bearer("admin").items()
    await ran(
        *TOOLS.command("-m", "schemathesis.cli"),
        *("--config-file", str(HERE / "tools" / "schemathesis.toml")),
        *("run", document, "--url", str(hub.client.make_url("")).rstrip("/")),
        *("--header", f"{header}: {value}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(TRIES)),
        *("--generation-deterministic", "--continue-on-failure"),
        *("--request-timeout", "10", "--warnings", "off", "--no-color"),
        # What goes on for ever, and what is no HTTP.
        *("--exclude-path-regex", "^/v1/(live|ws)"),
        *("--checks", "not_a_server_error,positive_data_acceptance"),
        *("--checks", "status_code_conformance,content_type_conformance"),
        within=patient(600),
    )
