"""A chat completion, as a partial Responses object.

Dropped by design: the upstream's id, created and system_fingerprint, llama.cpp's timings (the core keeps
the whole reply), choices after the first, logprobs of a refusal. Source: docs/api.md, dialects.
"""

from collections.abc import Mapping
from typing import Any

from convstore.errors import UpstreamGarbled, UpstreamRefused
from convstore.upstream.chat import items, pieces
from convstore.upstream.chat.names import NO_NAMES, Names, Tool
from convstore.upstream.chat.outcome import code_in, error_in, message_in, outcome_of, partial_response
from convstore.upstream.chat.parts import Json

# Worth another try though they are 4xx: timeout, conflict, too many requests.
_PASSING = (408, 409, 429)


def response_of(completion: Mapping[str, Any], *, names: Names = NO_NAMES) -> Json:
    """{model, status, incomplete_details, error, output, usage, service_tier?} for a completion.

    Items come as reasoning, message, calls; ids are local ("rs_0", "msg_1", "fc_2"); usage is the
    upstream's, untouched. Calls become those of the tools that *names* knows, custom and in namespaces. Raises
    UpstreamRefused for an {"error": …} body and UpstreamGarbled for what is no completion.
    """
    choice = _choice(completion)
    outcome = outcome_of(choice.get("finish_reason"))
    output = _output(choice, names)
    if output:
        output[-1]["status"] = outcome.last_status
    return partial_response(outcome, completion, output)


def _choice(completion: object) -> Mapping[str, Any]:
    """The first choice, with a message in it."""
    if not isinstance(completion, Mapping):
        raise UpstreamGarbled("The upstream's answer is not a JSON object.")
    if error := error_in(completion):
        raise _refusal(error)
    choices = completion.get("choices")
    if not isinstance(choices, list):
        raise UpstreamGarbled("The upstream's answer has no list of choices.")
    if not choices or not isinstance(choices[0], Mapping):
        raise UpstreamGarbled("The upstream's answer has no first choice.")
    if not isinstance(choices[0].get("message"), Mapping):
        raise UpstreamGarbled("The upstream's answer has a choice without a message.")
    return choices[0]


def _refusal(error: object) -> UpstreamRefused:
    code = code_in(error)
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    told = error if isinstance(error, Mapping) else {}
    return UpstreamRefused(
        message_in(error),
        status=status,
        permanent=status is not None and status < 500 and status not in _PASSING,
        param=told.get("param") if isinstance(told.get("param"), str) else None,
        code=code if isinstance(code, str) else None,
        error_type=told.get("type") if isinstance(told.get("type"), str) else None,
        passed_on=True,
    )


def _output(choice: Mapping[str, Any], names: Names) -> list[Json]:
    message = choice["message"]
    output: list[Json] = []
    if reasoning := pieces.reasoning_of(message):
        output.append(items.reasoning_item(0, "completed", [items.reasoning_part(reasoning)]))
    if parts := _parts(choice):
        output.append(items.message_item(len(output), "completed", parts))
    ids = items.CallIds()
    for call in pieces.calls_of(message):
        output.append(_call(len(output), call, ids, names.tool(call.name)))
    return output


def _parts(choice: Mapping[str, Any]) -> list[Json]:
    message = choice["message"]
    parts = []
    if text := pieces.text_of(message):
        parts.append(items.text_part(text, pieces.annotations_of(message), pieces.logprobs_of(choice)))
    if refusal := pieces.refusal_of(message):
        parts.append(items.refusal_part(refusal))
    return parts


def _call(index: int, call: pieces.CallPiece, ids: items.CallIds, tool: Tool) -> Json:
    call_id = ids.take(call.call_id)
    if tool.is_custom:
        return items.custom_item(index, "completed", call_id, tool, items.custom_input(call.arguments))
    return items.function_item(index, "completed", call_id, tool, call.arguments or "{}")
