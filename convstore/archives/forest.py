"""Messages that name the one before them, as trees that can be walked.

Whatever is wrong with the links, each message stands in one place: one whose parent is missing begins a tree, and a
ring is cut where it was met first. Nothing here calls itself: a chain may be longer than a stack is deep.
"""

from collections.abc import Container, Iterator, Mapping, Sequence


def children_of(parents: Mapping[str, str | None], kept: Container[str]) -> dict[str | None, list[str]]:
    """The children of each message that is *kept*; under None those that begin. Siblings in the order of *parents*.

    What is not kept is passed over: its children are those of the next above it that is.
    """
    found: dict[str | None, list[str]] = {}
    above: dict[str, str | None] = {}
    for each, parent in _from_above(parents):
        anchor = above.get(parent) if parent is not None else None
        if each in kept:
            found.setdefault(anchor, []).append(each)
            above[each] = each
        else:
            above[each] = anchor
    return found


def _from_above(parents: Mapping[str, str | None]) -> Iterator[tuple[str, str | None]]:
    """Each message once with its parent, behind that one."""
    below: dict[str, list[str]] = {}
    roots = []
    for each, parent in parents.items():
        if parent is None or parent not in parents:
            roots.append(each)
        else:
            below.setdefault(parent, []).append(each)
    seen: set[str] = set()
    yield from _down(roots, below, seen)
    for each in parents:
        if each not in seen:
            yield from _down([_in_ring(each, parents)], below, seen)


def _down(roots: Sequence[str], below: Mapping[str, Sequence[str]], seen: set[str]) -> Iterator[tuple[str, str | None]]:
    ahead: list[tuple[str, str | None]] = [(root, None) for root in reversed(roots)]
    while ahead:
        each, parent = ahead.pop()
        if each not in seen:
            seen.add(each)
            yield each, parent
            ahead += [(child, each) for child in reversed(below.get(each, ()))]


def _in_ring(each: str, parents: Mapping[str, str | None]) -> str:
    """The message of the ring above *each* that is met first: nothing above it begins a tree."""
    passed: set[str] = set()
    while each not in passed:
        passed.add(each)
        each = parents[each] or each
    return each
