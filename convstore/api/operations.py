"""What operators and their machines ask: is it up, is it ready, what are the figures. Outside `/v1`, without a key."""

from flask import Blueprint, Response

from convstore.api.requests import deps, json
from convstore.domain import jsontext
from convstore.errors import ConvstoreError
from convstore.services import readiness
from convstore.telemetry import metrics

blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return json(b'{"status":"ok"}')


@blueprint.get("/readyz")
def readyz() -> Response:
    """The database is reachable, its schema is this version's, and jobs do not wait for a worker in vain."""
    try:
        found = readiness.check(deps())
    except ConvstoreError as error:
        return json(jsontext.dumps({"status": "not ready", "reason": error.message}), 503)
    shown = {"status": "ready" if found.is_ready else "not ready", "workers": found.workers}
    if found.reason is not None:
        shown["reason"] = found.reason
    return json(jsontext.dumps(shown), 200 if found.is_ready else 503)


@blueprint.get("/metrics")
def exposition() -> Response:
    """The figures of all processes of this node, and of the queue of jobs."""
    return Response(readiness.exposition(deps()), content_type=metrics.CONTENT_TYPE)
