"""What hangs below exchanges: by lanes, since a lane is a run of descendants."""

from collections.abc import Collection

from convstore.storage.direct import Cursor

Place = tuple[bytes, int]


def below(cursor: Cursor, project: bytes, conversation: bytes, places: Collection[Place]) -> dict[bytes, int]:
    """The lanes, each with the depth from which on it lies below one of these (lane, depth) of a conversation.

    One statement. Of a lane that holds several of the places, what is below the highest of them.
    """
    heads = [
        (bytes(own), (bytes(lane), depth))
        for own, lane, depth in cursor.execute(_HEADS, (project, conversation)).fetchall()
    ]
    opened: dict[bytes, list[tuple[bytes, int]]] = {}
    for own, (lane, depth) in heads:
        opened.setdefault(lane, []).append((own, depth))
    found: dict[bytes, int] = {}
    rest = [(lane, depth + 1) for lane, depth in places]
    while rest:
        lane, first = rest.pop()
        if lane in found and found[lane] <= first:
            continue
        found[lane] = first
        # What opens at a place itself, or further down, is below it.
        rest += [(own, 0) for own, depth in opened.get(lane, ()) if depth >= first - 1]
    return found


_HEADS = (
    "SELECT h.id, p.lane, p.depth FROM exchanges h"
    " JOIN exchanges p ON p.project_id = h.project_id AND p.id = h.parent_id"
    " WHERE h.project_id = ? AND h.conversation_id = ? AND h.lane = h.id"
)
