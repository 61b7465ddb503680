"""What is to be different when the question of an exchange is asked again."""

from collections.abc import Mapping
from dataclasses import dataclass

from convstore.domain.items import Item
from convstore.domain.jsontext import Raw


@dataclass(frozen=True, slots=True)
class Edit:
    """members: of the request; items: its input, None for the same one.

    carries: whether the later questions are asked again, up to the exchange *until*. name: of the new branch.
    """

    members: Mapping[str, Raw]
    items: tuple[Item, ...] | None = None
    carries: bool = False
    until: str | None = None
    name: str | None = None
