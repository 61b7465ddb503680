"""What a reader is told beside the file."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from convstore.archives.limits import Limits
from convstore.domain import items
from convstore.domain.archive import Names


@dataclass(frozen=True, slots=True)
class Task:
    """names: what ids are made with. now: the moment that stands for those that nobody says.

    inside: what goes before a place, "member a.json, ", where the file is a part of another.
    """

    names: Names
    now: datetime
    limits: Limits
    inside: str = ""

    def model(self, given: Any, otherwise: str) -> str:
        """The name of a model, as a column holds it."""
        return items.column(given) or otherwise
