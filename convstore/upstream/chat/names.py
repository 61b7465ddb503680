"""What a tool is called on either side.

Chat Completions has one list of functions. The Responses API has custom tools beside them, and namespaces of both: a
tool of a namespace goes out as the function `namespace__tool`, and what is called by that name is turned back.
"""

import re
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from convstore.domain import jsontext

# How many characters servers take in a name, and which ones they do not.
LONGEST = 64
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")
_DIGITS = 8


class Tool(NamedTuple):
    """A tool as the client knows it."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


class Names:
    """The names of one request's tools. The same tools give the same names, and no two the same."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        self._told: dict[tuple[str, str], str] = {}
        # Those without a namespace cannot go by another name.
        for tool in sorted(tools, key=lambda tool: tool.namespace is not None):
            self._tools[self.told(tool.name, tool.namespace)] = tool

    def told(self, name: str, namespace: object) -> str:
        """What the upstream knows a tool by, or would if it were offered: calls outlive the tools of their request."""
        if not namespace or not isinstance(namespace, str):
            return name
        if (namespace, name) not in self._told:
            self._told[namespace, name] = self._free(namespace, name)
        return self._told[namespace, name]

    def tool(self, told: str) -> Tool:
        """The tool that the upstream calls by this name; what it made up is a function."""
        return self._tools.get(told) or Tool(told)

    def inside(self, namespace: str) -> set[str]:
        """What the upstream knows the tools of a namespace by."""
        return {told for told, tool in self._tools.items() if tool.namespace == namespace}

    def _free(self, namespace: str, name: str) -> str:
        wanted = _REFUSED.sub("_", f"{namespace}__{name}")
        taken = {*self._tools, *self._told.values()}
        if len(wanted) <= LONGEST and wanted not in taken:
            return wanted
        digests = (jsontext.digest(jsontext.dumps([namespace, name, again])).hex() for again in count())
        shortened = (f"{wanted[: LONGEST - _DIGITS - 1]}_{digest[:_DIGITS]}" for digest in digests)
        return next(each for each in shortened if each not in taken)


NO_NAMES = Names()
