"""Writing what a check-up found to be mendable. Each function is called inside a transaction, and repeats what it
needs to be true as a condition: between the look and the deed the service went on.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from convstore.storage import tables
from convstore.storage.checkup import BATCH, UNFINISHED, Spot
from convstore.storage.scope import Scope

_e = tables.exchanges
_i = tables.items
_c = tables.conversations
_r = tables.running
_b = tables.branches
_f = tables.fingerprints

# Where an exchange and its items are while others change places: in a lane of its own, at a depth that nobody has.
_ASIDE = -1


class PlaceTaken(Exception):
    """Another exchange, or its items, lies where one of these belongs."""


class Move(NamedTuple):
    """An exchange, where it goes, and from where its items go there; None: they lie there, or it has none."""

    exchange_id: str
    to: Spot
    items_from: Spot | None


def move(scope: Scope, moves: Sequence[Move]) -> None:
    """Let exchanges change their places, with their items. Raises PlaceTaken; then the transaction is to be given up.

    All of them step aside first, so that they may take each other's.
    """
    if not moves:
        return
    own = scope.project_id
    with_items = [each for each in moves if each.items_from is not None]
    try:
        for start in range(0, len(moves), BATCH):
            some = [each.exchange_id for each in moves[start : start + BATCH]]
            scope.connection.execute(
                update(_e).where(_e.c.project_id == own, _e.c.id.in_(some)).values(lane=_e.c.id, depth=_ASIDE)
            )
        aside = update(_i).where(_i.c.lane == bindparam("was_lane"), _i.c.depth == bindparam("was_depth"))
        _each(
            scope,
            aside.values(lane=bindparam("own"), depth=_ASIDE),
            [
                {"was_lane": each.items_from[0], "was_depth": each.items_from[1], "own": each.exchange_id}
                for each in with_items
                if each.items_from
            ],
        )
        back = update(_i).where(_i.c.lane == bindparam("own"), _i.c.depth == _ASIDE)
        targets: dict[str, Any] = {"lane": bindparam("to_lane"), "depth": bindparam("to_depth")}
        there = [{"own": each.exchange_id, "to_lane": each.to[0], "to_depth": each.to[1]} for each in moves]
        held = {each.exchange_id for each in with_items}
        _each(scope, back.values(**targets), [each for each in there if each["own"] in held])
        home = update(_e).where(_e.c.project_id == own, _e.c.id == bindparam("own"))
        _each(scope, home.values(**targets), there)
    except IntegrityError as error:
        raise PlaceTaken from error


def _each(scope: Scope, statement: Any, values: list[dict[str, Any]]) -> None:
    if values:
        scope.connection.execute(statement, values)


def set_conversation(scope: Scope, exchange_ids: Collection[str], conversation_id: str) -> None:
    """Say which conversation exchanges belong to."""
    given = sorted(exchange_ids)
    for start in range(0, len(given), BATCH):
        some = given[start : start + BATCH]
        change = update(_e).where(_e.c.project_id == scope.project_id, _e.c.id.in_(some))
        scope.connection.execute(change.values(conversation_id=conversation_id))


def add_conversation(scope: Scope, conversation_id: str, created_at: datetime) -> None:
    """Put a conversation on record that was lost, unless it is there."""
    there = select(_c.c.id).where(_c.c.project_id == scope.project_id, _c.c.id == conversation_id)
    if scope.connection.execute(there).fetchone() is None:
        row = {"project_id": scope.project_id, "id": conversation_id, "created_at": created_at}
        scope.connection.execute(insert(_c).values(row))


def set_input_count(scope: Scope, exchange_id: str, known: int, counted: int) -> bool:
    """Say how many input items an exchange has."""
    change = update(_e).where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id, _e.c.input_count == known)
    return scope.connection.execute(change.values(input_count=counted)).rowcount > 0


def set_line(scope: Scope, exchange_id: str, column: str, line: str) -> bool:
    """Fill in a first line. column: "question" or "answer"."""
    change = update(_e).where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id, _e.c[column].is_(None))
    return scope.connection.execute(change.values({column: scope.sealed(line)})).rowcount > 0


def run_under(scope: Scope, exchange_id: str, process: bytes) -> None:
    """Put an exchange that runs on record as such, unless it is."""
    there = select(_r.c.exchange_id).where(_r.c.exchange_id == exchange_id)
    if scope.connection.execute(there).fetchone() is None:
        row = {"exchange_id": exchange_id, "project_id": scope.project_id, "process_id": process}
        scope.connection.execute(insert(_r).values(row))


def forget_running(scope: Scope, exchange_id: str) -> bool:
    """Take an exchange that has ended from what is running."""
    goes_on = _goes_on(scope, exchange_id)
    gone = delete(_r).where(_r.c.project_id == scope.project_id, _r.c.exchange_id == exchange_id, ~goes_on)
    return scope.connection.execute(gone).rowcount > 0


def release(scope: Scope, conversation_id: str, writer_id: str) -> bool:
    """Let others write to a conversation whose writer has ended."""
    own = (_c.c.project_id == scope.project_id) & (_c.c.id == conversation_id) & (_c.c.writer_id == writer_id)
    change = update(_c).where(own, ~_goes_on(scope, writer_id)).values(writer_id=None)
    return scope.connection.execute(change).rowcount > 0


def forget_branch(scope: Scope, name: str, tip_id: str) -> bool:
    """Forget a branch whose tip is not there."""
    there = select(_e.c.id).where(_e.c.project_id == scope.project_id, _e.c.id == tip_id).exists()
    own = (_b.c.project_id == scope.project_id) & (_b.c.name == name) & (_b.c.tip_id == tip_id)
    return scope.connection.execute(delete(_b).where(own, ~there)).rowcount > 0


def set_branch_conversation(scope: Scope, name: str, tip_id: str, conversation_id: str) -> bool:
    """Let a branch say the conversation of its tip."""
    own = (_b.c.project_id == scope.project_id) & (_b.c.name == name) & (_b.c.tip_id == tip_id)
    return scope.connection.execute(update(_b).where(own).values(conversation_id=conversation_id)).rowcount > 0


def _goes_on(scope: Scope, exchange_id: str) -> Any:
    query = select(_e.c.id).where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id)
    return query.where(_e.c.status.in_(UNFINISHED)).exists()


def forget_fingerprint(connection: Connection, fingerprint: bytes, exchange_id: str) -> bool:
    """Forget a fingerprint whose exchange is not there. Fingerprints do not know their project."""
    own = (_f.c.fingerprint == fingerprint) & (_f.c.exchange_id == exchange_id)
    return connection.execute(delete(_f).where(own)).rowcount > 0
