"""A Responses request with its whole context, as the body of a Chat Completions call.

Dropped by design: what only the Responses API knows (`_RESPONSES_ONLY`); what only OpenAI knows, for
others (`_OPENAI_ONLY`, `text.verbosity`); `reasoning.summary`; `metadata`, which OpenAI takes only
together with store:true, and our service stores instead. Parameters unknown to us go on under their own
name. Source: docs/api.md, dialects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convstore.errors import UnsupportedParameter
from convstore.upstream.chat.flavour import PLAIN, Flavour, flavour_of
from convstore.upstream.chat.messages import messages_of
from convstore.upstream.chat.parts import Json
from convstore.upstream.chat.tools import chat_tools, names_of

__all__ = ["Flavour", "chat_request", "flavour_of", "names_of"]

_RESPONSES_ONLY = frozenset((
    "access_programs", "background", "background_options", "client_metadata", "context_management",
    "conversation", "image", "include", "input", "instructions", "max_tool_calls", "personality",
    "previous_response_id", "prompt", "prompt_cache_options", "prompt_cache_retention", "reasoning", "store",
    "stream", "stream_options", "text", "truncation",
))  # fmt: skip
_OPENAI_ONLY = ("moderation", "prompt_cache_key", "safety_identifier", "service_tier", "user", "verbosity")
_REWRITTEN = frozenset((
    "max_output_tokens", "messages", "metadata", "model", "n", "parallel_tool_calls", "tool_choice", "tools",
    "top_logprobs",
))  # fmt: skip
_HANDLED = _RESPONSES_ONLY | _REWRITTEN | frozenset(_OPENAI_ONLY)

# DeepSeek's own table for clients that speak OpenAI's efforts (its guide, thinking mode).
_DEEPSEEK_EFFORTS = {"minimal": "low", "medium": "high", "xhigh": "high", "ultra": "max"}


def chat_request(
    settings: Mapping[str, Any], items: Sequence[Mapping[str, Any]], *, stream: bool, flavour: Flavour = PLAIN
) -> Json:
    """The body of POST /chat/completions.

    *settings* is the client's request without `input` (None is absent), *items* the whole context, oldest
    first. Raises InvalidRequest for what is wrong and UnsupportedParameter for what chat cannot express.
    Source: docs/api.md, dialects.
    """
    _one_answer(settings)
    names = names_of(settings)
    tools = chat_tools(settings, names)
    effort = (settings.get("reasoning") or {}).get("effort")
    thinks = effort != "none"
    messages = messages_of(settings.get("instructions"), items, flavour, names, tools=bool(tools), thinks=thinks)
    told = {
        "model": settings.get("model"),
        "messages": messages,
        **tools,
        flavour.max_tokens: settings.get("max_output_tokens"),
        **_reasoning(effort, flavour),
        **_format(settings.get("text") or {}),
        **_logprobs(settings),
        **_openai(settings, flavour),
        **_stream(stream),
    }
    # Ours come last: no extra may overwrite what was worked out here.
    return _extras(settings) | {name: value for name, value in told.items() if value is not None}


def _one_answer(settings: Mapping[str, Any]) -> None:
    # A response holds one answer: further choices would be paid for and thrown away.
    if settings.get("n") not in (None, 1):
        raise UnsupportedParameter("A response holds one answer: 'n' can only be 1.", param="n")


def _extras(settings: Mapping[str, Any]) -> Json:
    """What is called the same on both sides: temperature, top_p, penalties, and whatever we do not know."""
    return {name: value for name, value in settings.items() if value is not None and name not in _HANDLED}


def _reasoning(effort: str | None, flavour: Flavour) -> Json:
    if not flavour.thinking or effort is None:
        return {"reasoning_effort": effort}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}, "reasoning_effort": _DEEPSEEK_EFFORTS.get(effort, effort)}


def _format(text: Mapping[str, Any]) -> Json:
    wanted = text.get("format") or {"type": "text"}
    match wanted.get("type"):
        case "text":
            return {}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            names = ("name", "description", "schema", "strict")
            schema = {name: wanted[name] for name in names if wanted.get(name) is not None}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        case kind:
            raise UnsupportedParameter(
                f"The text format '{kind}' is not supported by this model's upstream.",
                param="text.format.type",
            )


def _logprobs(settings: Mapping[str, Any]) -> Json:
    count = settings.get("top_logprobs")
    included = "message.output_text.logprobs" in (settings.get("include") or [])
    if not count and not included:
        return {}
    return {"logprobs": True, "top_logprobs": count}


def _openai(settings: Mapping[str, Any], flavour: Flavour) -> Json:
    if not flavour.openai_extras:
        return {}
    told = {name: settings.get(name) for name in _OPENAI_ONLY}
    verbosity = (settings.get("text") or {}).get("verbosity")
    # False, not absent: accounts can be set to store chat completions by default, and ours is the only copy.
    return told | {"verbosity": verbosity or told["verbosity"], "store": False}


def _stream(stream: bool) -> Json:
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
