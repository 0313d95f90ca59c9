"""What PyPI shows: the README, whose links to files of the repository get the repository's address."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#][^)]*)\)")


class LinksOfReadme(MetadataHookInterface):
    """Set ``readme`` and ``urls``. Without an address a link to a file becomes its text, and a picture goes."""

    def update(self, metadata: dict) -> None:
        """Change the metadata in place."""
        repository = self.config["repository"].rstrip("/")
        text = Path(self.root, "README.md").read_text(encoding="utf-8")

        def absolute(link: re.Match[str]) -> str:
            picture, words, target = link.group("picture", "text", "target")
            if "://" in target:
                return link[0]
            if not repository:
                return "" if picture else words
            return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/v{metadata['version']}/{target})"

        metadata["readme"] = {"content-type": "text/markdown", "text": LINK.sub(absolute, text).lstrip()}
        changes = f"{repository}/blob/v{metadata['version']}/CHANGELOG.md"
        metadata["urls"] = {"Source": repository, "Changelog": changes} if repository else {}
