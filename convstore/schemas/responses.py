"""The create request, and the query parameters of the responses' routes. Source: docs/api.md, create parameters.

How a body is read is said in bodies.py; what a tool is, in tools.py, and an item, in items.py.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError

from convstore.domain import items, request
from convstore.domain.items import Item
from convstore.domain.jsontext import Raw
from convstore.domain.request import CreateRequest
from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.schemas import problems
from convstore.schemas.bodies import Open, check, read
from convstore.schemas.fields import (
    Array,
    Boolean,
    Checked,
    Integer,
    Number,
    Object,
    QueryBoolean,
    QueryInteger,
    Text,
    Word,
)
from convstore.schemas.items import check_input
from convstore.schemas.problems import invalid, wrong_type
from convstore.schemas.tools import check_tool, check_tool_choice

INCLUDABLE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)


def _check_metadata(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise wrong_type("an object", value)
    if len(value) > 16:
        raise invalid(
            "object_above_max_properties",
            "Invalid '{param}': too many properties. Expected an object with at most 16 properties, "
            f"but got an object with {len(value)} properties instead.",
        )
    for key, text in value.items():
        if len(key) > 64:
            raise invalid(
                "property_name_above_max_length",
                "Invalid property name in '{param}': too long. Expected a property name with at most 64 characters, "
                f"but got one with {len(key)} instead.",
            )
        try:
            if text is None:
                raise wrong_type("a string", text)
            Text(longest=512).deserialize(text)
        except ValidationError as error:
            raise ValidationError({key: error.messages}) from None


def _check_conversation(value: Any) -> None:
    if not isinstance(value, str) and not (isinstance(value, Mapping) and isinstance(value.get("id"), str)):
        raise wrong_type("one of a string or an object with an id", value)


class _JsonSchema(Open):
    type = Word("text", "json_object", "json_schema", required=True, allow_none=False)
    name = Text(pattern=r"[a-zA-Z0-9_-]{1,64}")
    schema = Object()
    strict = Boolean()
    description = Text()


class _Text(Open):
    format = Object(_JsonSchema)
    verbosity = Word("low", "medium", "high")


class _Reasoning(Open):
    effort = Word("none", "minimal", "low", "medium", "high", "xhigh", "max")
    summary = Word("auto", "concise", "detailed")
    generate_summary = Word("auto", "concise", "detailed")


class _StreamOptions(Schema):
    include_obfuscation = Boolean()

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:
        """Members unknown here are refused, as OpenAI does."""
        name = next(iter(error.messages_dict))
        if name not in self.fields:
            raise ValidationError({name: [problems.Problem("unknown_parameter", "Unknown parameter: '{param}'.")]})


class CreateResponse(Open):
    """`POST /v1/responses`."""

    model = Text(shortest=1, longest=255, metadata={"description": "The model that answers, as an upstream names it."})
    input = Checked(
        check_input,
        one_of=[{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
        metadata={"description": "A text, or items. May be left out when previous_response_id is given."},
    )
    include = Array(Word(*INCLUDABLE))
    tools = Array(Checked(check_tool, one_of=[{"type": "object"}]), expected="an array of objects")
    tool_choice = Checked(check_tool_choice, one_of=[{"type": "string"}, {"type": "object"}])
    metadata = Checked(_check_metadata, one_of=[{"type": "object", "additionalProperties": {"type": "string"}}])
    text = Object(_Text)
    temperature = Number(least=0, most=2)
    top_p = Number(least=0, most=1)
    presence_penalty = Number(least=-2, most=2)
    frequency_penalty = Number(least=-2, most=2)
    parallel_tool_calls = Boolean()
    stream = Boolean()
    stream_options = Object(_StreamOptions)
    background = Boolean(
        metadata={"description": "Answer at once with status queued; poll, follow (with stream) or cancel it."}
    )
    max_output_tokens = Integer(least=16)
    max_tool_calls = Integer(least=1)
    reasoning = Object(_Reasoning)
    user = Text(longest=255)
    safety_identifier = Text(longest=128)
    prompt_cache_key = Text(longest=255)
    prompt_cache_retention = Word("in_memory", "in-memory", "24h")
    prompt_cache_options = Object()
    truncation = Word("auto", "disabled")
    instructions = Checked(
        lambda value: None if isinstance(value, str | list) else _refuse(value),
        one_of=[{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
    )
    store = Boolean()
    service_tier = Text(longest=64)
    top_logprobs = Integer(least=0, most=20)
    prompt = Object()
    context_management = Array(Object(), expected="an array of objects")
    conversation = Checked(_check_conversation, one_of=[{"type": "string"}, {"type": "object"}])
    previous_response_id = Text(longest=255)
    client_metadata = Object()
    moderation = Object()
    image = Object()
    access_programs = Object()
    background_options = Object()


def _refuse(value: Any) -> None:
    raise wrong_type("a string", value)


class Retrieve(Schema):
    """Query parameters of `GET /v1/responses/{id}`."""

    stream = QueryBoolean(metadata={"description": "Answer with the response's events, live while it runs."})
    starting_after = QueryInteger(least=0, metadata={"description": "Only events after this sequence number."})


class ListInputItems(Schema):
    """Query parameters of `GET /v1/responses/{id}/input_items`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Items a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = Text(allow_none=False, metadata={"description": "The id of the last item of the page before."})
    before = Text(allow_none=False, metadata={"description": "The id of the first item of the page after."})
    scope = Word("all", "own", allow_none=False, metadata={"description": "own: without the thread's history."})


