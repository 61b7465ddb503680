"""Following a background response: its events from any number on, then live until its end, from any process.

What a follower gets is what is in the journal, in its order: every follower of a response sees the same events with the
same numbers, and the last one once. What is in the journal already is read page by page, what comes is a feed's
(feeds.py). A follower that leaves changes nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping

from convstore.errors import StorageUnavailable
from convstore.services.deps import Deps
from convstore.services.feeds import PAUSE_S, Feed
from convstore.storage.journals import Part
from convstore.telemetry import metrics

PAGE = 100
# After so long without news it is looked whether there can be any.
SILENCE_S = 15.0


class Follower:
    """One client that follows a response: an iterable of its events behind number *after*.

    part: the part behind which they are. missing: called when the journal is silent, with the number of the last event
    that was sent; what it returns is sent, and is the end.
    """

    def __init__(
        self, deps: Deps, response_id: str, after: int, part: int, missing: Callable[[int], bytes | None]
    ) -> None:
        self.response_id = response_id
        self.headers: Mapping[str, str] = {}
        self._feeds = deps.feeds
        self._number = after
        self._part = part
        self._missing = missing
        self._feed: Feed | None = None
        self._closed = False
        self._is_silent = False

    def __iter__(self) -> Iterator[bytes]:
        if self._closed:
            return
        metrics.FOLLOWERS.inc()
        try:
            yield from self._events()
        finally:
            metrics.FOLLOWERS.dec()
            self.close()

    def close(self) -> None:
        """The client has everything, or has gone."""
        self._closed = True
        feed, self._feed = self._feed, None
        if feed is not None:
            self._feeds.close(feed)

    def _events(self) -> Iterator[bytes]:
        is_answered = False
        for parts in self._parts():
            for part in parts:
                self._part = part.number
                events = self._new(part)
                if events:
                    is_answered = True
                    yield events
                if part.ended_at is not None:
                    return
            if not is_answered:
                # The head of the answer goes out: it may be long until there is an event.
                is_answered = True
                yield b""
            if self._is_silent and (rest := self._missing(self._number)) is not None:
                yield rest
                return

    def _parts(self) -> Iterator[list[Part]]:
        """The parts behind the one that was sent last, as they come; none of them when none came for long."""
        while len(page := self._page()) == PAGE:
            yield page
        yield page
        feed = self._feed = self._feeds.open(self.response_id, self._part)
        yield self._page()
        while True:
            parts = feed.after(self._part)
            if parts == []:
                feed.wait(self._part, SILENCE_S)
                parts = feed.after(self._part)
            parts = self._page() if parts is None else parts
            self._is_silent = not parts
            yield parts

    def _page(self) -> list[Part]:
        while True:
            try:
                return self._feeds.page(self.response_id, self._part, PAGE)
            except StorageUnavailable:
                # The client has been answered: it waits for the database with us.
                time.sleep(PAUSE_S)

    def _new(self, part: Part) -> bytes:
        """The events of a part that the client does not have yet."""
        if part.first is None or part.last is None or part.last <= self._number:
            return b""
        known, self._number = self._number - part.first + 1, part.last
        if known <= 0:
            return part.events
        # Between events, and nowhere else, stands an empty line.
        return b"\n\n".join(part.events.split(b"\n\n")[known:])
