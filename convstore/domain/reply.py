"""What an upstream answered, read out of its Response object, however thin.

Ids, times, usage names and statuses are the upstream's; what becomes of them is for others to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convstore.domain import items, jsontext
from convstore.domain.items import Item
from convstore.domain.jsontext import NotJson

STATUSES = frozenset({"completed", "incomplete", "failed", "in_progress", "cancelled", "queued"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An upstream's answer.

    envelope is every member but `output`; usage the figures as reported, or None; error {code, message} or None.
    """

    status: str
    output: tuple[Item, ...]
    envelope: Mapping[str, Any]

    @property
    def upstream_id(self) -> str | None:
        """The upstream's id of this response."""
        given = self.envelope.get("id")
        return given if isinstance(given, str) else None

    @property
    def model(self) -> str | None:
        """The model that really answered."""
        given = self.envelope.get("model")
        return given if isinstance(given, str) and given else None

    @property
    def usage(self) -> Any:
        return self.envelope.get("usage")

    @property
    def error(self) -> Mapping[str, Any] | None:
        given = self.envelope.get("error")
        if isinstance(given, str) and given:
            return {"code": "server_error", "message": given}
        return given if isinstance(given, Mapping) else None

    @property
    def incomplete_reason(self) -> str | None:
        details = self.envelope.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return reason if isinstance(reason, str) else None


def of_text(text: str) -> Reply:
    """The reply in a Response object's JSON. Raises NotJson when it is no Response object."""
    response = jsontext.loads(text)
    if not isinstance(response, dict):
        raise NotJson("it is not an object")
    output = response.pop("output", None)
    if output is None:
        status = response.get("status")
        # Other services have a status, too: {"status": "ok"} is not an answer without words.
        if "error" not in response and not (isinstance(status, str) and status in STATUSES):
            raise NotJson("it is not a Response object: no output", "output")
        return Reply(_status(response), (), response)
    if not isinstance(output, list) or any(not isinstance(item, dict) for item in output):
        raise NotJson("its output is not an array of items", "output")
    # Read a second time for its text: the items are stored as the exact JSON that came.
    parts = jsontext.member_elements(text, "output") or ()
    return Reply(_status(response), tuple(items.of_output(part) for part in parts), response)


def of_object(response: Mapping[str, Any]) -> Reply:
    """The reply in a Response-shaped object of our own making (a translated or folded answer)."""
    envelope = {name: value for name, value in response.items() if name != "output"}
    output = response.get("output") or ()
    return Reply(_status(envelope), tuple(items.of_object(item) for item in output), envelope)


def _status(envelope: Mapping[str, Any]) -> str:
    status = envelope.get("status")
    if isinstance(status, str) and status in STATUSES:
        return status
    if envelope.get("error"):
        return "failed"
    return "incomplete" if envelope.get("incomplete_details") else "completed"
