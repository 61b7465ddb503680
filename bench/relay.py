"""The bare relay: the obvious way to stand between a client and a provider, and to store nothing.

Flask under gunicorn's gevent worker and a plain `requests.Session`. It is what convstore's costs are compared
with, so it is kept as a reader would write it: bodies go through as bytes, nothing is parsed, nothing is
tuned but the size of the pool. Run as `gunicorn -k gevent bench.relay:app` with `BENCH_UPSTREAM_URL` set.
"""

import os

import requests
from flask import Flask, Response, request
from requests.adapters import HTTPAdapter

UPSTREAM_URL = os.environ["BENCH_UPSTREAM_URL"]
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}

app = Flask(__name__)
session = requests.Session()
# 500 streams at once need as many connections; the default pool of 10 would throw most of them away.
session.mount("http://", HTTPAdapter(pool_maxsize=1000))


@app.post("/v1/responses")
def create() -> Response:
    """Ask the provider; pass its answer on, streamed if that was asked for."""
    body = request.get_data()
    streamed = b'"stream":true' in body
    reply = session.post(f"{UPSTREAM_URL}/responses", data=body, headers=HEADERS, stream=streamed, timeout=600)
    return Response(
        reply.iter_content(None) if streamed else reply.content,
        status=reply.status_code,
        content_type=reply.headers["Content-Type"],
    )


@app.get("/healthz")
def healthz() -> str:
    """Say that the worker is up."""
    return "ok"