_KNOWN = frozenset(CreateResponse._declared_fields)


def create_request(body: bytes, *, strict: bool = False) -> CreateRequest:
    """The request in *body*, checked in the API's order. Raises InvalidRequest naming the first thing wrong."""
    members = read(body, split=("input",))
    if members.get("model") is None or members["model"].value is None:
        raise problems.missing("model")
    _check_names(members, strict)
    check(CreateResponse, members)
    _check_sources(members)
    check_background(members)
    return request.of_members(members, items_of(members.get("input")))


def _check_names(members: Mapping[str, Raw], strict: bool) -> None:
    if "messages" in members:
        raise UnsupportedParameter(
            "Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'. "
            "Try again with the new parameter.",
            param="messages",
        )
    for name in members if strict else ():
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.75)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InvalidRequest(f"Unknown parameter: '{name}'.{hint}", param=name, code="unknown_parameter")


def _check_one_history(members: Mapping[str, Raw]) -> None:
    if all(name in members and members[name].value is not None for name in ("previous_response_id", "conversation")):
        raise InvalidRequest(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            code="mutually_exclusive_parameters",
        )


def _check_sources(members: Mapping[str, Raw]) -> None:
    _check_one_history(members)
    given = {name for name, raw in members.items() if raw.value is not None}
    if "input" in members and members["input"].value:
        return
    if not given & {"previous_response_id", "conversation", "prompt"}:
        if "input" not in given:
            raise problems.missing("input")
        raise InvalidRequest(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
        )


def check_background(members: Mapping[str, Raw]) -> None:
    """A background request is answered from what is stored of it. Raises InvalidRequest, UnsupportedParameter."""
    given = {name: raw.value for name, raw in members.items() if name in ("background", "store", "tools")}
    if not given.get("background"):
        return
    if given.get("store") is False:
        raise InvalidRequest(
            "Invalid value: 'background' can only be used when 'store' is true.",
            param="background",
            code="invalid_value",
        )
    for number, tool in enumerate(given.get("tools") or ()):
        for name in request.secrets_of(tool):
            param = f"tools[{number}].{name}"
            raise UnsupportedParameter(
                f"Unsupported parameter: '{param}' cannot be used with 'background'. Secrets of MCP servers are not "
                "stored, and a background request is sent from what is stored of it.",
                param=param,
            )


def items_of(raw: Raw | None) -> tuple[Item, ...]:
    """The items of a checked input, split by element when it is an array."""
    if raw is None or raw.value is None:
        return ()
    if raw.elements is None:
        return (items.of_text(raw),) if raw.value else ()
    return tuple(items.of_raw(element) for element in raw.elements)


class CountInputTokens(Open):
    """`POST /v1/responses/input_tokens`."""

    model = CreateResponse._declared_fields["model"]
    input = CreateResponse._declared_fields["input"]
    instructions = CreateResponse._declared_fields["instructions"]
    previous_response_id = CreateResponse._declared_fields["previous_response_id"]
    conversation = CreateResponse._declared_fields["conversation"]
    tools = CreateResponse._declared_fields["tools"]
    tool_choice = CreateResponse._declared_fields["tool_choice"]
    parallel_tool_calls = CreateResponse._declared_fields["parallel_tool_calls"]
    reasoning = CreateResponse._declared_fields["reasoning"]
    text = CreateResponse._declared_fields["text"]
    truncation = CreateResponse._declared_fields["truncation"]
    personality = Text(longest=64)


def count_request(body: bytes) -> CreateRequest:
    """The request whose tokens are to be counted. Raises InvalidRequest."""
    members = read(body, split=("input",))
    check(CountInputTokens, members)
    _check_one_history(members)
    return request.of_members(members, items_of(members.get("input")))


def idempotency_key(header: str | None) -> str | None:
    """The Idempotency-Key of a request, if it has one. Raises InvalidRequest."""
    if header is None:
        return None
    if not 1 <= len(header) <= 255 or not header.isascii() or not header.isprintable():
        raise InvalidRequest(
            "Invalid 'Idempotency-Key': expected 1 to 255 printable ASCII characters.", param="Idempotency-Key"
        )
    return header
