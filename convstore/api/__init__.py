"""The JSON doors. Every URL on one screen:

    POST    /v1/responses                        ask a model; JSON, or events with stream=true
    GET     /v1/responses                        what was asked and answered: filtered, searched (426 for a WebSocket)
    GET     /v1/responses/{id}                   a stored response; its events with ?stream=true
    DELETE  /v1/responses/{id}                   hide it; what continues it keeps its history
    POST    /v1/responses/{id}/cancel            end a background response
    GET     /v1/responses/{id}/input_items       what stood in front of the model
    POST    /v1/responses/input_tokens           count without asking
    GET     /v1/responses/{id}/thread            the exchanges from the root to this one
    GET     /v1/responses/{id}/children          what continues it
    GET     /v1/responses/{id}/context           exactly what the model was shown
    GET     /v1/responses/{id}/cost              what it cost, and the path to it
    POST    /v1/responses/{id}/branch            its question again, with edits
    POST    /v1/responses/{id}/replay            its thread again, on other models
    GET     /v1/branches                         names for exchanges
    POST    /v1/branches                         a new one
    GET     /v1/branches/{name}                  one of them
    POST    /v1/branches/{name}                  move it, rename it
    DELETE  /v1/branches/{name}                  forget it
    GET     /v1/replays                          threads that were asked again
    GET     /v1/replays/{id}                     one of them, turn by turn
    POST    /v1/replays/{id}/cancel              stop it
    POST    /v1/conversations                    begin a conversation
    GET     /v1/conversations                    list them, with their titles
    GET     /v1/conversations/{id}/tree          the tree of its exchanges, with figures
    GET     /v1/conversations/{id}/cost          what it cost, in its parts
    GET     /v1/conversations/{id}/tips          those that nothing continues
    GET     /v1/conversations/{id}               a conversation
    POST    /v1/conversations/{id}               replace its metadata, or its title
    DELETE  /v1/conversations/{id}               hide it
    POST    /v1/conversations/{id}/items         add items by hand
    GET     /v1/conversations/{id}/items         what it holds, in one line
    GET     /v1/conversations/{id}/items/{item}  one of them
    DELETE  /v1/conversations/{id}/items/{item}  take it out
    GET     /v1/models                           the union of the upstreams' models
    GET     /v1/models/{model}                   one of them
    GET     /v1/diff                             two threads compared from where they parted
    POST    /v1/costs/reconcile                  a provider's bill against our figures
    GET     /v1/prices                           the price book: the project's prices and the installation's
    POST    /v1/prices                           name prices
    GET     /v1/prices/find                      which price applies to a model, the price library's among them
    DELETE  /v1/prices/{id}                      forget one
    GET     /v1/costs                            reports: groups of exchanges, and what they cost
    GET     /v1/budgets                          what may be spent, and what has been
    POST    /v1/budgets                          set a limit
    GET     /v1/budgets/{id}                     one of them
    DELETE  /v1/budgets/{id}                     lift it
    GET     /v1/retention/rules                  how long content and figures are kept
    POST    /v1/retention/rules                  a new rule
    GET     /v1/retention/rules/{id}             one of them
    POST    /v1/retention/rules/{id}             change it
    DELETE  /v1/retention/rules/{id}             forget it
    GET     /v1/retention/plan                   what would go now
    GET     /v1/holds                            what must be kept, whatever the rules say
    POST    /v1/holds                            keep it
    GET     /v1/holds/{id}                       one of them
    POST    /v1/holds/{id}/release               let go of it
    GET     /v1/audit                            who did what, when, from where
    GET     /v1/audit/head                       its newest entries, signed
    GET     /v1/audit/verify                     whether it is as it was written, and so are the exchanges
    POST    /v1/audit/verify                     the same, held against a head
    POST    /v1/erasures                         erase what somebody said, for good; or see what that would be
    GET     /v1/erasures                         what was erased
    GET     /v1/erasures/{id}                    one of them: the receipt
    GET     /v1/conversations/{id}/export        a conversation as a file: its whole tree
    GET     /v1/responses/{id}/export            the thread to a response as a file, or its whole tree
    POST    /v1/exports                          a file of many: what filters find, or everything
    GET     /v1/exports                          which there are
    GET     /v1/exports/{id}                     one of them: how far it is, its manifest
    DELETE  /v1/exports/{id}                     delete it
    GET     /v1/exports/{id}/content             its file
    POST    /v1/imports                          bring a file in: ours, ChatGPT's, Claude's, Chat Completions, llm's
    GET     /v1/imports                          which there were
    GET     /v1/imports/{id}                     one of them: how far it is, what came of it
    GET     /v1/jobs                             work that outlives its request
    GET     /v1/jobs/{id}                        one job
    POST    /v1/jobs/{id}/cancel                 stop it
    POST    /v1/jobs/{id}/retry                  try it again
    GET     /healthz                             the process is up
    GET     /readyz                              the database is reachable, its schema current, jobs are being run
    GET     /metrics                             Prometheus
    GET     /openapi.json                        this surface, as OpenAPI 3.1
    GET     /docs                                the same, to read and to try

Each module is one noun. A door is: route, guard, shape in, shape out, one sentence.
"""

from flask import Flask

from convstore.api import (
    audit,
    branches,
    budgets,
    conversations,
    costs,
    diff,
    docs,
    erasures,
    errors,
    exports,
    history,
    holds,
    imports,
    jobs,
    models,
    operations,
    prices,
    reconciliation,
    replays,
    requests,
    responses,
    retention,
    trees,
)
from convstore.services.deps import Deps


def register(app: Flask, deps: Deps, *, max_body_bytes: int, strict_parameters: bool) -> None:
    """Hang the doors."""
    # An address with an empty part is a wrong one, not another spelling of a right one to be redirected to.
    app.url_map.merge_slashes = False
    requests.register(app, deps, max_body_bytes=max_body_bytes, strict_parameters=strict_parameters)
    errors.register(app)
    asking = (responses, history, conversations, trees, branches, replays, diff)
    money = (costs, reconciliation, prices, budgets)
    keeping = (retention, holds, audit, erasures, exports, imports)
    nouns = (*asking, *money, *keeping, models, jobs)
    docs.register(app, [noun.blueprint for noun in nouns])
    app.register_blueprint(operations.blueprint)
