"""Exports: put on record, made by a worker, downloaded from any node, and forgotten.

The file is kept in parts in the database, so that whoever is asked has it, and so that an erasure finds it: when
anything of the project is erased, what lies there goes, and what is being made is made anew.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from convstore import ids
from convstore.domain import calls, jsontext
from convstore.domain.exporting import Extent
from convstore.domain.job import Job
from convstore.domain.manifest import Tally
from convstore.domain.transfers import OPEN, PART, Export
from convstore.errors import ConvstoreError, InvalidRequest, NotFound
from convstore.services import exporting, jobs, paging, selecting
from convstore.services.deps import Deps
from convstore.services.history import Asked
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.services.running_job import RunningJob
from convstore.services.selecting import Wanted
from convstore.storage import exports, files

# What the engine calls it.
JOB = "export"


class ExportNotFound(NotFound):
    """No export with this id belongs to this project."""

    def __init__(self, export_id: str) -> None:
        super().__init__(f"Export with id '{export_id}' not found.")


class ExportHasNoFile(NotFound):
    """The export has no file."""

    code = "export_has_no_file"


class Erased(ConvstoreError):
    """Something was erased each time the file was made. Retry the job when that is over."""

    code = "interrupted_by_erasure"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. filters: as they were given, to be shown; asked: the same, checked."""

    format: str
    extent: Extent
    filters: Mapping[str, str]
    asked: Asked

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Request":
        """What was checked (schemas/exports.py)."""
        return cls(**{**given, "asked": Asked(**given["asked"])})


# -- for those who ask ----------------------------------------------------------------------------------------


def create(deps: Deps, principal: Principal, wanted: Request) -> Export:
    """Put an export on record, and its job in the queue. Raises InvalidRequest."""
    exporting.check(wanted.format)
    made = Export(
        id=ids.new(ids.EXPORT),
        format=wanted.format,
        scope=str(wanted.extent),
        status="queued",
        created_at=deps.clock(),
        filters={"given": dict(wanted.filters), "asked": wanted.asked.pack()} if wanted.filters else None,
        api_key_id=principal.key_id,
    )
    calls.about(made.id)
    with deps.database.writing(principal.project_id) as scope:
        job_id = jobs.enqueue(deps, scope, JOB, subject=made.id)
        exports.add(scope, replace(made, job_id=job_id))
    return get(deps, principal.project_id, made.id)


def get(deps: Deps, project_id: str, export_id: str) -> Export:
    """The export with this id. Raises ExportNotFound."""
    with deps.database.reading(project_id) as scope:
        found = exports.get(scope, export_id)
    if found is None:
        raise ExportNotFound(export_id)
    return found


def listed(deps: Deps, project_id: str, page: Page) -> Listing:
    """A page of the project's exports, as JSON. Raises InvalidRequest for a cursor that is none of them."""
    with deps.database.reading(project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and exports.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Export with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = exports.listed(
            scope, page.limit + 1, newest_first=page.order == "desc", after=page.after, before=page.before
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(each.id, as_json(each)) for each in chosen], has_more)


def delete(deps: Deps, project_id: str, export_id: str) -> None:
    """Take an export off the record, with its file; one that is being made is cancelled. Raises ExportNotFound."""
    found = get(deps, project_id, export_id)
    with deps.database.writing(project_id) as scope:
        exports.remove(scope, export_id)
    if found.status in OPEN and found.job_id is not None:
        # It may have ended meanwhile.
        with suppress(InvalidRequest, NotFound):
            jobs.cancel(deps, project_id, found.job_id)


def content(deps: Deps, project_id: str, export_id: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The bytes of its file from one place to before another. Raises ExportNotFound, ExportHasNoFile, at once."""
    found = get(deps, project_id, export_id)
    if found.status != "completed" or found.size is None:
        why = "is gone" if found.status == "expired" else f"is not there: the export is {found.status}"
        raise ExportHasNoFile(f"The file of '{export_id}' {why}.")
    return _content(deps, project_id, export_id, start, found.size if end is None else min(end, found.size))


def _content(deps: Deps, project_id: str, export_id: str, start: int, end: int) -> Iterator[bytes]:
    at = start
    while at < end:
        number, offset = divmod(at, PART)
        with deps.database.reading(project_id) as scope:
            part = files.part(scope, export_id, number)
        if part is None:
            # Erased or deleted meanwhile: whoever reads finds that it ends too early.
            raise ExportHasNoFile(f"The file of '{export_id}' is gone.")
        piece = part[offset : offset + end - at]
        yield piece
        at += len(piece)


def as_json(export: Export) -> bytes:
    """The API's form."""
    return jsontext.dumps(export.as_dict())


# -- the job --------------------------------------------------------------------------------------------------

# How often a file that an erasure has cut off is begun anew.
ATTEMPTS = 5


def work(deps: Deps, job: RunningJob) -> None:
    """Make the file. Raises Cancelled, HandedBack, Lost, InvalidRequest, StorageUnavailable, Erased."""
    with deps.database.reading(job.project_id) as scope:
        export = exports.get(scope, str(job.subject))
    if export is None or export.status == "completed":
        return
    with deps.database.writing(job.project_id, records=False) as scope:
        # It may have failed or been cancelled before.
        exports.reopen(scope, export.id)
    for _ in range(ATTEMPTS):
        if _made(deps, job, export):
            return
    raise Erased


def settle(deps: Deps, job: Job) -> None:
    """Say that it was cancelled or has failed."""
    with deps.database.writing(job.project_id, records=False) as scope:
        exports.close(scope, str(job.subject), job.status, deps.clock())


def forget(deps: Deps, project_id: str) -> int:
    """Drop the files that have been kept for long enough."""
    done = 0
    with deps.database.reading(project_id) as scope:
        due = exports.due(scope, deps.clock())
    for export_id in due:
        with deps.database.writing(project_id, records=False) as scope:
            done += exports.expire(scope, export_id)
    return done


def _made(deps: Deps, job: RunningJob, export: Export) -> bool:
    """Make the file once; False when an erasure came between, or nobody wants it any more."""
    with deps.database.writing(job.project_id, records=False) as scope:
        begun = exports.begin(scope, export.id)
    if begun is None:
        job.checkpoint()
        return True
    tally = Tally(export.format)
    wanted = _wanted(export)
    total = selecting.count(deps, job.project_id, wanted)
    number = size = 0
    for part in _parts(exporting.pieces(deps, job.project_id, export.format, wanted, tally)):
        job.checkpoint()
        with deps.database.writing(job.project_id, records=False) as scope:
            if not exports.write(scope, export.id, begun, number, part):
                return False
        number, size = number + 1, size + len(part)
        job.progress(tally.exchanges, total)
    now = deps.clock()
    with deps.database.writing(job.project_id, records=False) as scope:
        return exports.finish(scope, export.id, begun, tally.manifest(), size, now, now + deps.files_kept)


def _wanted(export: Export) -> Wanted:
    asked = Asked.unpack(export.filters["asked"]) if export.filters else None
    return Wanted(Extent(export.scope), asked=asked)


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in parts of one size, but for the last."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= PART:
            yield bytes(waiting[:PART])
            del waiting[:PART]
    if waiting:
        yield bytes(waiting)
