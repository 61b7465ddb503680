"""What exchanges hold: items without gaps, as many as they say, with bodies; first lines; calls and their outputs."""

from collections.abc import Callable, Collection, Iterator, Sequence

from convstore.domain import checkup as law
from convstore.domain import preview
from convstore.domain.checkup import Finding
from convstore.domain.exchange import ADDED
from convstore.domain.items import CALLS, OUTPUTS
from convstore.services.doctor.visit import Visit
from convstore.storage import exchanges, mending
from convstore.storage.checkup import UNFINISHED, Spot, contents
from convstore.storage.checkup.contents import Head, Outline
from convstore.storage.scope import Scope

_COUNT = "It says that {} of its items are input, and {} are."


def examine(visit: Visit, displaced: Collection[Spot]) -> Iterator[Finding]:
    """What is wrong inside of exchanges. displaced: places in disorder, of whose items nothing can be said yet."""
    for heads in visit.batches("contents", contents.heads):
        with visit.reading() as scope:
            items: dict[str, list[Outline]] = {each.id: [] for each in heads}
            for outline in contents.outlines(scope, list(items)):
                items[outline.exchange_id].append(outline)
        sound = [each for each in heads if (each.lane, each.depth) not in displaced]
        for head in heads:
            yield from _missing(visit, head, items[head.id])
        for head in sound:
            yield from _counted(visit, head, items[head.id])
        yield from _lines(visit, sound, items)
        yield from _open_calls(visit, sound, items)
        yield from _uncalled(visit, sound, items)


def _missing(visit: Visit, head: Head, items: Sequence[Outline]) -> Iterator[Finding]:
    for name in head.lacks:
        yield visit.finding("payload", head.id, f"The body that its {name} names is not there.")
    for each in items:
        if each.lacks:
            yield visit.finding("payload", head.id, f"The body of its item {each.position} is not there.")


def _counted(visit: Visit, head: Head, items: Sequence[Outline]) -> Iterator[Finding]:
    positions = [each.position for each in items]
    inputs = sum(not each.output for each in items)
    if not law.is_gapless(positions):
        sentence = f"Its {len(items)} items have the positions {_spoken(positions)}."
        yield visit.finding("gap", head.id, sentence)
    if inputs == head.input_count:
        return
    # With a gap, or with the last ones gone, the number is what is known of items that were lost.
    known = law.counted([each.output for each in items], head.input_count) if law.is_gapless(positions) else None
    finding = visit.finding("input_count", head.id, _COUNT.format(head.input_count, inputs), mendable=known is not None)
    yield visit.mended(finding, lambda scope: mending.set_input_count(scope, head.id, head.input_count, inputs))


def _spoken(positions: Sequence[int]) -> str:
    return ", ".join(map(str, positions[:10])) + (", …" if len(positions) > 10 else "")


# -- first lines ----------------------------------------------------------------------------------------------


def _lines(visit: Visit, heads: Sequence[Head], items: dict[str, list[Outline]]) -> Iterator[Finding]:
    lacking = [each for each in heads if _lacks_question(each, items[each.id]) or _lacks_answer(each, items[each.id])]
    if not lacking:
        return
    with visit.reading() as scope:
        bodies = contents.at(scope, [(each.lane, each.depth) for each in lacking])
    for head in lacking:
        kept = bodies.get((head.lane, head.depth), [])
        for column, output, of, is_there in (
            ("question", False, preview.of_question, head.question),
            ("answer", True, preview.of_answer, head.answer),
        ):
            line = of([each.item for each in kept if each.output == output])
            # One that says nothing has no first line.
            if is_there is None and line is not None:
                finding = visit.finding(column, head.id, f"It has no {column}, the first line.", mendable=True)
                yield visit.mended(finding, _filling(head, column, line))


def _filling(head: Head, column: str, line: str) -> Callable[[Scope], bool]:
    return lambda scope: mending.set_line(scope, head.id, column, line)


def _lacks_question(head: Head, items: Sequence[Outline]) -> bool:
    # What was added by hand was not asked.
    return head.question is None and head.origin != ADDED and any(not each.output for each in items)


def _lacks_answer(head: Head, items: Sequence[Outline]) -> bool:
    return head.answer is None and any(each.output for each in items)


# -- calls ----------------------------------------------------------------------------------------------------


def _open_calls(visit: Visit, heads: Sequence[Head], items: dict[str, list[Outline]]) -> Iterator[Finding]:
    calls = {each.id: _calls(items[each.id]) for each in heads if each.status not in UNFINISHED}
    calling = [own for own, called in calls.items() if called]
    if not calling:
        return
    answered: dict[str, tuple[str, set[str]]] = {}
    with visit.reading() as scope:
        for child in contents.children(scope, calling):
            # Nothing is kept of a child without input but that it was.
            if child.input_count:
                answered.setdefault(child.id, (child.parent_id, set()))[1].add(child.answered or "")
    for child_id, (own, outputs) in answered.items():
        for call_id in calls[own] - outputs:
            yield visit.finding(
                "open_call", own, f"Its call {call_id} has no output in {child_id}, which continues it."
            )


def _calls(items: Sequence[Outline]) -> set[str]:
    return {each.call_id for each in items if each.output and each.type in CALLS and each.call_id}


def _uncalled(visit: Visit, heads: Sequence[Head], items: dict[str, list[Outline]]) -> Iterator[Finding]:
    left = {each.id: (each, _brought(items[each.id])) for each in heads}
    left = {own: found for own, found in left.items() if found[1]}
    if not left:
        return
    with visit.reading() as scope:
        called = contents.calls_of_parents(scope, list(left))
        for own, (head, brought) in left.items():
            rest = {call_id for call_id in brought if (own, call_id) not in called}
            # Seldom: the call is further up. Then the whole thread is read, without bodies.
            for call_id in sorted(rest - _called_above(scope, head) if rest else ()):
                yield visit.finding("output_without_call", own, f"Nothing on its thread made the call {call_id}.")


def _brought(items: Sequence[Outline]) -> set[str]:
    """The calls that an exchange's inputs are outputs of, but for its own."""
    own: set[str | None] = set()
    found: set[str] = set()
    for each in items:
        if each.type in CALLS:
            own.add(each.call_id)
        elif each.type in OUTPUTS and not each.output and each.call_id and each.call_id not in own:
            found.add(each.call_id)
    return found


def _called_above(scope: Scope, head: Head) -> set[str | None]:
    if head.parent_id is None:
        return set()
    thread = exchanges.thread(scope, head.parent_id, bodies=False)
    return {each.item.call_id for each in thread if each.item.type in CALLS}
