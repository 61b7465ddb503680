"""What an exchange is called in our own routes: by its id, or by the name of a branch that points at it."""

from convstore import ids
from convstore.domain.exchange import Exchange
from convstore.errors import ResponseNotFound
from convstore.storage import branches, exchanges
from convstore.storage.scope import Scope


def exchange_id(scope: Scope, name: str) -> str:
    """The id of the exchange that *name* stands for, be it there or not. Raises ResponseNotFound for no such name."""
    if ids.pack(ids.EXCHANGE, name) is not None:
        return name
    branch = branches.get(scope, name)
    if branch is None:
        raise ResponseNotFound(name)
    return branch.tip_id


def exchange(scope: Scope, name: str) -> Exchange:
    """The exchange that *name* stands for, if clients can ask for it. Raises ResponseNotFound."""
    found = exchanges.get(scope, exchange_id(scope, name))
    if found is None:
        raise ResponseNotFound(name)
    return found
