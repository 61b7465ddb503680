"""The tools of a Responses request, and the choice among them, as Chat Completions writes them.

Function tools only. A custom tool becomes a function with one string parameter, `input`;
`custom_tool_names` tells the reply which calls to turn back. Dropped by design: output_schema,
defer_loading, async, allowed_callers, and a custom tool's grammar as a constraint (it is told to the
model in words). Source: docs/api.md, dialects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.upstream.chat.parts import Json


def custom_tool_names(settings: Mapping[str, Any]) -> frozenset[str]:
    """The names of the request's custom tools, which `response_of` and `ChatStream` want to know."""
    tools = settings.get("tools") or []
    return frozenset(tool["name"] for tool in tools if tool.get("type") == "custom" and tool.get("name"))


def chat_tools(settings: Mapping[str, Any]) -> Json:
    """`tools`, `tool_choice` and `parallel_tool_calls`; nothing at all without tools, as OpenAI demands.

    Raises UnsupportedParameter for hosted tools, with param `tools[2].type`, and InvalidRequest.
    """
    tools = [_function(tool, position) for position, tool in enumerate(settings.get("tools") or [])]
    choice, tools = _chosen(settings.get("tool_choice"), tools)
    if not tools:
        return {}
    told = {
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": settings.get("parallel_tool_calls"),
    }
    return _present(told)


def _function(tool: Mapping[str, Any], position: int) -> Json:
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise UnsupportedParameter(
            f"Tools of type '{kind}' are not supported by this model's upstream, only function tools are.",
            param=f"tools[{position}].type",
        )
    if not tool.get("name"):
        param = f"tools[{position}].name"
        raise InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    told = {
        "name": tool["name"],
        "description": tool.get("description"),
        # Servers that render templates fail on a function without parameters.
        "parameters": _text_parameter(tool) if kind == "custom" else tool.get("parameters") or _NO_PARAMETERS,
        "strict": tool.get("strict"),
    }
    return {"type": "function", "function": _present(told)}


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


def _chosen(choice: object, tools: list[Json]) -> tuple[str | Json | None, list[Json]]:
    """The choice in chat's words, and the tools that it leaves."""
    match choice:
        case None | "auto" | "none" | "required":
            return choice, tools
        case {"type": "function" | "custom", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}, tools
        case {"type": "allowed_tools", "tools": list(allowed), **more}:
            return str(more.get("mode") or "auto"), _among(allowed, tools)
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


def _among(allowed: Sequence[Mapping[str, Any]], tools: list[Json]) -> list[Json]:
    names = {tool.get("name") for tool in allowed}
    left = [tool for tool in tools if tool["function"]["name"] in names]
    if not left:
        raise InvalidRequest(
            "None of the allowed tools is among 'tools'.", param="tool_choice.tools", code="invalid_value"
        )
    return left
