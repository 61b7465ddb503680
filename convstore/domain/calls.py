"""The call that is going on: who asks for what, and from where. What the audit log says of it is written once.

A door (or a command) opens it; the first transaction that changes something for it writes its entry, or else the door
does before it answers. A thread that is started meanwhile has no call of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from convstore.domain.audit import Entry, Outcome, plain

LONGEST_OBJECT = 255
LONGEST_AGENT = 60


@dataclass(slots=True)
class Call:
    """Who asks, what for, from where. project_id: whose log it is written to; None until it is known.

    is_written: an entry is on disk that says it was done. has_begun: it put an exchange on disk, whose end is another
    entry. is_over: it was answered; whoever was started meanwhile may hold it still.
    """

    actor: str
    action: str
    project_id: bytes | None = None
    object: str | None = None
    api_key_id: bytes | None = None
    remote: str | None = None
    agent: str | None = None
    request_id: bytes | None = None
    is_written: bool = False
    has_begun: bool = False
    is_over: bool = False

    def entry(self, entry_id: bytes, at: int, outcome: str = Outcome.DONE, detail: str | None = None) -> Entry:
        """What the log says of it."""
        return Entry(
            id=entry_id,
            at=at,
            actor=self.actor,
            action=self.action,
            outcome=str(outcome),
            object=plain(self.object, LONGEST_OBJECT),
            detail=detail,
            api_key_id=self.api_key_id,
            remote=self.remote,
            agent=plain(self.agent, LONGEST_AGENT),
            request_id=self.request_id,
        )


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """The call that is going on here."""
    call = _current.get()
    return None if call is None or call.is_over else call


def unwritten() -> Call | None:
    """The same, if its entry is still to be written."""
    call = current()
    return None if call is None or call.is_written else call


@contextmanager
def going_on(call: Call) -> Iterator[Call]:
    """While this lasts, what is done is done for this call."""
    token = _current.set(call)
    try:
        yield call
    finally:
        call.is_over = True
        _current.reset(token)


def about(object_id: str, project_id: bytes | None = None) -> None:
    """Say what the call that is going on is about, where its address does not."""
    call = unwritten()
    if call is not None:
        call.object = object_id
        call.project_id = project_id or call.project_id
