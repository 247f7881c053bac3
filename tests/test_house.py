"""The house rules that no other gate checks: sizes, names, documents, and what is never written."""

import ast
import importlib.metadata
import itertools
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.failpoints import NAMES
from workers.cli import parser

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = frozenset({"activities", "api", "domain", "infra", "workers", "workflows"})
FOLDERS = ROOMS | {"docs", "research", "tests"}  # research is named by the plan and comes later
LEFTOVERS = frozenset({"__pycache__", "build", "dist"})  # what tools leave behind, ignored by git
VENDORED = frozenset({ROOT / "tests/compose-spec/compose-spec.json", ROOT / "requirements.lock"})

MODULE_LINES = 500
FUNCTION_LINES = 40
DOCUMENT_LINES = 200
CRASH_TABLES = ("architecture.md", "reconciliation.md")
DECISION_LINES = 30
REFUSED_WORDS = frozenset(
    "base common data handler helpers info manager misc service utils".split()  # noqa: SIM905
)
HEADINGS = ["Context", "Decision", "Refused", "Consequences", "Check"]

# Written in parts, so that this file does not contain what it looks for.
REGISTRIES = [
    f"{name}.{ending}"
    for name, ending in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry.npmjs", "org"),
        ("registry.yarnpkg", "com"),
        ("deb.debian", "org"),
        ("proxy.golang", "org"),
        ("index.docker", "io"),
    ]
] + ["-".join(words) for words in [("", "", "index", "url"), ("", "", "find", "links")]]
OPEN_ENDS = re.compile(r"\b(?:{})\b".format("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"])))
EXCUSES = frozenset({"skip", "skipif", "xfail", "importorskip"})


def texts() -> Iterator[Path]:
    """Yield every file of the project that is read as text, hidden folders of tools left out."""
    for folder, folders, files in os.walk(ROOT):
        at_top = Path(folder) == ROOT
        folders[:] = [
            name
            for name in folders
            if name not in LEFTOVERS
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or (at_top and name in {".ci", ".github"}))
        ]
        yield from (Path(folder) / name for name in files if not name.endswith(".pyc"))


def sources() -> list[Path]:
    return sorted(path for path in texts() if path.suffix == ".py")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def place(path: Path, node: ast.AST | None = None) -> str:
    line = f":{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else ""
    return f"{path.relative_to(ROOT)}{line}"


def documents() -> list[Path]:
    return sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Return where in our own files `pattern` is found."""
    found: list[str] = []
    for path in texts():
        if path not in VENDORED:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if pattern.search(line):
                    found.append(f"{place(path)}:{number}: {line.strip()}")
    return found


def test_a_module_has_no_more_than_500_lines() -> None:
    long = {place(path): len(path.read_text().splitlines()) for path in sources()}
    assert {path: lines for path, lines in long.items() if lines > MODULE_LINES} == {}


def test_a_function_has_no_more_than_40_lines() -> None:
    long = [
        f"{place(path, node)} {node.name}"
        for path in sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_a_module_opens_with_one_sentence() -> None:
    mute = [
        place(path)
        for path in sources()
        if not (ast.get_docstring(parsed(path)) or "").partition("\n\n")[0].endswith((".", ":"))
    ]
    assert mute == []


def test_no_module_and_no_class_has_a_name_that_says_nothing() -> None:
    named = [(place(path), path.stem) for path in sources()]
    for path in sources():
        classes = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)]
        named += [(place(path, node), node.name) for node in classes]
    words = {where: re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name) for where, name in named}
    refused = {
        where: found
        for where, split in words.items()
        if (found := [word for word in split if word.casefold() in REFUSED_WORDS])
    }
    assert refused == {}


def test_the_top_level_folders_are_those_of_the_plan() -> None:
    there = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not path.name.endswith(".egg-info")
    } - LEFTOVERS
    assert there - FOLDERS == set()
    assert FOLDERS - {"research"} - there == set()


def test_no_dependency_brings_a_package_with_one_of_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    # docs holds no Python: two of the libraries bring one. The older client's library brings a
    # `tests`; it is never shipped, and pytest puts the root before it.
    tolerated = {"tests": {"py_order_utils"}}
    strangers = {
        name: found
        for name in ROOMS | {"tests"}
        if (found := set(owners.get(name, [])) - {"holdfast"} - tolerated.get(name, set()))
    }
    assert strangers == {}
    assert "py-order-utils" not in pins("infra/production/requirements.lock")


def test_no_file_names_this_machine() -> None:
    """A path of the checkout, of the folder it lies in, or of whoever's home it lies in."""
    here = {str(parent) for parent in (ROOT, ROOT.parent, Path.home()) if parent != Path("/")}
    roots = "|".join(re.escape(path) for path in sorted(here, key=len, reverse=True))
    assert lines_with(re.compile(rf"(?<![\w.~-])(?:{roots})/")) == []


