"""References in docstrings, :class:`.VideoModel`, as code: an extension of griffe, which mkdocstrings reads with."""

import re

import griffe

ROLE = re.compile(r":\w+:`[~.]?(?:netwarp\.)?([^`]+)`")


class Roles(griffe.Extension):
    """Take the roles away; their text stays."""

    def on_object(self, *, obj, **kwargs):
        """Change an object's docstring."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
