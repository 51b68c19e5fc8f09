"""The house's plan: packages in the order in which data flows, no circles, few modules at the top."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from tests.program import PACKAGE, ROOT

FLOORS = (
    *("ground", "video", "networks", "analysis", "restore", "report", "jobs", "previews", "data", "evaluate"),
    *("training", "cli"),
)
"""Lowest first: a package imports only from itself and from those before it. Ground is the top level's modules."""
DOORS = {"vidsr.__main__", "vidsr.api"}
"""What stands above all floors: they lead in from outside; `vidsr` itself holds the version, and opens `api`."""
EXCEPTIONS: set[tuple[str, str]] = {("vidsr", "vidsr.api")}
"""(importing module, imported module) that break the order: `from vidsr import enhance` opens the door."""
MOST_AT_TOP = 10


def modules() -> dict[str, Path]:
    """Every module of the package by its name; a package is the name of its `__init__`."""
    root = PACKAGE.parent
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(path: Path, known: dict[str, Path], lazily: bool = True) -> set[str]:
    """The package's modules that a file imports when it runs, with `lazily` those inside of functions too."""
    found: set[str] = set()
    for node in _statements(ast.parse(path.read_text()), lazily):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            wholes = {f"{node.module}.{one.name}" for one in node.names}
            found |= wholes & known.keys()
            if wholes - known.keys():
                found.add(str(node.module))
    return found


def _statements(node: ast.AST, lazily: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if not lazily and isinstance(child, ast.FunctionDef):
            continue
        yield child
        yield from _statements(child, lazily)


def floor(name: str) -> int:
    """The number of a module's floor."""
    if name in DOORS:
        return len(FLOORS)
    words = [*name.split("."), ""]
    return FLOORS.index(words[1]) if words[1] in FLOORS else 0


def circles() -> list[list[str]]:
    """Groups of modules that import each other, by whatever way."""
    known = modules()
    arrows = {name: imports(path, known) - {name, "vidsr"} for name, path in known.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            for one in arrows[left.pop()] - seen:
                seen.add(one)
                left.append(one)
        return seen

    below = {name: reached(name) for name in known}
    groups = {frozenset(other for other in below[name] if name in below[other]) for name in known}
    return sorted(sorted(group) for group in groups if group)


def test_a_package_imports_only_from_those_before_it() -> None:
    known = modules()
    wrong = {
        (name, other) for name, path in known.items() for other in imports(path, known) if floor(other) > floor(name)
    }
    assert wrong == EXCEPTIONS


def test_no_modules_import_each_other() -> None:
    assert circles() == []


def test_few_modules_stand_at_the_top() -> None:
    assert len([path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]) <= MOST_AT_TOP
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} <= {*FLOORS, "models"}


def test_every_package_says_what_it_is_for() -> None:
    for name in FLOORS[1:]:
        text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text())) or ""
        assert text, name


def test_benches_find_what_they_import() -> None:
    for path in sorted((ROOT / "tests/bench").glob("[!_]*.py")):
        importlib.import_module(f"tests.bench.{path.stem}")
