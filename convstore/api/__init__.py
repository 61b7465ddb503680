"""The JSON doors. Every URL on one screen:

    POST    /v1/responses                        ask a model; JSON, or events with stream=true
    GET     /v1/responses                        only to refuse a WebSocket upgrade (426)
    GET     /v1/responses/{id}                   a stored response; its events with ?stream=true
    DELETE  /v1/responses/{id}                   hide it; what continues it keeps its history
    POST    /v1/responses/{id}/cancel            for background responses
    GET     /v1/responses/{id}/input_items       what stood in front of the model
    POST    /v1/responses/input_tokens           count without asking
    GET     /v1/models                           the union of the upstreams' models
    GET     /v1/models/{model}                   one of them
    GET     /healthz                             the process is up
    GET     /readyz                              the database is reachable and its schema current
    GET     /metrics                             Prometheus
    GET     /openapi.json                        this surface, as OpenAPI 3.1
    GET     /docs                                the same, to read and to try

Each module is one noun. A door is: route, guard, shape in, shape out, one sentence.
"""

from flask import Flask

from convstore.api import docs, errors, models, operations, requests, responses
from convstore.services.deps import Deps


def register(app: Flask, deps: Deps, *, max_body_bytes: int, strict_parameters: bool) -> None:
    """Hang the doors."""
    # An address with an empty part is a wrong one, not another spelling of a right one to be redirected to.
    app.url_map.merge_slashes = False
    requests.register(app, deps, max_body_bytes=max_body_bytes, strict_parameters=strict_parameters)
    errors.register(app)
    docs.register(app, [responses.blueprint, models.blueprint])
    app.register_blueprint(operations.blueprint)
