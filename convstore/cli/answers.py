"""What a service says of files, held against what is relied on here: at its address anybody may answer."""

from collections.abc import Mapping
from typing import Any

from convstore.domain.exporting import FORMATS
from convstore.errors import ConvstoreError

Json = dict[str, Any]
Form = Mapping[str, type | tuple[type, ...]]
_NOTHING = type(None)
_EXPORT: Form = {
    "id": str,
    "format": str,
    "scope": str,
    "status": str,
    "job_id": (str, _NOTHING),
    "bytes": (int, _NOTHING),
    "manifest": (dict, _NOTHING),
}
_IMPORT: Form = {
    "id": str,
    "format": (str, _NOTHING),
    "status": str,
    "job_id": (str, _NOTHING),
    "counts": dict,
    "problems": list,
    "problems_left_out": int,
}
_PROBLEM: Form = {"place": str, "id": (str, _NOTHING), "reason": str, "message": str}
_JOB: Form = {"progress": dict, "error": (dict, _NOTHING)}
_PROGRESS: Form = {"done": int, "total": (int, _NOTHING)}
_ERROR: Form = {"message": str, "code": (str, _NOTHING)}
_PAGE: Form = {"data": list}


class NotAsExpected(ConvstoreError):
    """The service answered with something else than what it was asked for."""


def export(value: object) -> Json:
    """An export. Raises NotAsExpected, as all of these do."""
    found = _held(value, _EXPORT)
    if found["status"] == "completed" and found["manifest"] is None:
        raise NotAsExpected
    return found


def exports(value: object) -> Json:
    """A page of exports."""
    found = _held(value, _PAGE)
    for each in found["data"]:
        _held(each, _EXPORT)
    return found


def imported(value: object) -> Json:
    """An import, with what came of it."""
    found = _held(value, _IMPORT)
    for of in found["counts"].values():
        _held(of, {})
    for problem in found["problems"]:
        _held(problem, _PROBLEM)
    return found


def job(value: object) -> Json:
    """A job, with how far it is and how it failed."""
    found = _held(value, _JOB)
    _held(found["progress"], _PROGRESS)
    if found["error"] is not None:
        _held(found["error"], _ERROR)
    return found


def has_manifest(format: str) -> bool:
    """Whether the manifest of a file of this format stands in it."""
    return FORMATS[format].manifest


def _held(value: object, form: Form) -> Json:
    if not isinstance(value, dict):
        raise NotAsExpected
    for name, kind in form.items():
        if name not in value or not isinstance(value[name], kind):
            raise NotAsExpected
    return value