def test_no_file_names_a_registry() -> None:
    pattern = re.compile("|".join(map(re.escape, REGISTRIES)))
    locks = [ROOT / "requirements.lock", ROOT / "infra/production/requirements.lock"]
    assert lines_with(pattern) == []
    assert [place(lock) for lock in locks if pattern.search(lock.read_text())] == []


def test_nothing_is_left_open_in_a_comment() -> None:
    assert lines_with(OPEN_ENDS) == []


def test_no_test_is_excused() -> None:
    excused = [
        place(path, node)
        for path in sources()
        if path.is_relative_to(ROOT / "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and node.attr in EXCUSES
        and ast.unparse(node.value) in {"pytest", "pytest.mark", "unittest"}
    ]
    assert excused == []


def test_every_failpoint_stands_in_the_crash_table() -> None:
    table = "".join((ROOT / "docs" / name).read_text() for name in CRASH_TABLES)
    assert [name for name in sorted(NAMES) if f"`{name}`" not in table] == []


def test_every_failpoint_is_passed_somewhere() -> None:
    passed = {
        argument.value
        for path in sources()
        if path.relative_to(ROOT).parts[0] in ROOMS
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and "failpoint" in ast.unparse(node.func)
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert sorted(NAMES - passed) == []


def test_a_decision_has_its_five_headings_and_fits_a_screen() -> None:
    decisions = sorted((ROOT / "docs/decisions").iterdir())
    assert decisions != []
    for number, path in enumerate(decisions, start=1):
        text = path.read_text()
        assert re.fullmatch(rf"{number:04}-[a-z0-9-]+\.md", path.name), place(path)
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS, place(path)
        assert len(text.splitlines()) <= DECISION_LINES, place(path)


def test_a_document_has_no_more_than_200_lines() -> None:
    lines = {place(path): len(path.read_text().splitlines()) for path in documents()}
    assert {path: count for path, count in lines.items() if count > DOCUMENT_LINES} == {}


def test_a_document_points_only_at_files_that_exist() -> None:
    dead = [
        f"{place(path)}: {target}"
        for path in documents()
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert dead == []


def commands(path: Path) -> list[str]:
    """Return what a document shows as typed: code spans, and the lines of shell blocks."""
    text = path.read_text()
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL)
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = itertools.chain.from_iterable(block.splitlines() for block in blocks)
    typed = [line.strip().removeprefix("$ ") for line in lines]
    return typed + [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]


def is_refused(typed: str) -> bool:
    """Tell whether `holdfast …` is refused as wrong use."""
    try:
        parser().parse_args(shlex.split(typed, comments=True)[1:])
    except SystemExit as end:
        return end.code != 0
    return False


@pytest.mark.parametrize("path", documents(), ids=place)
def test_a_document_names_only_commands_that_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown: list[str] = []
    for typed in commands(path):
        if typed.startswith("holdfast ") and is_refused(typed):
            unknown.append(typed)
        if typed.startswith("make "):
            words = shlex.split(typed, comments=True)[1:]
            unknown += [typed for word in words if "=" not in word and word not in targets]
    assert unknown == []


def pins(lock: str) -> dict[str, str]:
    """Return the version a lock pins of each distribution, each of which must carry a hash."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in entries if "--hash=sha256:" not in line] == []
    found = (re.match(r"([\w.-]+)==(\S+)", line) for line in entries)
    return {match[1]: match[2] for match in found if match}


def missing_from(pinned: dict[str, str], asked: list[str]) -> list[str]:
    """Return what of `asked` a lock does not pin, or pins at a version that does not fit."""
    wanted = [Requirement(text) for text in asked]
    return [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(
            pinned.get(canonicalize_name(requirement.name), "0.dev0"), prereleases=False
        )
    ]


def test_the_lock_pins_all_that_the_project_asks_for() -> None:
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    assert missing_from(pins("requirements.lock"), asked) == []


def test_the_image_is_built_of_the_versions_that_are_tested() -> None:
    tested, shipped = pins("requirements.lock"), pins("infra/production/requirements.lock")
    assert {name: version for name, version in shipped.items() if tested.get(name) != version} == {}
    assert missing_from(shipped, PROJECT["project"]["dependencies"]) == []
