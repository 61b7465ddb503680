"""Imports: a file taken in by any node, brought in by a worker, and forgotten.

The file lies in parts in the database until it is brought in. A worker copies it to its own disk first (databases and
zips are read here and there), reads all of it once, so that damage is found before anything is kept, and then brings it
in. Each batch says in its own transaction how far it is: whoever takes over goes on there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import Any, BinaryIO

from convstore import ids
from convstore.archives import formats
from convstore.archives.renaming import renamed
from convstore.domain import calls, jsontext
from convstore.domain.archive import Record
from convstore.domain.job import Job
from convstore.domain.report import Report
from convstore.domain.transfers import PART, Import
from convstore.errors import BodyTooLarge, InvalidRequest, NotFound
from convstore.services import importing, jobs, paging, reindexing
from convstore.services.deps import Deps
from convstore.services.importing import Run
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.services.running_job import RunningJob
from convstore.storage import files, imports, llm_database
from convstore.storage.scope import Scope

# What the engine calls it.
JOB = "import"
KEEP, RENEW = "keep", "new"
# Where Linux shows a process the files that it has open.
_OPEN_FILES = Path("/proc/self/fd")


class ImportNotFound(NotFound):
    """No import with this id belongs to this project."""

    def __init__(self, import_id: str) -> None:
        super().__init__(f"Import with id '{import_id}' not found.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to bring a file in. format: None to tell by the file. ids: "keep", or "new" for a copy with ids of its own.

    dry_run: only say what would come of it.
    """

    format: str | None = None
    ids: str = KEEP
    dry_run: bool = False


# -- for those who ask ----------------------------------------------------------------------------------------


def create(deps: Deps, principal: Principal, wanted: Wanted, file: BinaryIO) -> Import:
    """Take a file in, and put the job that brings it in in the queue. Raises BodyTooLarge, InvalidRequest."""
    now = deps.clock()
    made = Import(
        id=ids.new(ids.IMPORT),
        status="uploading",
        created_at=now,
        format=wanted.format,
        ids=wanted.ids,
        dry_run=wanted.dry_run,
        api_key_id=principal.key_id,
        # Should the upload break off with its process, it is found by that.
        expires_at=now + deps.files_kept,
    )
    calls.about(made.id)
    with deps.database.writing(principal.project_id) as scope:
        imports.add(scope, made)
    try:
        size = _taken_in(deps, principal.project_id, made.id, file)
    except BaseException:
        with deps.database.writing(principal.project_id) as scope:
            imports.remove(scope, made.id)
        raise
    with deps.database.writing(principal.project_id) as scope:
        imports.arrived(scope, made.id, size, jobs.enqueue(deps, scope, JOB, subject=made.id))
    return get(deps, principal.project_id, made.id)


def _taken_in(deps: Deps, project_id: str, import_id: str, file: BinaryIO) -> int:
    size = number = 0
    while part := _part_of(file):
        size += len(part)
        if deps.max_import_bytes and size > deps.max_import_bytes:
            raise BodyTooLarge
        with deps.database.writing(project_id) as scope:
            files.add(scope, import_id, number, part)
        number += 1
    if not size:
        raise InvalidRequest("The body is empty: it should be the file to import.", code="invalid_file")
    return size


def _part_of(file: BinaryIO) -> bytes:
    part = bytearray()
    while len(part) < PART and (block := file.read(PART - len(part))):
        part += block
    return bytes(part)


def get(deps: Deps, project_id: str, import_id: str) -> Import:
    """The import with this id. Raises ImportNotFound."""
    with deps.database.reading(project_id) as scope:
        found = imports.get(scope, import_id)
    if found is None:
        raise ImportNotFound(import_id)
    return found


def listed(deps: Deps, project_id: str, page: Page) -> Listing:
    """A page of the project's imports, as JSON. Raises InvalidRequest for a cursor that is none of them."""
    with deps.database.reading(project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and imports.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Import with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = imports.listed(
            scope, page.limit + 1, newest_first=page.order == "desc", after=page.after, before=page.before
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(each.id, as_json(each)) for each in chosen], has_more)


def as_json(found: Import) -> bytes:
    """The API's form."""
    return jsontext.dumps(found.as_dict())


# -- a file on this machine -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Local:
    """A file that is brought in from where it lies. done, total: how much of it was read, in bytes or answers."""

    format: str
    total: int
    records: Iterator[Record]
    reading: formats.Reading

    @property
    def done(self) -> int:
        return self.reading.done()


