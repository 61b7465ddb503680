"""What a project has chosen for itself, kept as one JSON object with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from convstore.domain import jsontext

Unstored = Literal["keep", "discard"]
BackgroundRetry = Literal["no", "yes"]


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """The settings of one project.

    unstored: what is kept of a request with `store: false`: everything, or figures alone.
    background_retry: whether an upstream that had begun to answer a background request is asked again when the
    worker that listened to it died.
    others: settings of other versions, kept as they are.
    """

    unstored: Unstored = "keep"
    background_retry: BackgroundRetry = "no"
    others: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def discards(self, *, stored: bool) -> bool:
        """Whether a request's content is to be forgotten. stored: the request's `store`."""
        # A choice of another version is no leave to keep what a client asked not to be stored.
        return not stored and self.unstored != "keep"

    def as_json(self) -> str:
        own = {name: getattr(self, name) for name in _KNOWN}
        return jsontext.dumps({**self.others, **own}).decode()


_KNOWN = tuple(each.name for each in fields(ProjectSettings) if each.name != "others")


def settings_of(text: str) -> ProjectSettings:
    """The settings kept as this JSON object; what it does not say is as it is by default."""
    given: dict[str, Any] = jsontext.loads(text)
    known = {name: given.pop(name) for name in _KNOWN if name in given}
    return ProjectSettings(**known, others=given)
