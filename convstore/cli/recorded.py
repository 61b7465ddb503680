"""What is done at the command line, on record: whose account it was, and on which machine."""

import getpass
import socket
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from convstore import ids
from convstore.domain.audit import plain
from convstore.domain.calls import Call
from convstore.services import audit

Method = TypeVar("Method", bound=Callable[..., Any])
LONGEST = 64


def call(action: str, project_id: str | None = None, object_id: str | None = None) -> Call:
    """A call from here. project_id: where it is not known yet, services say so, or it is the installation's."""
    project = ids.pack(ids.PROJECT, project_id) if project_id is not None else None
    actor = plain(f"command line: {_user()}", LONGEST) or ""
    request_id = ids.pack(ids.REQUEST, ids.new(ids.REQUEST))
    remote = plain(socket.gethostname(), LONGEST)
    return Call(actor, action, project, object_id, remote=remote, request_id=request_id)


def as_call(action: str) -> Callable[[Method], Method]:
    """For the methods of a door: each is a call. What it is about is its first argument, where that is a text."""

    def decorate(method: Method) -> Method:
        @wraps(method)
        def recorded(self: Any, *given: Any, **more: Any) -> Any:
            about = given[0] if given and isinstance(given[0], str) else None
            with audit.calling(self.deps, call(action, self.project_id, about)):
                return method(self, *given, **more)

        return cast(Method, recorded)

    return decorate


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # An account without a name, as in some containers.
        return "?"
