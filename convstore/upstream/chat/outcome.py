"""How a generation ended, and the partial Responses object that says so. Source: docs/api.md, errors."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from convstore.upstream.chat.parts import Json

# The API's own codes (docs/api.md, errors), and those that clients match on though the SDKs' list lacks them.
_CODES = frozenset((
    "server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy",
    "misalignment_policy_violation", "vector_store_timeout", "invalid_image", "invalid_image_format",
    "invalid_base64_image", "invalid_image_url", "image_too_large", "image_too_small", "image_parse_error",
    "image_content_policy_violation", "invalid_image_mode", "image_file_too_large",
    "unsupported_image_media_type", "empty_image_file", "failed_to_download_image", "image_file_not_found",
    "context_length_exceeded", "insufficient_quota", "server_is_overloaded", "slow_down",
))  # fmt: skip
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Outcome(NamedTuple):
    """`status` completed, incomplete or failed, with the details that go with it."""

    status: str
    incomplete_details: Json | None = None
    error: Json | None = None

    @property
    def last_status(self) -> str:
        """The status of the last output item: only a response that is whole has a whole last item."""
        return "completed" if self.status == "completed" else "incomplete"


def outcome_of(finish_reason: object) -> Outcome:
    """What a finish_reason means. Missing and unknown ones are failures."""
    match finish_reason:
        case "stop" | "tool_calls" | "function_call":
            return Outcome("completed")
        case "length" | "content_filter":
            return Outcome("incomplete", incomplete_details={"reason": _INCOMPLETE[finish_reason]})
        case None | "":
            return failure("The model provider did not say why the answer ended.")
        case _:
            return failure(f"The model provider ended the answer with '{finish_reason}'.")


def failure(message: str, code: object = None) -> Outcome:
    """A failed generation. Codes that are not the API's become server_error."""
    if code == 429:
        code = "rate_limit_exceeded"
    known = code if isinstance(code, str) and code in _CODES else "server_error"
    return Outcome("failed", error={"code": known, "message": message})


def error_in(body: Mapping[str, Any]) -> object:
    """The error that *body* reports, None if none. Older vLLM has it at the top, as {"object": "error"}."""
    return body.get("error") or (body if body.get("object") == "error" else None)


def message_in(error: object) -> str:
    """The words of an upstream's error, which is an object or (Ollama) a string."""
    words = error.get("message") if isinstance(error, Mapping) else error
    return words if words and isinstance(words, str) else "The model provider answered with an error."


def code_in(error: object) -> str | int | None:
    """The code of an upstream's error; a number (OpenRouter) is an HTTP status."""
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, str | int) else None


def partial_response(outcome: Outcome, head: Mapping[str, Any], output: Sequence[Json]) -> Json:
    """The part of a Responses object that the upstream knows.

    *head* is a completion, or what chunks said beside their choices: model, usage, service_tier. Usage
    stays as the upstream wrote it.
    """
    model, usage, tier = head.get("model"), head.get("usage"), head.get("service_tier")
    response = {
        "model": model if isinstance(model, str) else None,
        "status": outcome.status,
        "incomplete_details": outcome.incomplete_details,
        "error": outcome.error,
        "output": list(output),
        "usage": usage if isinstance(usage, Mapping) else None,
    }
    return response | {"service_tier": tier} if isinstance(tier, str) else response
