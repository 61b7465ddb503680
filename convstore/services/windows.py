"""What of a thread has room in the window of the model that is asked."""

from collections.abc import Sequence

from convstore.domain import context, windows
from convstore.domain.context import ContextItem, Shown
from convstore.domain.items import OUTPUTS
from convstore.domain.request import CreateRequest
from convstore.errors import ContextTooLong
from convstore.upstream.client import Upstream


def fitted(request: CreateRequest, history: Sequence[ContextItem], upstream: Upstream) -> Shown:
    """What the model is shown: everything, or the newest turns that its window takes. Raises ContextTooLong."""
    shown = context.shown(history, request.items, upstream.name)
    window = _window(request, upstream, size=sum(map(len, shown.bodies)) + len(request.settings))
    if window is None:
        return shown
    kept = _newest(request, history, window)
    if len(kept) == len(history):
        return shown
    if not request.truncates:
        raise ContextTooLong
    rest = context.shown(kept, request.items, upstream.name)
    cut = len(history) - len(kept)
    return Shown(rest.bodies, cut + rest.dropped, cut)


def _window(request: CreateRequest, upstream: Upstream, size: int) -> int | None:
    """The window in tokens, when it is known and a context of *size* bytes may exceed it; else None.

    A token has at least one byte, so fewer bytes than that need no counting. Where nothing is to be left out and the
    window is not ours but the price library's, the upstream is the better judge of what just fits.
    """
    window = upstream.settings.context_window
    if size <= (window or windows.SMALLEST):
        return None
    if window is not None:
        return window
    window = windows.of_model(upstream.model_name(request.model), upstream.settings.url)
    if window is None or size <= window * (1 if request.truncates else windows.DENSE):
        return None
    return window


def _newest(request: CreateRequest, history: Sequence[ContextItem], window: int) -> list[ContextItem]:
    """The newest whole turns that fit beside the request itself. Raises ContextTooLong when not even that fits."""
    room = window - windows.of_texts(request.value("instructions"), request.value("tools"))
    room -= sum(windows.of_item(item.body) for item in request.items)
    if room < 0:
        raise ContextTooLong
    pieces = context.turns(history)
    # A call and its output stay together: what the request answers cannot be left out.
    needed = 1 if pieces and any(item.type in OUTPUTS for item in request.items) else 0
    kept: list[list[ContextItem]] = []
    for piece in reversed(pieces):
        room -= sum(windows.of_item(item.body) for item in piece)
        if room < 0:
            break
        kept.append(piece)
    if len(kept) < needed:
        raise ContextTooLong
    return [item for piece in reversed(kept) for item in piece]
