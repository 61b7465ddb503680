"""The Response object: what the API says about one exchange.

A response is the request's own settings echoed with the API's defaults, then whatever else the upstream said
(effective values, its own additions), then the answer. Every field clients rely on is there, however thin the
upstream's answer was. The same function writes the body of a create, a retrieve and a stream's events, so they
cannot differ. Source: docs/api.md, the Response object.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from convstore.domain import jsontext
from convstore.domain.usage import Usage

FINISHED = frozenset({"completed", "incomplete", "failed", "cancelled"})

DEFAULTS: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}

# Members of a request that its response does not repeat.
NOT_ECHOED = frozenset(
    "input model include stream stream_options context_management previous_response_id conversation store "
    "metadata user safety_identifier prompt_cache_key client_metadata background_options".split()
)

# Ours to say, whatever the upstream says; everything else of its envelope is kept.
OURS = frozenset(
    "id object created_at completed_at status error incomplete_details model output output_text usage "
    "previous_response_id conversation store metadata user safety_identifier prompt_cache_key background "
    "instructions tools tool_choice text truncation".split()
)


@dataclass(slots=True)
class Response:
    """One exchange in the words of the API, without its output items.

    settings, reply: JSON objects as bytes, the request's settings and the upstream's additions.
    created_at, completed_at: Unix seconds.
    """

    id: str
    created_at: int
    status: str
    model: str
    settings: bytes
    reply: bytes = b"{}"
    completed_at: int | None = None
    error: Mapping[str, Any] | None = None
    incomplete_reason: str | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    store: bool = True
    background: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    usage: Usage | None = None
    is_erased: bool = False

    def write(self, output: Iterable[bytes] = ()) -> bytes:
        """The JSON of the response with these output items, each already JSON."""
        head = {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": self.status,
            # Only a completed response has a completion time on the API.
            "completed_at": self.completed_at if self.status == "completed" else None,
            "error": self.error,
            "incomplete_details": {"reason": self.incomplete_reason} if self.incomplete_reason else None,
            "model": self.model,
            "previous_response_id": self.previous_response_id,
            "store": self.store,
            "metadata": self.metadata,
            "user": self.user,
            "safety_identifier": self.safety_identifier,
            "prompt_cache_key": self.prompt_cache_key,
            "usage": self.usage.as_api() if self.usage else None,
        }
        if self.conversation_id:
            head["conversation"] = {"id": self.conversation_id}
        if self.is_erased:
            head["erased"] = True
        return b"".join(
            (
                jsontext.dumps(head)[:-1],
                b',"output":[',
                b",".join(output),
                b"],",
                _echo(self.settings, self.reply, self.background),
                b"}",
            )
        )


def echoed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The request's settings as its response repeats them, defaults filled in."""
    echo = dict(DEFAULTS)
    for name, value in settings.items():
        # A member of the answer's name is no parameter of the API: passed on, and never taken for the answer's.
        if name in NOT_ECHOED or value is None or (name in OURS and name not in DEFAULTS):
            continue
        if name == "text":
            value = {**DEFAULTS["text"], **value, "format": _format(value.get("format"))}
        elif name == "reasoning":
            value = {**DEFAULTS["reasoning"], **value}
        elif name == "tools":
            value = [_tool(tool) for tool in value]
        elif name == "service_tier" and value == "auto":
            value = "default"
        echo[name] = value
    return echo


def additions(envelope: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What an upstream's envelope says beyond the echo of the request: the part of it worth keeping.

    Null says nothing: thin upstreams send it for what they do not know.
    """
    echo = echoed(settings)
    return {
        name: value
        for name, value in envelope.items()
        if name not in OURS and value is not None and echo.get(name, ...) != value
    }


@lru_cache(maxsize=512)  # one entry per distinct agent set-up; most turns repeat one
def _echo(settings: bytes, reply: bytes, background: bool) -> bytes:
    echo = echoed(jsontext.loads(settings)) | {"background": background}
    return jsontext.dumps(echo | jsontext.loads(reply))[1:-1]


def _format(chosen: Any) -> Any:
    if not isinstance(chosen, Mapping):
        return {"type": "text"}
    if chosen.get("type") == "json_schema":
        return {"description": None, "strict": False, **{k: v for k, v in chosen.items() if v is not None}}
    return chosen


def _tool(tool: Any) -> Any:
    if isinstance(tool, Mapping) and tool.get("type") == "function":
        return {"description": None, "parameters": None, **tool, "strict": tool.get("strict", True)}
    return tool
