"""`/v1/jobs`: work that outlives its request, looked at, cancelled, tried again."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import deps, guard, json, principal, query
from convstore.domain import jsontext
from convstore.domain.job import Job
from convstore.schemas.jobs import ListJobs
from convstore.services import jobs
from convstore.services.jobs import Wanted
from convstore.services.principal import Right

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs", description="Work that outlives its request.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListJobs}])
@blueprint.response(200, description="A page of jobs.")
@guard(Right.READ)
def list_jobs() -> Response:
    """List the project's jobs."""
    asked = query(ListJobs)
    wanted = Wanted(asked.get("status"), asked.get("kind"))
    return json(paging.written(jobs.listed(deps(), principal().project_id, paging.page(asked), wanted)))


@blueprint.route("/<job_id>", methods=["GET"])
@blueprint.response(200, description="The job.")
@guard(Right.READ)
def get(job_id: str) -> Response:
    """Return a job: how it stands, how far it is, how it ended."""
    return _job(jobs.get(deps(), principal().project_id, job_id))


@blueprint.route("/<job_id>/cancel", methods=["POST"])
@blueprint.response(200, description="The job: cancelled when it was queued, asked to stop when it was running.")
@guard(Right.WRITE)
def cancel(job_id: str) -> Response:
    """Cancel a job that is queued or running."""
    return _job(jobs.cancel(deps(), principal().project_id, job_id))


@blueprint.route("/<job_id>/retry", methods=["POST"])
@blueprint.response(200, description="The job, queued again.")
@guard(Right.WRITE)
def retry(job_id: str) -> Response:
    """Try a job again that failed or was cancelled; what it has done counts."""
    return _job(jobs.retry(deps(), principal().project_id, job_id))


def _job(job: Job) -> Response:
    return json(jsontext.dumps(job.as_dict()))
