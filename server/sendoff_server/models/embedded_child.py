"""The process of the embedded model: llama.cpp's HTTP server on a Unix socket.

    python -m sendoff_server.models.embedded_child WEIGHTS SOCKET SLOTS CONTEXT

The API key is in the environment as SENDOFF_LOCAL_KEY. One line `ready` on stdout, then it serves until stdin closes,
which also happens when the parent is killed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import xllamacpp

_NICENESS = 5  # the server's own process comes first


def main(weights: str, socket: str, slots: str, context: str) -> None:
    os.nice(_NICENESS)
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {"smollm2-135m"}
    params.hostnames = [socket]
    params.api_keys = [os.environ.pop("SENDOFF_LOCAL_KEY")]
    params.ui = False
    params.endpoint_slots = True
    params.n_parallel = int(slots)
    params.n_ctx = int(slots) * int(context)
    # More threads would spin at barriers and starve everything else on a small machine.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.verbosity = 1  # errors only
    params.n_threads_http = int(slots) + 2
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print("ready", flush=True)
    sys.stdin.buffer.read()
    del server
    shutil.rmtree(Path(socket).parent, ignore_errors=True)  # a parent that was killed cannot
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
