"""A Scope: the right to query one project.

Every query function takes one, so a forgotten tenant filter is impossible rather than unlikely.
"""

from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Scope:
    """A connection and the project whose rows it may see."""

    connection: Connection
    project_id: str
