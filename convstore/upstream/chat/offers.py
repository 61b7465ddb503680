"""The tools of a thread, as fine-tuning is told of them: the last request's, and of earlier ones what was called.

Function and custom tools, alone or in namespaces, put so that `chat_tools` refuses none of them; hosted tools and
whatever has no name that OpenAI takes are left out. Of two that are called the same, the later stands.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convstore.upstream.chat.names import Names
from convstore.upstream.chat.parts import Json
from convstore.upstream.chat.teachable import NAME
from convstore.upstream.chat.tools import chat_tools

# What is taken over of a tool of each kind, and the type that it must have there.
_MEMBERS: Mapping[str, Mapping[str, type]] = {
    "function": {"description": str, "parameters": dict, "strict": bool},
    "custom": {"description": str, "format": dict},
    "namespace": {"description": str},
}


@dataclass(frozen=True, slots=True)
class Offers:
    """own: the last request's tools; earlier: those of requests before that are not among them."""

    own: Sequence[Json]
    earlier: Sequence[Json]
    parallel: bool | None

    @property
    def known(self) -> list[Json]:
        """All of them."""
        return [*self.own, *self.earlier]

    def told(self, names: Names, called: Iterable[str]) -> Json:
        """`tools` and `parallel_tool_calls`; nothing at all without tools. called: by the names that are told."""
        own: list[Json] = chat_tools({"tools": self.own}, names).get("tools", [])
        earlier: list[Json] = chat_tools({"tools": self.earlier}, names).get("tools", [])
        wanted = set(called)
        tools: dict[str, Json] = {}
        for tool in [*own, *(each for each in earlier if each["function"]["name"] in wanted)]:
            tools.setdefault(tool["function"]["name"], tool)
        if not tools:
            return {}
        more = {} if self.parallel is None else {"parallel_tool_calls": self.parallel}
        return {"tools": list(tools.values()), **more}


def offered(settings: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]], called: Collection[Any]) -> Offers:
    """The tools of a request, and of the ones before it, latest first. called: the names that calls have."""
    own = list(_clean(settings))
    known = {_key(tool) for tool in own}
    before: list[Json] = []
    for tool in (tool for each in earlier for tool in _clean(each)):
        is_wanted = tool["type"] == "namespace" or tool["name"] in called
        if is_wanted and _key(tool) not in known:
            known.add(_key(tool))
            before.append(tool)
    parallel = settings.get("parallel_tool_calls")
    return Offers(own, before, parallel if isinstance(parallel, bool) else None)


def _key(tool: Json) -> tuple[str, str]:
    return tool["type"], tool["name"]


def _clean(settings: Mapping[str, Any]) -> Iterator[Json]:
    tools = settings.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        yield from _tool(tool, inside=False)


def _tool(tool: Any, *, inside: bool) -> Iterator[Json]:
    """The tool with what is known of it, if it can be told. inside: of a namespace, where any name can be."""
    kind, name = (tool.get("type"), tool.get("name")) if isinstance(tool, Mapping) else (None, None)
    if not isinstance(kind, str) or kind not in _MEMBERS or not isinstance(name, str) or not name:
        return
    members = {each: tool[each] for each, form in _MEMBERS[kind].items() if isinstance(tool.get(each), form)}
    if kind == "namespace":
        inner = tool.get("tools") if not inside else None
        tools = [found for each in (inner if isinstance(inner, list) else ()) for found in _tool(each, inside=True)]
        if tools:
            yield {"type": kind, "name": name, **members, "tools": tools}
    elif inside or NAME.match(name):
        yield {"type": kind, "name": name, **members}
