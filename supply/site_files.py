"""Files of the repository that the documentation links to, as pages of the site: a hook of mkdocs."""

import json
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

OUTSIDE = re.compile(r"\]\(\.\./(?P<path>[\w./-]+)")
IN_MENU = ("CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files, config):
    """Add what pages link to outside of docs/."""
    root = Path(config.docs_dir).parent
    texts = [Path(file.abs_src_path).read_text(encoding="utf-8") for file in files.documentation_pages()]
    linked = {match["path"] for text in texts for match in OUTSIDE.finditer(text)}
    for path in sorted(linked.union(IN_MENU)):
        content = SHOWN[Path(path).suffix](path, (root / path).read_text(encoding="utf-8"))
        level = InclusionLevel.INCLUDED if path in IN_MENU else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, _page(path), content=content, inclusion=level))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead a page's links out of docs/ to what was added."""
    return markdown if page.file.generated_by else OUTSIDE.sub(lambda link: f"]({_page(link['path'])}", markdown)


def _page(path):
    return path if path.endswith(".md") else f"{path}.md"


def _text(path, text):
    return re.sub(r"\]\((\.\./)?docs/", r"](\1", text)


def _code(path, text):
    language = {".py": "python", ".yaml": "yaml"}.get(Path(path).suffix, "dockerfile")
    return f"---\nsearch: {{exclude: true}}\n---\n# {path}\n\n````{language}\n{text}````\n"


def _notebook(path, text):
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells)


SHOWN = {".md": _text, ".py": _code, ".yaml": _code, "": _code, ".ipynb": _notebook}
