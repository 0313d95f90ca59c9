"""The order of the house (docs/design.md): a module imports only from its own package and those before it."""

import ast
from collections.abc import Mapping, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import netwarp

ORDER = (
    *(
        "_version",
        "_moved",
        "errors",
        "label_sets",
        "class_lists",
        "input_files",
        "output_files",
        "output_places",
        "kept_arrays",
        "distributed",
        "weights",
        "freed_memory",
        "quiet",
        "imports",
    ),
    *("ops", "flow", "metrics", "video", "engines"),
    *("model", "bases", "datasets", "inference", "evaluation", "training", "live", "convert", "export", "fleet", "hub"),
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


@cache
def imports_of(path: Path) -> set[str]:
    return imports_in(path.read_text(), package_of(path))


def layer_of(module: str) -> str:
    return [*module.split("."), ""][1]


def test_the_order_names_every_package():
    packages = {p.name for p in ROOT.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    modules = {p.stem for p in ROOT.glob("*.py")}
    assert (packages | modules) - set(ABOVE_ALL) <= set(ORDER)


def test_imports_only_go_up_the_order():
    for path in MODULES:
        name, layer = name_of(path), layer_of(name_of(path))
        for imported in imports_of(path) if layer not in ("", *ABOVE_ALL) else ():
            origin = layer_of(imported)
            assert origin != "", f"{name} imports from netwarp itself: import from the module that defines the name"
            assert ORDER.index(origin) <= ORDER.index(layer), f"{name} ({layer}) imports {imported} ({origin})"


def test_the_check_would_see_a_breach():
    text = "import torch, netwarp.cli\n\ndef f():\n    from netwarp.inference import stream\n    from ..ops import warp"
    assert imports_in(text, "netwarp.model") == {"netwarp.inference.stream", "netwarp.cli", "netwarp.ops.warp"}


def circle_in(graph: Mapping[str, Set[str]]) -> list[str]:
    """A module, what it imports, and so on until the first comes again; [] where no imports go round."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def test_no_imports_go_round():
    graph = {name_of(path): imports_of(path) & NAMES for path in MODULES}
    assert sum(map(len, graph.values())) > len(MODULES)
    assert circle_in(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "from netwarp.model.unrolled import VideoState",
        "from netwarp.model import unrolled",
        "def f():\n    import netwarp.model.unrolled",
        "if TYPE_CHECKING:\n    from .unrolled import VideoState",
        "from netwarp.model import VideoModel",
    ],
)
def test_the_check_would_see_a_circle(back):
    texts = {
        "netwarp.model": "from netwarp.model.unrolled import VideoState",
        "netwarp.model.unrolled": "from netwarp.model.outputs import Hooks",
        "netwarp.model.outputs": "import torch",
    }
    graph = {name: imports_in(text, "netwarp.model") for name, text in texts.items()}
    assert circle_in(graph) == []
    circle = circle_in(graph | {"netwarp.model.outputs": imports_in(back, "netwarp.model")})
    assert {"netwarp.model.unrolled", "netwarp.model.outputs"} <= set(circle)


@pytest.mark.parametrize(("package", "importers"), [("lab", {"lab"}), ("streets", {"streets", "lab"})])
def test_only_names_in_text_lead_to_what_the_library_does_not_need(package, importers):
    for path in MODULES:
        if layer_of(name_of(path)) not in importers:
            assert package not in map(layer_of, imports_of(path)), name_of(path)


def test_every_module_says_what_it_is_for_and_its_name_too():
    for path in MODULES:
        assert path.stem.strip("_") not in {"utils", "util", "helpers", "helper", "common", "misc"}, path
        assert ast.get_docstring(ast.parse(path.read_text())), path
