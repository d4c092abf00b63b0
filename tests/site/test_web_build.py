"""What the build makes is small, whole, and asks nobody else; the package carries it."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import web.build
from hub.docs import asyncapi, openapi
from web.build import DIST, WEB, build, is_built
from web.node import WHEEL, NpmError, find_node, npm

ROOT: Final = WEB.parent
KB: Final = 1000

# Names and notes in what is bundled, of which nothing is ever fetched.
NAMES: Final = re.compile(r"http://www\.w3\.org/[\w/]+|https://github\.com/highlightjs/[\w./-]+")
LATER: Final = ("math.js", "diagram.html")
"""What is loaded once a formula is shown, and once somebody asks for a diagram."""


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


def packed(name: str) -> int:
    return len(gzip.compress((DIST / name).read_bytes(), mtime=0))


def listed() -> list[str]:
    names: list[str] = json.loads((DIST / "built.json").read_text("utf-8"))["files"]
    return names


class Tags(HTMLParser):
    """The tags of a page, and what stands inside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inline = ""
        self.feed((DIST / page).read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.inline += data.strip()

    @property
    def loaded(self) -> list[str]:
        """What the page names; ``./`` aside."""
        named = [attributes.get("src") or attributes.get("href") for tag, attributes in self.tags
                 if tag in ("script", "link", "img")]  # fmt: skip
        return [name.removeprefix("./") for name in named if name]


def reached(page: str) -> set[str]:
    """The files that a page loads, also those that its scripts name, except for ``LATER``."""
    found, left = {page}, Tags(page).loaded
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            text = (DIST / name).read_text("utf-8", "replace")
            named = [other for other in listed() if other.rpartition("/")[2] in text]
            left += [other for other in named if other not in LATER]
    return found


# What it weighs


def test_the_page_is_at_most_150_kb() -> None:
    loaded = reached("index.html")
    assert {Path(name).suffix for name in loaded} >= {".html", ".js", ".css"}
    assert sum(map(packed, loaded)) <= 150 * KB


def test_the_client_is_at_most_10_kb() -> None:
    assert packed("client.js") <= 10 * KB


@pytest.mark.parametrize("name", ["client.js", "client-worker.js", "elements.js"])
def test_a_script_for_other_pages_holds_all_that_it_needs(name: str) -> None:
    text = (DIST / name).read_text("utf-8")
    text = re.sub(r"\bimport\(\w+\([`'\"]math\.js[`'\"]\)\)", "", text)  # when there is a formula
    assert not re.findall(r"""(?m)(?:^|[;}])import\s*[\w{*"']|\bimport\(|}from\s*["']""", text)
    assert "process.env" not in text


def test_formulas_and_diagrams_are_loaded_later_and_are_whole() -> None:
    at_once = reached("index.html")
    for name in ("math.js", "diagram.js"):
        assert name in listed()
        assert name not in at_once
        text = (DIST / name).read_text("utf-8")
        assert not re.findall(r"""(?m)(?:^|[;}])import[\s{*"']|}from\s*["']""", text)
    named = set(re.findall(r"assets/(KaTeX_[\w-]+\.woff2)", (DIST / "math.js").read_text("utf-8")))
    fonts = {Path(name).name for name in listed() if name.endswith(".woff2")}
    assert named == fonts
    assert len(fonts) == 20
    assert not [name for name in listed() if name.endswith((".woff", ".ttf"))]


# Whom it asks


@pytest.mark.parametrize("suffix", [".html", ".js", ".css", ".svg"])
def test_nothing_comes_from_another_origin(suffix: str) -> None:
    # Mermaid's messages name pages to read; its frame has no network (hub.site.page).
    names = [name for name in listed() if name.endswith(suffix) and name != "diagram.js"]
    texts = [(DIST / name).read_text("utf-8") for name in names]
    assert texts
    for text in texts:
        assert not re.findall(
            r"(?i)\b(?:https?|wss?):\\?/\\?/[\w.%\[-][^\s\"'`)]*", NAMES.sub("", text)
        )
        assert not re.search(r"""(?:src|href)=["']?//|url\(["']?(?://|data:)|@import""", text)


@pytest.mark.parametrize("page", ["index.html", "single.html"])
def test_a_page_keeps_to_the_policy_and_to_relative_addresses(page: str) -> None:
    """What the policy forbids would silently not work; nor would "/x" under a prefix."""
    read = Tags(page)
    assert not read.inline
    for _, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert set(read.loaded) <= set(listed())


def test_the_licences_of_what_is_bundled_are_with_it() -> None:
    pieces = ("lit", "dompurify", "highlight.js")
    bundles = {"page": pieces, "elements": pieces, "math": ("katex",), "diagram": ("mermaid", "d3")}
    for name, packages in bundles.items():
        text = (DIST / "licenses" / f"{name}.md").read_text("utf-8")
        for package in packages:
            assert f"## {package} - " in text
        assert "GPL" not in text
    fonts = (DIST / "licenses" / "fonts.md").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE\n\nVersion 1.1" in fonts


def test_the_types_fit_the_published_client(tmp_path: Path) -> None:
    """A program that knows only what is published: the package's ``exports``, in strict mode."""
    package = tmp_path / "node_modules/streamhub"
    (package / "dist").mkdir(parents=True)
    for name in ("package.json", "dist/client.js", "dist/client.d.ts"):
        (package / name).write_bytes((WEB / name).read_bytes())
    good = """\
import { connect, type Hub, type HubEvent } from "streamhub";
const hub: Hub = connect("http://127.0.0.1:7000/");
for await (const item of hub.follow("chat", { from: "start" })) console.log(item);
const asked: { generation: string; stream: string } = await hub.generate({ prompt: "Hi" });
const event: HubEvent = { type: "message", role: "user", text: asked.stream };
await hub.append(asked.stream, event);
"""
    (tmp_path / "good.mts").write_text(good)
    (tmp_path / "bad.mts").write_text(good.replace('prompt: "Hi"', "prompt: 1"))
    tsc = [*find_node().node, str(WEB / "node_modules/typescript/bin/tsc"), "--noEmit", "--strict"]
    options = ["--module", "nodenext", "--target", "es2023", "--lib", "es2023,dom"]
    said = subprocess.run(
        [*tsc, *options, "good.mts", "bad.mts"], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert re.findall(r"^(\w+\.mts)\((\d+),\d+\): error TS2322", said, re.MULTILINE) == [
        ("bad.mts", "4")
    ], said
    assert said.count("error") == 1


# When it is built


def test_it_is_built_once_and_again_only_if_a_source_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pretend(tmp_path, monkeypatch)
    assert (build(), build()) == (True, False)
    (tmp_path / "src/a.ts").write_text("changed")
    assert not is_built()
    assert (build(), build()) == (True, False)
    (tmp_path / "src/b.ts").write_text("new")
    assert (build(), build()) == (True, False)
    (tmp_path / "README.md").write_text("no source")
    assert not build()
    assert len(asked) == 3
    assert json.loads((tmp_path / "dist/built.json").read_text())["files"] == ["made.js"]
    assert {path.name for path in tmp_path.glob(".building*")} == {".building.lock"}


def test_a_build_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(tmp_path, monkeypatch)
    build()
    before = (tmp_path / "dist/built.json").read_text()
    (tmp_path / "src/a.ts").write_text("wrong")

    def fails(folder: Path, *arguments: str) -> str:
        raise NpmError("npm run build failed in web/. It said:\nwrong")

    monkeypatch.setattr("web.build.npm", fails)
    monkeypatch.setattr("sys.argv", ["web.build"])
    assert web.build.main() == 1
    said = capsys.readouterr()
    assert said.out == "building the page …\n"
    assert said.err == "error: npm run build failed in web/. It said:\nwrong\n"
    assert (tmp_path / "dist/built.json").read_text() == before
    assert not is_built()


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Sources in a folder, and an npm that makes one file of them; gives what it was asked."""
    asked: list[tuple[str, ...]] = []

    def makes(_: Path, *arguments: str) -> str:
        asked.append(arguments)
        made = Path(arguments[arguments.index("--outDir") + 1])
        made.mkdir()
        (made / "made.js").write_text("made()")
        return ""

    for name in ("src", "public"):
        (folder / name).mkdir()
    for name in (*web.build.SOURCES, "index.html", "src/a.ts"):
        (folder / name).write_text(name)
    monkeypatch.setattr("web.build.WEB", folder)
    monkeypatch.setattr("web.build.DIST", folder / "dist")
    monkeypatch.setattr("web.build.install", lambda _: None)
    monkeypatch.setattr("web.build.npm", makes)
    return asked


def test_what_npm_said_last_is_told(tmp_path: Path) -> None:
    lines = "".join(f"console.log({n});" for n in range(50))
    (tmp_path / "package.json").write_text(
        json.dumps({"scripts": {"build": "node build.js && false"}})
    )
    (tmp_path / "build.js").write_text(lines)
    with pytest.raises(NpmError) as caught:
        npm(tmp_path, "run", "build")
    said = str(caught.value).splitlines()
    assert said[0] == f"npm run build failed in {tmp_path.name}/. Its output:"
    assert said[-1] == "49"
    assert len(said) <= 21


@pytest.mark.parametrize(
    ("version", "will_do"),
    [
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.3", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("", False),
    ],
)
def test_node_is_new_enough_for_vite(
    version: str, *, will_do: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, said in (("node", version), ("npm", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("web.node.find_spec", lambda _: None)
    find_node.cache_clear()
    try:
        assert web.build.has_node() is will_do
    finally:
        find_node.cache_clear()


# The package


def test_the_wheel_carries_the_page_and_the_documents_and_no_source_of_the_page(
    tmp_path: Path,
) -> None:
    (made,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(made) as wheel:
        held = {name for name in wheel.namelist() if "web" in name.split("/")}
        assert held == {f"hub/web/{name}" for name in [*listed(), "built.json"]}
        for name in listed():
            assert wheel.read(f"hub/web/{name}") == (DIST / name).read_bytes()
        assert not [name for name in wheel.namelist() if name.endswith(".ts") and "src" in name]
        assert json.loads(wheel.read("hub/docs/openapi.json")) == openapi.document()
        assert json.loads(wheel.read("hub/docs/asyncapi.json")) == asyncapi.document()


def test_the_source_package_carries_what_is_built_and_can_be_built_again(tmp_path: Path) -> None:
    (made,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(made) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
        held.extractall(tmp_path / "out", filter="data")
    assert {f"web/dist/{name}" for name in listed()} <= names
    assert {"hub/docs/openapi.json", "hub/docs/asyncapi.json"} <= names
    assert {"hatch_build.py", "web/build.py", "web/node.py", "web/package-lock.json"} <= names
    assert not [name for name in names if "node_modules" in name]
    # As it lies there it is built, so that to install it needs no Node.
    (folder,) = (tmp_path / "out").iterdir()
    asked = "from web.build import is_built; print(is_built())"
    said = subprocess.run([sys.executable, "-c", asked], cwd=folder, capture_output=True, text=True)
    assert said.stdout == "True\n", said.stderr


@pytest.mark.parametrize(
    ("built_already", "node", "asked_for"),
    [(False, False, [WHEEL]), (False, True, []), (True, False, [])],
)
def test_node_is_asked_for_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, *, built_already: bool, node: bool, asked_for: list[str]
) -> None:
    hook = hook_of(monkeypatch, "standard", is_built=lambda: built_already, has_node=lambda: node)
    assert hook.dependencies() == asked_for


@pytest.mark.parametrize(
    ("target", "made_already", "asks"),
    [("sdist", False, True), ("sdist", True, False), ("wheel", False, False)],
)
def test_what_the_hub_needs_is_asked_for_only_where_its_documents_are_made(
    monkeypatch: pytest.MonkeyPatch, *, target: str, made_already: bool, asks: bool
) -> None:
    hook = hook_of(monkeypatch, "standard", target=target, _has_documents=lambda: made_already)
    assert any(name.startswith("pydantic") for name in hook.dependencies()) is asks


def test_an_editable_hub_is_installed_without_its_page_a_wheel_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> None:
        raise NpmError("no network")

    hook = hook_of(monkeypatch, "editable", is_built=lambda: False, build=fails)
    told: list[str] = []
    monkeypatch.setattr(hook.app, "display_warning", told.append)
    hook.initialize("editable", {"force_include": {}})
    assert told == ["the page is not built: no network"]
    monkeypatch.setattr(hook.app, "abort", sys.exit)
    with pytest.raises(SystemExit, match=r"^the page cannot be built: no network$"):
        hook.initialize("standard", {"force_include": {}})


def hook_of(
    monkeypatch: pytest.MonkeyPatch, version: str, *, target: str = "wheel", **replaced: Any
) -> Any:
    import hatch_build

    for name, value in replaced.items():
        monkeypatch.setattr(hatch_build, name, value)
    builder = WheelBuilder(str(ROOT))
    return hatch_build.PageAndDocumentsHook(
        str(ROOT), {}, builder.config, builder.metadata, str(ROOT), target, builder.app
    )


# What is said of it


def test_the_page_s_document_names_every_property_of_the_elements() -> None:
    sources = [path.read_text("utf-8") for path in (WEB / "src").rglob("*.*")]
    used = {name for text in sources for name in re.findall(r"var\((--hub-[a-z-]+)", text)}
    document = (ROOT / "docs" / "page.md").read_text("utf-8")
    assert used == set(re.findall(r"(--hub-[a-z-]+):", document))
