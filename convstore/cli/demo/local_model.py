"""A real small language model on this machine, as an upstream that speaks Chat Completions.

    python -m convstore.cli.demo.local_model GGUF PORT

The server is llama.cpp's own, in xllamacpp (the extra `convstore[local]`), on the CPU and on 127.0.0.1
only. It runs in a process of its own, so that its threads and its memory are gone when the demo ends. Any
GGUF file with a chat template will do.
"""

import signal
import sys
from typing import Any

from convstore.cli.demo.weights import MODEL_NAME

# Two slots share the context: 4096 tokens each, many times what the demo's conversations need.
CONTEXT_TOKENS = 8192
SLOTS = 2


def start(gguf: str, port: int) -> Any:
    """The running server; it listens when this returns, and lives as long as the returned object."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {MODEL_NAME}
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = SLOTS
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.use_jinja = True
    return xllamacpp.Server(params)


def main(gguf: str, port: int) -> None:
    """Serve the model until SIGTERM or SIGINT."""
    server = start(gguf, port)
    print(f"{MODEL_NAME} at {server.listening_address}/v1", flush=True)
    # The server offers no way to stop it: its threads end with the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
