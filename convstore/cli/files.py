"""Files that leave and come, through both doors: the database itself, and a service that runs somewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from convstore.cli import answers
from convstore.domain import jsontext, manifest
from convstore.domain.manifest import Tally
from convstore.domain.transfers import OPEN
from convstore.errors import ConvstoreError

if TYPE_CHECKING:
    from convstore.services.deps import Deps
    from convstore.services.principal import Principal
    from convstore.services.selecting import Wanted
    from convstore.upstream.peer import Answer, Peer

Json = dict[str, Any]
LOOK_EVERY_S = 0.25
# Told how much of a file is done, of how much (None: nobody knows).
Tell = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is to be exported: a conversation, what belongs to a response, or what filters find (everything, without).

    filters: as in a query string. scope: None for what is usual with the format.
    """

    format: str = "jsonl"
    scope: str | None = None
    conversation_id: str | None = None
    response: str | None = None
    filters: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file as it comes. manifest: what is to be said of it, once it is here."""

    pieces: Iterator[bytes]
    manifest: Callable[[], Json]


@dataclass(frozen=True, slots=True)
class Bringing:
    """How a file is to be brought in, as in the query of the API."""

    format: str | None = None
    ids: str = "keep"
    dry_run: bool = False


class Files(Protocol):
    """The part of a door (door.py) that files go through."""

    def export(self, wanted: Leaving, tell: Tell) -> AbstractContextManager[File]:
        """A file that leaves."""

    def bring(self, path: Path, wanted: Bringing, tell: Tell) -> Json:
        """A file brought in: what came of it."""

    def exports(self, limit: int) -> Json:
        """The newest exports on record."""

    def drop_export(self, export_id: str) -> None:
        """One less."""


# -- the database ---------------------------------------------------------------------------------------------


class LocalFiles:
    """See Files."""

    deps: "Deps"
    project_id: str
    _principal: "Principal"

    @contextmanager
    def export(self, wanted: Leaving, tell: Tell) -> Iterator[File]:
        from convstore.cli.recorded import call
        from convstore.services import audit, exporting, selecting

        action, about = _call(wanted)
        with audit.calling(self.deps, call(action, self.project_id, about)):
            exporting.check(wanted.format)
            chosen = self._chosen(wanted)
            total = selecting.count(self.deps, self.project_id, chosen)
        tally = Tally(wanted.format)

        def pieces() -> Iterator[bytes]:
            for piece in exporting.pieces(self.deps, self.project_id, wanted.format, chosen, tally):
                tell(tally.exchanges, total)
                yield piece

        yield File(pieces(), tally.manifest)

    def _chosen(self, wanted: Leaving) -> "Wanted":
        from convstore.schemas import exports as shapes
        from convstore.services import selecting
        from convstore.services.exports import Request

        asked = Request.of(shapes.request(wanted.format, wanted.scope, wanted.filters or {}))
        if wanted.conversation_id is not None:
            extent = shapes.extent(wanted.format, wanted.scope or "tree")
            return selecting.conversation(self.deps, self.project_id, wanted.conversation_id, extent)
        if wanted.response is not None:
            extent = shapes.extent(wanted.format, wanted.scope or "thread")
            return selecting.response(self.deps, self.project_id, wanted.response, extent)
        return selecting.Wanted(asked.extent, asked=asked.asked if wanted.filters else None)

    def bring(self, path: Path, wanted: Bringing, tell: Tell) -> Json:
        from convstore import ids
        from convstore.cli.recorded import call
        from convstore.services import audit, importing, imports, reindexing
        from convstore.services.importing import Run

        given, now = imports.Wanted(wanted.format, wanted.ids, wanted.dry_run), self.deps.clock()
        own = ids.new(ids.IMPORT)
        with audit.calling(self.deps, call("imports.create", self.project_id, own)):
            imports.check(self.project_id, path, given, now)
            with imports.opened(self.project_id, path, given, now) as local:
                arrival = importing.arrival(self.deps, own, now, local.format)
                run = Run(self.project_id, arrival, given.dry_run, tell=lambda _: tell(local.done, local.total))
                report = importing.run(self.deps, run, local.records)
                kind = local.format
            if not given.dry_run:
                reindexing.after_import(self.deps, self.project_id)
        return {"id": own, "object": "import", "status": "completed", "format": kind, **report.as_dict()}

    def exports(self, limit: int) -> Json:
        from convstore.cli.recorded import call
        from convstore.services import audit, exports
        from convstore.services.paging import Page

        with audit.calling(self.deps, call("exports.list", self.project_id)):
            found = exports.listed(self.deps, self.project_id, Page(limit=limit))
        return {"data": [jsontext.loads(written) for _, written in found.items], "has_more": found.has_more}

    def drop_export(self, export_id: str) -> None:
        from convstore.cli.recorded import call
        from convstore.services import audit, exports

        with audit.calling(self.deps, call("exports.delete", self.project_id, export_id)):
            exports.delete(self.deps, self.project_id, export_id)


def _call(wanted: Leaving) -> tuple[str, str | None]:
    """What the audit log calls it, as where it is asked for over HTTP; and what it is about."""
    if wanted.conversation_id is not None:
        return "exports.conversation", wanted.conversation_id
    if wanted.response is not None:
        return "exports.response", wanted.response
    return "exports.create", None


# -- a service ------------------------------------------------------------------------------------------------


class Unfinished(ConvstoreError):
    """The service did not bring it to its end."""


class GoesOn(KeyboardInterrupt):
    """Somebody stopped waiting. The message says what the service does all the same."""


class RemoteFiles:
    """See Files."""

    _peer: "Peer"

    @contextmanager
    def export(self, wanted: Leaving, tell: Tell) -> Iterator[File]:
        if wanted.conversation_id is not None or wanted.response is not None:
            yield self._arriving(self._one(wanted), wanted.format, tell)
            return
        body = {"format": wanted.format, "scope": wanted.scope, "filters": dict(wanted.filters or {})}
        made = answers.export(self._peer.post("/v1/exports", jsontext.dumps(body)).json())
        made = self._ended("/v1/exports", made, answers.export, tell)
        answer = self._peer.get(f"/v1/exports/{_part(made['id'])}/content")
        file = self._arriving(answer, wanted.format, tell)
        yield File(file.pieces, lambda: dict(made["manifest"]))

    def _one(self, wanted: Leaving) -> "Answer":
        if wanted.conversation_id is not None:
            path = f"/v1/conversations/{_part(wanted.conversation_id)}/export"
            return self._peer.get(path, format=wanted.format)
        path = f"/v1/responses/{_part(wanted.response or '')}/export"
        return self._peer.get(path, format=wanted.format, scope=wanted.scope)

    def _arriving(self, answer: "Answer", format: str, tell: Tell) -> File:
        """A file as it is sent. Where its manifest stands in it, it has to be there in the end."""
        tally, end = Tally(format), b""

        def pieces() -> Iterator[bytes]:
            nonlocal end
            for piece in answer.pieces():
                end = (end + piece)[-manifest.LONGEST :]
                yield tally.add(piece)
                tell(tally.size, None)
            if answers.has_manifest(format) and manifest.of_end(end) is None:
                raise self._peer.failed("broke its answer off")

        def said() -> Json:
            if (found := manifest.of_end(end)) is not None:
                return found[0]
            # What is in it only the service counts; what it is can be told here.
            told = tally.manifest()
            return {name: told[name] for name in ("object", "version", "format", "bytes", "sha256")}

        return File(pieces(), said)

    def bring(self, path: Path, wanted: Bringing, tell: Tell) -> Json:
        asked = {"format": wanted.format, "ids": wanted.ids, "dry_run": "true" if wanted.dry_run else None}
        query = {name: value for name, value in asked.items() if value is not None}
        try:
            made = answers.imported(self._peer.upload("/v1/imports", path, query=query).json())
        except KeyboardInterrupt:
            raise GoesOn("It was being sent: GET /v1/imports says whether all of it arrived.") from None
        return self._ended("/v1/imports", made, answers.imported, tell)

    def exports(self, limit: int) -> Json:
        return answers.exports(self._peer.get("/v1/exports", limit=limit).json())

    def drop_export(self, export_id: str) -> None:
        self._peer.delete(f"/v1/exports/{_part(export_id)}")

    def _ended(self, place: str, found: Json, read: Callable[[object], Json], tell: Tell) -> Json:
        """What is on record there, when its job has ended. Raises Unfinished, GoesOn."""
        path = f"{place}/{_part(found['id'])}"
        try:
            while found["status"] in OPEN:
                time.sleep(LOOK_EVERY_S)
                progress = self._job(found)["progress"]
                tell(progress["done"], progress["total"])
                found = read(self._peer.get(path).json())
        except KeyboardInterrupt:
            stop = f"POST /v1/jobs/{found['job_id']}/cancel stops it"
            raise GoesOn(f"{found['id']} goes on: GET {path} says how far it is, {stop}.") from None
        if found["status"] != "completed":
            error = self._job(found)["error"] or {}
            raise Unfinished(error.get("message") or f"{found['id']} is {found['status']}.", code=error.get("code"))
        return found

    def _job(self, found: Json) -> Json:
        return answers.job(self._peer.get(f"/v1/jobs/{_part(str(found['job_id']))}").json())


def _part(name: str) -> str:
    return quote(name, safe="")
