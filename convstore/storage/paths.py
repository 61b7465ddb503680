"""The way from the root to an exchange: the lanes it goes through."""

from sqlalchemy import CTE, and_, select

from convstore.storage import tables
from convstore.storage.scope import Scope

_e = tables.exchanges


def to(scope: Scope, tip_id: str) -> CTE:
    """The lanes on the way to an exchange, as (lane, depth): what lies in a lane up to that depth is on the way."""
    path = (
        select(_e.c.lane, _e.c.depth)
        .where(_e.c.id == tip_id, _e.c.project_id == scope.project_id)
        .cte("path", recursive=True)
    )
    head, fork = _e.alias("head"), _e.alias("fork")
    return path.union_all(
        select(fork.c.lane, fork.c.depth).select_from(
            path.join(head, and_(head.c.project_id == scope.project_id, head.c.id == path.c.lane)).join(
                fork,
                # Ever nearer to the root: whatever somebody did to the table by hand, the way ends.
                and_(
                    fork.c.project_id == scope.project_id,
                    fork.c.id == head.c.parent_id,
                    fork.c.depth == head.c.depth - 1,
                ),
            )
        )
    )
