"""Pages of lists that are in order of age: ids grow with time."""

from typing import Any

from sqlalchemy import ColumnElement, Row, Select

from convstore.storage.scope import Scope


def page(
    scope: Scope,
    query: Select[Any],
    key: ColumnElement[str],
    limit: int,
    *,
    newest_first: bool,
    after: str | None = None,
    before: str | None = None,
) -> list[Row[Any]]:
    """At most *limit* rows. after and before are ids, exclusive, in the direction of the list.

    With before alone they are those right in front of it; else the first ones.
    """
    if after is not None:
        query = query.where(key < after if newest_first else key > after)
    if before is not None:
        query = query.where(key > before if newest_first else key < before)
    from_the_end = before is not None and after is None
    descending = newest_first != from_the_end
    found = list(scope.connection.execute(query.order_by(key.desc() if descending else key).limit(limit)))
    return found[::-1] if from_the_end else found
