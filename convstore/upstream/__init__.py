"""Model providers: how they are reached (requests, and nothing else) and what they are told.

transport.py    bytes there and back: pools, time-outs, errors
gevent_adapter.py   the same, cheaper, inside a gevent worker
dialects.py     the three ways an upstream is spoken to
chat/           the translation to Chat Completions and back
client.py       one upstream: attempts, retries, breaker
registry.py     all of them: which one serves a model, what models there are
"""
