"""Trees of messages, cut into exchanges: what was asked, and the run of answers to it.

    a question with several answers       exchanges of one question, side by side
    an answer with several questions      children of its exchange
    an answer that goes on in several ways    the exchange ends there, and each way is a child that asks nothing

Every branch is kept, and a parent comes before its children.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from convstore.archives.pieces import Call, Piece, paired, unanswered
from convstore.domain.items import Item

# Questions that fork before anybody answers are told once for each branch. Nobody means that a hundred times over.
MOST_TOLD = 100
ALWAYS_TOLD = 10_000


class Tangled(ValueError):
    """The same questions would have to be told again and again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message: said by people (and by what speaks for them), or an answer. cut: why it ends before its end."""

    id: str
    is_answer: bool
    pieces: Sequence[Piece]
    moment: datetime | None = None
    model: str | None = None
    cut: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """An exchange to be: its messages, and their items with every call paired. parent: another's number."""

    number: int
    parent: int | None
    asked: Sequence[Message]
    answers: Sequence[Message]
    input: Sequence[Item]
    output: Sequence[Item]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A turn of which these questions are known, and the message that comes next."""

    next: str
    parent: int | None = None
    asked: tuple[Message, ...] = ()
    waiting: Sequence[Call] = ()


def turns(messages: Mapping[str, Message], children: Mapping[str | None, Sequence[str]]) -> Iterator[Turn]:
    """The exchanges of one conversation. Raises Tangled."""
    ahead = [_Begun(root) for root in reversed(children.get(None, ()))]
    number = told = 0
    while ahead:
        begun = ahead.pop()
        asked, following = _questions(begun, messages, children)
        told += len(asked)
        if told > MOST_TOLD * len(messages) + ALWAYS_TOLD:
            raise Tangled
        if len(following) > 1:
            ahead += [_Begun(each, begun.parent, asked, begun.waiting) for each in reversed(following)]
            continue
        answers, following = _answers(following, messages, children)
        turn, waiting = _turn(number, begun, asked, answers, goes_on=_goes_on(following, messages))
        yield turn
        ahead += [_Begun(each, number, (), waiting) for each in reversed(following)]
        number += 1


def _questions(
    begun: _Begun, messages: Mapping[str, Message], children: Mapping[str | None, Sequence[str]]
) -> tuple[tuple[Message, ...], Sequence[str]]:
    """The questions up to an answer, a fork or an end, and what follows them."""
    asked = list(begun.asked)
    following: Sequence[str] = (begun.next,)
    while len(following) == 1 and not messages[following[0]].is_answer:
        asked.append(messages[following[0]])
        following = children.get(following[0], ())
    return tuple(asked), following


def _answers(
    following: Sequence[str], messages: Mapping[str, Message], children: Mapping[str | None, Sequence[str]]
) -> tuple[list[Message], Sequence[str]]:
    answers: list[Message] = []
    while len(following) == 1 and messages[following[0]].is_answer:
        answers.append(messages[following[0]])
        following = children.get(following[0], ())
    return answers, following


def _goes_on(following: Sequence[str], messages: Mapping[str, Message]) -> bool:
    return any(messages[each].is_answer for each in following)


def _turn(
    number: int, begun: _Begun, asked: Sequence[Message], answers: Sequence[Message], *, goes_on: bool
) -> tuple[Turn, Sequence[Call]]:
    """The turn, and its calls that wait for an output: where the answer goes on, that may hold it."""
    taken, waiting = paired((piece for message in asked for piece in message.pieces), begun.waiting)
    if asked:
        # A question comes between: what was called for before it will not come.
        before = [call for call in waiting if call in begun.waiting]
        after = [call for call in waiting if call not in before]
        taken, waiting = [*unanswered(before), *taken, *unanswered(after)], []
    given, waiting = paired((piece for message in answers for piece in message.pieces), waiting)
    if not goes_on:
        given, waiting = [*given, *unanswered(waiting)], []
    return Turn(number, begun.parent, asked, answers, taken, given), waiting
