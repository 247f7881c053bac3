"""The routes that a client's package contains, read from its source without running it."""

import ast
import importlib.util
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FREE: Final = "{}"  # a part of a path that a caller fills in
VERBS: Final = {"get": "GET", "post": "POST", "delete": "DELETE", "patch": "PATCH", "put": "PUT"}
SPEC: Final = "Spec"  # how the names of the official client's descriptions of reads end

Route = tuple[str, str]


@dataclass
class Routine:
    """What one function of a package holds: paths, the methods it asks by, and whom it calls.

    `direct` are the routes whose path stands in the very call that asks.
    """

    paths: set[str] = field(default_factory=set[str])
    methods: set[str] = field(default_factory=set[str])
    calls: set[str] = field(default_factory=set[str])
    direct: set[Route] = field(default_factory=set[Route])


def routes_of(package: str, without: str = "") -> set[Route]:
    """Return every (method, path) in a package's source.

    Args:
        without: modules with this word in their path are left out; all are read without one.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    files = [one for one in root.rglob("*.py") if not without or without not in str(one)]
    trees = [ast.parse(file.read_text()) for file in files]
    reader = _Reader(dict(itertools.chain.from_iterable(map(_constants, trees))))
    routines: dict[str, list[Routine]] = defaultdict(list)
    for node in itertools.chain.from_iterable(map(ast.walk, trees)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            routines[node.name].append(reader.read(node))
    return set(_routes(routines))


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(path))):
                yield name, path
            case _:
                pass


class _Reader:
    """Reads functions; `constants` are the package's texts that have a name."""

    def __init__(self, constants: dict[str, str]) -> None:
        self.constants = constants

    def read(self, function: ast.AST) -> Routine:
        """Return what a function holds; functions inside it are part of it."""
        found, waiting = Routine(), [function]
        while waiting:
            node = waiting.pop()
            path = self._path(node)
            if path is not None:
                found.paths.add(path)
            if isinstance(node, ast.Call):
                self._note(node, found)
            if not isinstance(node, ast.JoinedStr | ast.Compare):  # part of a text; only compared
                waiting += ast.iter_child_nodes(node)
        return found

    def _note(self, call: ast.Call, found: Routine) -> None:
        match call.func:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Subscript(value=ast.Name(name)):
                pass
            case _:
                return
        found.calls.add(name)
        method = _method(name, is_of_something=isinstance(call.func, ast.Attribute))
        if method is None:
            return
        found.methods.add(method)
        path = self._path(call.args[0]) if call.args else None
        if path is not None:
            found.direct.add((method, path))

    def _path(self, node: ast.AST) -> str | None:
        """Return the path that an expression is, None if it is none."""
        match node:
            case ast.Constant(str(text)):
                found = text
            case ast.Name(name):
                found = self.constants.get(name, "")
            case ast.JoinedStr(values):
                found = "".join(map(self._part, values))
            case _:
                return None
        start = found.removeprefix(FREE)
        is_path = start[:1] == "/" and (start[1:2].isalpha() or start[1:3] == FREE)
        return (found + FREE if found.endswith("/") else found) if is_path else None

    def _part(self, value: ast.expr) -> str:
        match value:
            case ast.Constant(str(text)):
                return text
            case ast.FormattedValue(value=ast.Name(name)) if name in self.constants:
                return self.constants[name]
            case ast.FormattedValue(value=ast.Attribute(attr="host")):
                return ""
            case _:
                return FREE


def _method(called: str, *, is_of_something: bool) -> str | None:
    """Return what a function of this name asks by: `get_json`, `_delete`, `post`; None if not."""
    if called.endswith(SPEC):
        return "GET"
    verb, *rest = called.lstrip("_").split("_")
    if rest not in ([], ["json"], ["bytes"]):
        return None
    return None if called == "get" and is_of_something else VERBS.get(verb)  # a dict's `get`


def _routes(routines: dict[str, list[Routine]]) -> Iterator[Route]:
    """Give each path the methods of the function that holds it, or of those around it."""

    def reach(routine: Routine, seen: frozenset[str]) -> set[str]:
        """Return its paths, and those of the functions that only make paths for it."""
        found = set(routine.paths)
        for name in routine.calls - seen:
            for other in routines.get(name, []):
                if not other.methods:
                    found |= reach(other, seen | {name})
        return found

    def asks_by(routine: Routine) -> set[str]:
        """Return its methods, or those of the functions that ask with a path it gives them."""
        called = [other for name in routine.calls for other in routines.get(name, [])]
        asking = [other.methods for other in called if not other.paths]
        return routine.methods or set[str]().union(*asking)

    for one in itertools.chain.from_iterable(routines.values()):
        yield from one.direct
        paths = reach(one, frozenset()) - {path for _, path in one.direct}
        yield from itertools.product(asks_by(one), paths)
