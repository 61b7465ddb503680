"""What operators and their machines ask: is it up, is it ready, what are the figures. Outside `/v1`, without a key."""

from flask import Blueprint, Response

from convstore.api.requests import deps, json
from convstore.domain import jsontext
from convstore.errors import ConvstoreError
from convstore.storage import migrations
from convstore.telemetry import metrics

blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return json(b'{"status":"ok"}')


@blueprint.get("/readyz")
def readyz() -> Response:
    """The database is reachable and its schema is this version's."""
    try:
        migrations.check(deps().database)
    except ConvstoreError as error:
        return json(jsontext.dumps({"status": "not ready", "reason": error.message}), 503)
    return json(b'{"status":"ready"}')


@blueprint.get("/metrics")
def exposition() -> Response:
    """The figures of all workers of this node."""
    return Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
