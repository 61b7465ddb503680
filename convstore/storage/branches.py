"""Named branches: pointers at exchanges, one name for one of them in a project."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, false, select, update
from sqlalchemy.exc import IntegrityError

from convstore import ids
from convstore.storage import tables
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.statements import Insert
from convstore.storage.turns import NameTaken
from convstore.storage.types import micros

_b = tables.branches


@dataclass(frozen=True, slots=True)
class Branch:
    """A name and the exchange that it points at, its tip."""

    name: str
    conversation_id: str
    tip_id: str
    created_at: datetime
    moved_at: datetime


def get(scope: Scope, name: str) -> Branch | None:
    """The branch of this name."""
    row = scope.connection.execute(select(_b).where(_is(scope, name))).fetchone()
    return _branch(row) if row is not None else None


def listed(
    scope: Scope, limit: int, *, conversation_id: str | None = None, after: str | None = None, before: str | None = None
) -> list[Branch]:
    """Branches in the order of their names; those before *before* are the last of them."""
    query = select(_b).where(_b.c.project_id == scope.project_id)
    if conversation_id is not None:
        query = query.where(_b.c.conversation_id == conversation_id)
        # No name is empty. Without a name to begin at, SQLite reads all of the project's for those of a conversation.
        after = after or ("" if before is None else None)
    if after is not None:
        query = query.where(_b.c.name > after)
    if before is not None:
        query = query.where(_b.c.name < before)
    backwards = before is not None and after is None
    rows = scope.connection.execute(query.order_by(_b.c.name.desc() if backwards else _b.c.name).limit(limit))
    found = [_branch(row) for row in rows]
    return found[::-1] if backwards else found


def add(scope: Scope, branch: Branch) -> None:
    """Write a new branch down. Raises NameTaken."""
    values = {name: getattr(branch, name) for name in Branch.__slots__}
    try:
        scope.connection.execute(_b.insert().values(project_id=scope.project_id, **values))
    except IntegrityError as error:
        raise NameTaken(branch.name) from error


def insertion(project_id: str, branch: Branch) -> Insert:
    """The write that adds a branch, for a batch of others (statements.py); a Clash if the name is taken."""
    row = (
        packed(ids.PROJECT, project_id),
        branch.name,
        packed(ids.CONVERSATION, branch.conversation_id),
        packed(ids.EXCHANGE, branch.tip_id),
        micros(branch.created_at),
        micros(branch.moved_at),
    )
    return Insert(_b, ("project_id", *Branch.__slots__), [row])


def move(scope: Scope, name: str, tip_id: str, now: datetime, *, expected: str | None = None) -> bool:
    """Let a branch point elsewhere. expected: only if it points there. False when there was none to move."""
    query = update(_b).where(_is(scope, name))
    if expected is not None:
        query = query.where(_b.c.tip_id == expected)
    return scope.connection.execute(query.values(tip_id=tip_id, moved_at=now)).rowcount > 0


def rename(scope: Scope, name: str, new: str) -> bool:
    """Give a branch another name. False when there is none. Raises NameTaken."""
    try:
        return scope.connection.execute(update(_b).where(_is(scope, name)).values(name=new)).rowcount > 0
    except IntegrityError as error:
        raise NameTaken(new) from error


def remove(scope: Scope, name: str) -> bool:
    """Forget a branch; what it points at stays. False when there was none."""
    return scope.connection.execute(delete(_b).where(_is(scope, name))).rowcount > 0


def _is(scope: Scope, name: str) -> Any:
    # No name has a NUL in it, and PostgreSQL cannot be asked for one that has.
    return (_b.c.project_id == scope.project_id) & (false() if "\0" in name else _b.c.name == name)


def _branch(row: Row[Any]) -> Branch:
    return Branch(**{name: row._mapping[name] for name in Branch.__slots__})
