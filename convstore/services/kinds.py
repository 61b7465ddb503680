"""Every kind of job on one screen. A name is stored with each job and never changes its meaning.

A worker takes only what it finds here: while a new version is rolled out, old workers leave the new kinds to new ones.
"""

from convstore.services import background, erasures, exports, imports, queued, replaying, replays, sweeping
from convstore.services.kind import Kind

KINDS: dict[str, Kind] = {
    queued.JOB: Kind(background.work, settle=background.settle, stop=background.stop),
    sweeping.JOB: Kind(sweeping.work, most=1),
    replays.JOB: Kind(replaying.work, settle=replaying.settle, stop=replaying.stop, most=8),
    # One at a time: it writes much, and SQLite's writers wait for each batch.
    erasures.JOB: Kind(erasures.work, settle=erasures.settle, most=1),
    exports.JOB: Kind(exports.work, settle=exports.settle, most=2),
    imports.JOB: Kind(imports.work, settle=imports.settle, most=1),
}
