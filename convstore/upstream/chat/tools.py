"""The tools of a Responses request, and the choice among them, as Chat Completions writes them.

Function tools only. A custom tool becomes a function with one string parameter, `input`, and a namespace the
functions in it, its description in front of theirs; `names_of` tells the reply which calls to turn back. Dropped by
design: output_schema, defer_loading, async, allowed_callers, and a custom tool's grammar as a constraint (it is told
to the model in words). Source: docs/api.md, dialects.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.upstream.chat.names import Names, Tool
from convstore.upstream.chat.parts import Json


class _Offered(NamedTuple):
    """A function or custom tool of a request, checked, and the namespace it stands in."""

    tool: Mapping[str, Any]
    namespace: Mapping[str, Any] | None

    @property
    def known(self) -> Tool:
        """The tool as the client knows it."""
        namespace = self.namespace["name"] if self.namespace else None
        return Tool(self.tool["name"], namespace, is_custom=self.tool["type"] == "custom")


def names_of(settings: Mapping[str, Any]) -> Names:
    """What the request's tools are called; `response_of` and `ChatStream` want to know. Raises as `chat_tools`."""
    return Names(offered.known for offered in _offered(settings))


def chat_tools(settings: Mapping[str, Any], names: Names) -> Json:
    """`tools`, `tool_choice` and `parallel_tool_calls`; nothing at all without tools, as OpenAI demands.

    Raises UnsupportedParameter for hosted tools, with param `tools[2].type`, and InvalidRequest.
    """
    tools = [_function(offered, names) for offered in _offered(settings)]
    choice, tools = _chosen(settings.get("tool_choice"), tools, names)
    if not tools:
        return {}
    told = {
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": settings.get("parallel_tool_calls"),
    }
    return _present(told)


def _offered(settings: Mapping[str, Any]) -> Iterator[_Offered]:
    for position, tool in enumerate(settings.get("tools") or []):
        where = f"tools[{position}]"
        if tool.get("type") != "namespace":
            yield _Offered(_checked(tool, where), None)
            continue
        _named(tool, where)
        for place, inner in enumerate(_inside(tool, where)):
            yield _Offered(_checked(inner, f"{where}.tools[{place}]"), tool)


def _checked(tool: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The tool, which is a function or a custom one and has a name."""
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise UnsupportedParameter(
            f"Tools of type '{kind}' are not supported by this model's upstream, only function tools are.",
            param=f"{where}.type",
        )
    return _named(tool, where)


def _named(tool: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    name, param = tool.get("name"), f"{where}.name"
    if not name:
        raise InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    if not isinstance(name, str):
        raise InvalidRequest(f"Invalid type for '{param}': expected a string.", param=param, code="invalid_type")
    return tool


def _inside(namespace: Mapping[str, Any], where: str) -> Sequence[Mapping[str, Any]]:
    tools, param = namespace.get("tools") or [], f"{where}.tools"
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise InvalidRequest(
            f"Invalid type for '{param}': expected an array of objects.", param=param, code="invalid_type"
        )
    return tools


def _function(offered: _Offered, names: Names) -> Json:
    tool, known = offered.tool, offered.known
    told = {
        "name": names.told(known.name, known.namespace),
        "description": _description(offered),
        # Servers that render templates fail on a function without parameters.
        "parameters": _text_parameter(tool) if known.is_custom else tool.get("parameters") or _NO_PARAMETERS,
        "strict": tool.get("strict"),
    }
    return {"type": "function", "function": _present(told)}


def _description(offered: _Offered) -> Any:
    """The tool's own; of a namespace, what all of its tools have in common comes first."""
    own, common = offered.tool.get("description"), (offered.namespace or {}).get("description")
    return f"{common}\n{own}" if own and common else own or common


def _present(told: Json) -> Json:
    return {name: value for name, value in told.items() if value is not None}


_NO_PARAMETERS: Json = {"type": "object", "properties": {}}


def _text_parameter(tool: Mapping[str, Any]) -> Json:
    text = {"type": "string", "description": _wanted(tool.get("format") or {})}
    required = {"required": ["input"], "additionalProperties": False}
    return {"type": "object", "properties": {"input": text}, **required}


def _wanted(form: Mapping[str, Any]) -> str:
    if form.get("type") != "grammar":
        return "The tool's input, as free text."
    return f"The tool's input: text that follows this {form.get('syntax')} grammar.\n{form.get('definition')}"


def _chosen(choice: object, tools: list[Json], names: Names) -> tuple[str | Json | None, list[Json]]:
    """The choice in chat's words, and the tools that it leaves."""
    match choice:
        case None | "auto" | "none" | "required":
            return choice, tools
        case {"type": "function" | "custom", "name": str(name), **more}:
            return {"type": "function", "function": {"name": names.told(name, more.get("namespace"))}}, tools
        case {"type": "allowed_tools", "tools": list(allowed), **more}:
            return str(more.get("mode") or "auto"), _among(allowed, tools, names)
        case {"type": str(kind)}:
            raise UnsupportedParameter(
                f"The tool choice '{kind}' is not supported by this model's upstream.", param="tool_choice"
            )
        case _:
            raise InvalidRequest(
                "Invalid value for 'tool_choice': expected 'none', 'auto', 'required', or an object.",
                param="tool_choice",
                code="invalid_value",
            )


def _among(allowed: Sequence[Mapping[str, Any]], tools: list[Json], names: Names) -> list[Json]:
    wanted: set[str] = set()
    for tool in allowed:
        name = str(tool.get("name"))
        one = {names.told(name, tool.get("namespace"))}
        wanted |= names.inside(name) if tool.get("type") == "namespace" else one
    left = [tool for tool in tools if tool["function"]["name"] in wanted]
    if not left:
        raise InvalidRequest(
            "None of the allowed tools is among 'tools'.", param="tool_choice.tools", code="invalid_value"
        )
    return left
