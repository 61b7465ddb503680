"""A worker asks an upstream for a background response, and records what comes of it.

A thread asks and reads; what it reads goes to the journal (writer.py). Meanwhile this one waits for the end of the
answer, or for the wish to cancel it: then the upstream is hung up on, whatever the thread is waiting for, and what had
arrived is recorded without it.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from convstore.domain.exchange import Ending
from convstore.domain.items import Item
from convstore.domain.stream import ResponseStream
from convstore.errors import ConvstoreError, Mistake, StorageUnavailable, UpstreamCut
from convstore.services import arrived
from convstore.services.hand import IN_PROGRESS, Hand, Lost
from convstore.services.streaming import translated
from convstore.services.turn import Turn
from convstore.services.writer import Outgoing, Stop
from convstore.storage.journals import Part
from convstore.telemetry import logs
from convstore.upstream.line import Line

# More parts than any response has.
ALL = 2**31 - 1
NAP_S = 0.1


@dataclass(slots=True)
class BackgroundTurn(Turn):
    """A turn whose end is recorded by whoever has it in hand, and by nobody else.

    rest: the events that are not on disk yet.
    """

    hand: Hand | None = None
    rest: Sequence[Part] = ()

    def _write(self, ending: Ending) -> None:
        assert self.hand is not None
        self.hand.record(self.beginning, ending, self.rest)


class Answering:
    """One call to an upstream."""

    def __init__(self, hand: Hand, turn: BackgroundTurn) -> None:
        exchange = hand.exchange
        self._hand = hand
        self._turn = turn
        self._writer = hand.deps.writer
        self._line = Line()
        self._stream = ResponseStream(exchange.id, exchange.input_count, turn.in_progress, hand.number + 1)
        self._stream.is_followed = False  # what goes out is saved as it is
        place = (hand.project.id, exchange.id, hand.deps.process, hand.part, hand.number)
        self._out = Outgoing(*place, self._stop, quick=hand.is_streamed)
        self._lock = threading.Lock()
        self._outcome: Stop | ConvstoreError | None = None
        self._over = threading.Event()

    def to_the_end(self) -> None:
        """Ask, wait, record. Raises Lost."""
        self._writer.open(self._out)
        threading.Thread(target=self._read, daemon=True).start()
        self._over.wait()
        self._turn.rest = self._writer.close(self._out)
        self._hand.part, self._hand.number = self._out.part, self._out.number
        try:
            self._record(self._outcome)
        except (Lost, StorageUnavailable):
            raise
        except Exception:
            # Another worker would make the same mistake: it is closed with what had arrived.
            logs.get().exception("answer_not_recorded", response_id=self._hand.exchange.id)
            self._turn.fail(Mistake(), self._told(), broke_off=True)

    def _record(self, outcome: Stop | ConvstoreError | None) -> None:
        turn, stream = self._turn, self._stream
        if outcome is Stop.LOST:
            raise Lost
        if outcome is Stop.CANCELLED:
            turn.cancel(self._told())
        elif isinstance(outcome, ConvstoreError):
            begun = self._out.number > IN_PROGRESS or bool(stream.upstream)
            turn.fail(outcome, stream.partial(), broke_off=begun, known=stream.upstream)
        else:
            assert stream.reply is not None
            turn.complete(stream.reply, stream.answer())

    def _told(self) -> list[Item]:
        """The output of everything that went to the journal. What the thread reads still, nobody has been told."""
        while True:
            try:
                parts = self._hand.deps.feeds.page(self._hand.exchange.id, -1, ALL)
                return arrived.output(part.events for part in (*parts, *self._turn.rest))
            except StorageUnavailable:
                time.sleep(NAP_S)

    # -- other threads ----------------------------------------------------------------------------------------

    def _stop(self, stop: Stop) -> None:
        """Told by the writer, in its own thread or in the one that reads."""
        if self._settle(stop):
            self._line.hang_up()

    def _settle(self, outcome: Stop | ConvstoreError | None) -> bool:
        """Say how it ended; None when the upstream has said its last word. Whoever is first is right."""
        with self._lock:
            if self._over.is_set():
                return False
            self._outcome = outcome
            self._over.set()
            return True

    def _read(self) -> None:
        """Ask the upstream and read its answer, as long as anybody wants it."""
        turn, answer = self._turn, None
        try:
            answer = turn.upstream.ask(turn.question, turn.attempts, self._line)
            self._out.begin()
            self._writer.news(self._out)
            for events in translated(self._stream, answer):
                if turn.first_event_at is None:
                    turn.first_event_at = turn.deps.clock()
                if not self._out.add(events, self._stream.sequence_number - 1):
                    return
                self._writer.news(self._out)
            self._settle(None if self._stream.reply is not None else UpstreamCut())
        except ConvstoreError as error:
            self._settle(error)
        except Exception:
            if self._settle(Mistake()):
                logs.get().exception("stream_failed", response_id=self._hand.exchange.id)
        finally:
            if answer is not None:
                # Nobody waits for this any more.
                if self._stream.reply is not None:
                    answer.reply.finish()
                answer.reply.close()
