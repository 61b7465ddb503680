"""The file of an export, made piece by piece: whoever takes it is waited for without a connection to the database.

A piece is about a mebibyte. What is read for it is read in a look of its own at the store, so a file that is being made
holds up nobody, and exchanges that come meanwhile may be in it or not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice

from convstore.archives.native.writing import Native
from convstore.domain import manifest
from convstore.domain.archive import Archived, Document
from convstore.domain.exporting import FORMATS
from convstore.domain.manifest import Tally
from convstore.render.archive_page import Page
from convstore.render.markdown import Markdown
from convstore.render.parquet import Parquet
from convstore.render.table import Csv
from convstore.services import selecting
from convstore.services.deps import Deps
from convstore.services.selecting import Part, Wanted
from convstore.storage.archive import reading
from convstore.storage.archive.places import Place
from convstore.upstream.chat import training

PIECE = 2**20
# Exchanges read together. Their small items are held at once, big ones one exchange at a time.
TOGETHER = 200

_DOCUMENTS: dict[str, Callable[[], Document]] = {
    "jsonl": Native,
    "markdown": Markdown,
    "html": Page,
    "csv": Csv,
    "parquet": Parquet,
}


def check(format: str) -> None:
    """Raises FormatUnavailable where a format needs what is not installed."""
    if format in _DOCUMENTS:
        _DOCUMENTS[format]()


def pieces(deps: Deps, project_id: str, format: str, wanted: Wanted, tally: Tally) -> Iterator[bytes]:
    """The bytes of the file, with the manifest where it belongs at its end. tally: counts what has been given.

    Raises InvalidRequest, ContentUnreadable.
    """
    if format == "openai-chat":
        made = _threads(deps, project_id, wanted, tally)
    else:
        made = _document(deps, project_id, _DOCUMENTS[format](), wanted, tally)
    for piece in _gathered(made):
        yield tally.add(piece)
    if FORMATS[format].manifest:
        as_end = manifest.as_line if format == "jsonl" else manifest.as_comment
        yield as_end(tally.manifest())


def _document(deps: Deps, project_id: str, document: Document, wanted: Wanted, tally: Tally) -> Iterator[bytes]:
    writing = _Writing(document, tally)
    yield document.begin()
    for steps in _together(selecting.parts(deps, project_id, wanted, in_lanes=document.in_lanes)):
        yield from _written(deps, project_id, writing, steps)
    yield writing.end()


# A place in a conversation; none in one without exchanges.
_Step = tuple[Part, Place | None]


def _together(parts: Iterable[Part]) -> Iterator[list[_Step]]:
    """What is read together, of many small conversations or of a big one."""
    steps: list[_Step] = []
    for part in parts:
        for place in part.places or (None,):
            steps.append((part, place))
            if len(steps) == TOGETHER:
                yield steps
                steps = []
    yield steps


def _written(deps: Deps, project_id: str, writing: "_Writing", steps: Sequence[_Step]) -> Iterator[bytes]:
    """The file from one place to another. A connection is held no longer than until a piece is full."""
    at = 0
    while at < len(steps):
        pieces: list[bytes] = []
        size = 0
        with deps.database.reading(project_id) as scope:
            found = reading.read(scope, [place for _, place in steps[at:] if place is not None])
            for part, place in steps[at:]:
                at += 1
                piece = b"".join(writing.step(part, None if place is None else next(found)))
                pieces.append(piece)
                size += len(piece)
                if size >= PIECE:
                    break
        yield b"".join(pieces)


class _Writing:
    """A document, and the conversation that it is at."""

    def __init__(self, document: Document, tally: Tally) -> None:
        self._document = document
        self._tally = tally
        self._at: str | None = None

    def step(self, part: Part, archived: Archived | None) -> Iterator[bytes]:
        """An exchange of a conversation, which may be the first; None: that is gone by now, or there is none."""
        if part.conversation.id != self._at:
            yield self._ended()
            self._at = part.conversation.id
            self._tally.conversations += 1
            self._tally.branches += len(part.branches)
            yield self._document.conversation(part.conversation, part.title, part.branches)
        if archived is not None:
            _count(self._tally, archived)
            yield self._document.exchange(archived)

    def end(self) -> bytes:
        return self._ended() + self._document.end()

    def _ended(self) -> bytes:
        return self._document.conversation_end() if self._at is not None else b""


def _threads(deps: Deps, project_id: str, wanted: Wanted, tally: Tally) -> Iterator[bytes]:
    """A line for each thread, from the root to a tip; short ones are read together."""
    for some in _short(_every_path(selecting.parts(deps, project_id, wanted), tally)):
        read = _read(deps, project_id, [place for path in some for place in path], tally)
        for path in some:
            thread = [archived for archived in islice(read, len(path)) if archived is not None]
            line = training.line(thread)
            if line is not None:
                yield line if line.endswith(b"\n") else line + b"\n"


def _every_path(parts: Iterable[Part], tally: Tally) -> Iterator[list[Place]]:
    """Of one conversation at a time."""
    for _, group in groupby(parts, key=lambda part: part.conversation.id):
        tally.conversations += 1
        yield from paths([place for part in group for place in part.places])


def _short(every: Iterable[list[Place]]) -> Iterator[list[list[Place]]]:
    """As many as are no longer together than what is read together; a longer one alone."""
    some: list[list[Place]] = []
    for path in every:
        if some and sum(map(len, some)) + len(path) > TOGETHER:
            yield some
            some = []
        some.append(path)
    if some:
        yield some


def paths(places: Sequence[Place]) -> Iterator[list[Place]]:
    """The ways from a root to each of those that no other one continues."""
    own = {place.id: place for place in places}
    continued = {place.parent for place in places}
    for tip in places:
        if tip.id in continued:
            continue
        path, at = [], own.get(tip.id)
        while at is not None:
            path.append(at)
            at = own.get(at.parent) if at.parent is not None else None
        yield path[::-1]


def _read(deps: Deps, project_id: str, places: Sequence[Place], tally: Tally) -> Iterator[Archived | None]:
    for start in range(0, len(places), TOGETHER):
        with deps.database.reading(project_id) as scope:
            found = list(reading.read(scope, places[start : start + TOGETHER]))
        for archived in found:
            if archived is not None:
                _count(tally, archived)
            yield archived


def _count(tally: Tally, archived: Archived) -> None:
    tally.exchanges += 1
    tally.items += len(archived.input) + len(archived.output)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a size that is worth sending."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)