@contextmanager
def opened(project_id: str, path: Path, wanted: Wanted, now: datetime) -> Iterator[Local]:
    """A file to be brought in. Raises Unreadable."""
    given = formats.reading(path, wanted.format, project_id=project_id, now=now, open_rows=llm_database.opened)
    with given as reading:
        records = reading.records
        if wanted.ids == RENEW:
            records = renamed(records, project_id)
        yield Local(reading.format, reading.total, records, reading)


def check(project_id: str, path: Path, wanted: Wanted, now: datetime) -> str:
    """Read all of a file and keep nothing. Returns its format. Raises Unreadable, where it is damaged."""
    return formats.check(path, wanted.format, project_id=project_id, now=now, open_rows=llm_database.opened)


# -- the job --------------------------------------------------------------------------------------------------


def work(deps: Deps, job: RunningJob) -> None:
    """Bring it in. Raises Cancelled, HandedBack, Lost, StorageUnavailable, and Unreadable: then nothing was kept."""
    with deps.database.reading(job.project_id) as scope:
        found = imports.get(scope, str(job.subject))
    if found is None or found.status == "completed":
        return
    _change(deps, job.project_id, found.id, status="in_progress", finished_at=None)
    wanted = Wanted(found.format, found.ids, found.dry_run)
    if found.dry_run:
        # What would be there by now is remembered by who looks, so whoever takes over begins at the beginning.
        found = replace(found, position=0, report={})
    with _spooled(deps, job, found) as path:
        if not found.position:
            kind = check(job.project_id, path, wanted, found.created_at)
            _change(deps, job.project_id, found.id, format=kind)
        job.checkpoint()
        with opened(job.project_id, path, wanted, found.created_at) as local:
            _bring(deps, job, found, local)
    if not found.dry_run:
        reindexing.after_import(deps, job.project_id)
    with deps.database.writing(job.project_id, records=False) as scope:
        imports.change(scope, found.id, status="completed", finished_at=deps.clock(), expires_at=None)
        files.drop(scope, found.id)


def settle(deps: Deps, job: Job) -> None:
    """Say that it was cancelled or has failed. Its file stays for a while, so that it can be tried again."""
    now = deps.clock()
    with deps.database.writing(job.project_id, records=False) as scope:
        found = imports.get(scope, str(job.subject))
        if found is not None and found.status != "completed":
            imports.change(scope, found.id, status=job.status, finished_at=now, expires_at=now + deps.files_kept)


def forget(deps: Deps, project_id: str) -> int:
    """Drop files that nobody needs any more. What came of them stays on record."""
    with deps.database.reading(project_id) as scope:
        due = [each for own in imports.due(scope, deps.clock()) if (each := imports.get(scope, own)) is not None]
    for each in due:
        with deps.database.writing(project_id, records=False) as scope:
            if each.status == "uploading":
                imports.remove(scope, each.id)
            else:
                files.drop(scope, each.id)
                imports.change(scope, each.id, expires_at=None)
    return len(due)


def _bring(deps: Deps, job: RunningJob, found: Import, local: Local) -> None:
    def note(scope: Scope, report: Report, position: int) -> None:
        imports.note(scope, found.id, report, position)

    def tell(position: int) -> None:
        job.progress(local.done, local.total, note=f"{position} records")
        job.checkpoint()

    arrival = importing.arrival(deps, found.id, found.created_at, local.format, found.api_key_id)
    report = Report.read(found.report)
    run = Run(job.project_id, arrival, found.dry_run, found.position, report, note, tell)
    importing.run(deps, run, local.records)


@contextmanager
def _spooled(deps: Deps, job: RunningJob, found: Import) -> Iterator[Path]:
    """The file on this machine's disk, for as long as it is needed.

    Where the system allows it under no name: a worker that is killed leaves nothing behind.
    """
    with _unnamed() as (spool, path):
        number = 0
        while True:
            job.checkpoint()
            with deps.database.reading(job.project_id) as scope:
                part = files.part(scope, found.id, number)
            if part is None:
                break
            spool.write(part)
            number += 1
        spool.flush()
        if not number:
            raise InvalidRequest("The file of this import is gone: send it again.", code="invalid_file")
        yield path


@contextmanager
def _unnamed() -> Iterator[tuple[Any, Path]]:
    if _OPEN_FILES.is_dir():
        with TemporaryFile() as spool:
            yield spool, _OPEN_FILES / str(spool.fileno())
    else:
        with NamedTemporaryFile(prefix="convstore-import-") as named:
            yield named, Path(named.name)


def _change(deps: Deps, project_id: str, import_id: str, **values: object) -> None:
    with deps.database.writing(project_id, records=False) as scope:
        imports.change(scope, import_id, **values)
