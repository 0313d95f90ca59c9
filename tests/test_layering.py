"""The order of the house (docs/design.md): a module imports only from its own package and those before it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import netwarp

ORDER = (
    *("_version", "_moved", "errors", "label_sets", "output_files", "distributed"),
    *("ops", "flow", "metrics", "video"),
    *("model", "bases", "datasets", "inference", "evaluation", "training", "convert"),
    *("cli", "streets", "lab"),
)
ROOT = Path(netwarp.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
ABOVE_ALL = ("__init__", "__main__")  # the package itself and ``python -m netwarp`` may import anything


def name_of(path: Path) -> str:
    parts = ("netwarp", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def package_of(path: Path) -> str:
    return name_of(path) if path.stem == "__init__" else name_of(path).rpartition(".")[0]


def imports_in(text: str, package: str) -> set[str]:
    """Modules of netwarp that a module of ``package`` imports anywhere, also inside functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            # "from netwarp.model import probe" imports a module and not a name in one.
            names = {alias.name for alias in node.names}
            if (origin, names) != ("netwarp", {"__version__"}):
                found |= {f"{origin}.{name}" for name in names} & NAMES or {origin}
    return {name for name in found if name.split(".")[0] == "netwarp"}


def layer_of(module: str) -> str:
    return [*module.split("."), ""][1]


def test_the_order_names_every_package():
    packages = {p.name for p in ROOT.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    modules = {p.stem for p in ROOT.glob("*.py")}
    assert (packages | modules) - set(ABOVE_ALL) <= set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_only_go_up_the_order(path):
    layer = layer_of(name_of(path))
    if layer in ("", *ABOVE_ALL):
        return
    for imported in imports_in(path.read_text(), package_of(path)):
        origin = layer_of(imported)
        assert origin != "", (
            f"{name_of(path)} imports from netwarp itself: import from the module that defines the name"
        )
        assert ORDER.index(origin) <= ORDER.index(layer), f"{name_of(path)} ({layer}) imports {imported} ({origin})"


def test_the_check_would_see_a_breach():
    text = "import torch, netwarp.cli\n\ndef f():\n    from netwarp.inference import stream\n    from ..flow import dis"
    assert imports_in(text, "netwarp.model") == {"netwarp.inference.stream", "netwarp.cli", "netwarp.flow.dis"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_say_what_is_inside(path):
    assert path.stem.strip("_") not in {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
