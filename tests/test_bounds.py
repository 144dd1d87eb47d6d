"""Whatever grows has a bound: BOUNDS.md names every collection that the server keeps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import telemetry_twisted
from telemetry_twisted.options import Options
from telemetry_twisted.store.schema.tables import TABLES

SOURCE = Path(telemetry_twisted.__file__).parent
TABLE = SOURCE.parent / "BOUNDS.md"
DATABASE = "## The database\n"
ROOMS = (
    "*",
    "hub/**/*",
    *(f"jip3/{name}" for name in ("gathering", "open_chains", "past_kinds", "sights")),
    "store/**/*",
    "api/**/*",
    "services/*",
    "transport/*",
    "ingestion/*",
    "notify/*",
    "network/**/*",
)
EMPTY = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MAKERS = (
    {"list", "dict", "set", "deque", "bytearray"}
    | {"Counter", "defaultdict", "OrderedDict"}
    | {"WeakKeyDictionary", "WeakSet"}
)


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of the rooms by its path, and what is in it."""
    for room in ROOMS:
        for path in sorted(SOURCE.glob(f"{room}.py")):
            yield str(path.relative_to(SOURCE)), ast.parse(path.read_text())


def called(value: ast.expr) -> str:
    """The name of what ``value`` calls, a factory of an attrs class included."""
    if not isinstance(value, ast.Call):
        return ""
    name = value.func.id if isinstance(value.func, ast.Name) else ""
    made = [*value.args, *(each.value for each in value.keywords if each.arg == "factory")]
    if name in ("Factory", "field") and made and isinstance(made[0], ast.Name):
        return made[0].id
    return name


def is_collection(value: ast.expr | None) -> bool:
    """Whether something that can grow is made here."""
    return value is not None and (isinstance(value, EMPTY) or called(value) in MAKERS)


def collections() -> set[str]:
    """What objects keep in collections, as ``path Class.attribute``."""
    found = set()
    for path, module in modules():
        for owner in ast.walk(module):
            if not isinstance(owner, ast.ClassDef):
                continue
            for node in ast.walk(owner):
                targets: list[ast.expr]
                if isinstance(node, ast.AnnAssign):
                    targets, value = [node.target], node.value
                elif isinstance(node, ast.Assign):
                    targets, value = node.targets, node.value
                else:
                    continue
                kept = [each.attr for each in targets if isinstance(each, ast.Attribute)]
                if node in owner.body:
                    kept += [each.id for each in targets if isinstance(each, ast.Name)]
                if is_collection(value):
                    found |= {f"{path} {owner.name}.{name}" for name in kept if not name.isupper()}
    return found


def constants() -> tuple[set[str], set[str]]:
    """The constants that are declared, and those of them that something uses."""
    declared: set[str] = set()
    used: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name) and node.id.isupper():
                (declared if isinstance(node.ctx, ast.Store) else used).add(node.id)
    return declared, declared & used


def rows(in_database: bool = False) -> list[tuple[set[str], set[str], set[str]]]:
    """Of each row of what is kept in memory, or in the database: the collections or tables, the
    constants, and the options that it names."""
    memory, _, database = TABLE.read_text().partition(DATABASE)
    assert database
    found = []
    for line in (database if in_database else memory).splitlines():
        if line.startswith("| `"):
            kept, *bounds = line.strip("| ").split(" | ")
            assert len(bounds) == 2, f"expected what is kept, how much, and how long: {line}"
            named = re.findall("`([^`]+)`", " ".join(bounds))
            options = {name[2:] for name in named if name.startswith("--")}
            constants = {name for name in named if re.fullmatch("[A-Z_]+", name)}
            found.append((set(re.findall("`([^`]+)`", kept)), constants, options))
    return found


def test_every_collection_that_is_kept_has_a_bound_that_is_told() -> None:
    told = [each for kept, _, _ in rows() for each in kept]
    assert len(told) == len(set(told))
    missing, gone = collections() - set(told), set(told) - collections()
    assert not missing, f"say in BOUNDS.md what bounds {sorted(missing)}, and for how long"
    assert not gone, f"BOUNDS.md tells of what is not there any more: {sorted(gone)}"


def test_every_table_has_a_bound_and_an_age_that_is_told() -> None:
    told = [each for kept, _, _ in rows(in_database=True) for each in kept]
    assert sorted(told) == sorted(table.name for table in TABLES)


def test_what_is_said_to_be_a_bound_is_one() -> None:
    declared, used = constants()
    options = {name for name, *_ in Options.optParameters}
    for kept, named, named_options in (*rows(), *rows(in_database=True)):
        assert named <= declared, f"no such constants: {sorted(named - declared)} of {sorted(kept)}"
        assert named <= used, f"nothing heeds {sorted(named - used)} of {sorted(kept)}"
        assert named_options <= options, f"no such options: {sorted(named_options - options)}"
