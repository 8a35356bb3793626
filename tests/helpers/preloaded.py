"""Python processes that begin with torch, diffusers and open_clip imported, which takes five of their ten seconds.

A server imports them once and forks for every command, so that a page of many commands is executed as it stands in
less time. Nothing of the harness and nothing of pytest is imported before the fork. A process that is to be killed, or
whose imports are what is tested, is started as usual.
"""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELOADED = (
    *("torch", "torchvision", "open_clip", "transformers", "scipy.stats"),
    "diffusers.pipelines.flux.pipeline_flux",
)

_CLIENT = """#!{python} -SE
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
told = json.dumps(dict(cwd=os.getcwd(), environment=dict(os.environ), arguments={arguments!r} + sys.argv[1:])).encode()
streams = array.array("i", [0, 1, 2]).tobytes()
server.sendmsg([len(told).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
server.sendall(told)
sys.exit(int(server.recv(16) or b"125"))
"""


@contextmanager
def server(folder: Path) -> Iterator[Path]:
    """A server for the length of a ``with`` block; its socket is in ``folder``, whose path must be short."""
    path = folder / "python.socket"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.helpers.preloaded", str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield path
        finally:
            process.kill()


def write_command(file: Path, path: Path, *arguments: str) -> None:
    """An executable ``file`` that runs python with ``arguments`` and its own behind them, forked by the server."""
    file.write_text(_CLIENT.format(python=sys.executable, path=str(path), arguments=list(arguments)))
    file.chmod(0o755)


def _serve(path: str) -> None:
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(8)
    print("ready", flush=True)
    while True:
        client, _ = listening.accept()
        if os.fork():
            client.close()
            _reap()
            continue
        listening.close()
        code = _attend(client)
        client.sendall(str(code).encode())
        os._exit(0)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _attend(client: socket.socket) -> int:
    """Fork once more and wait, so that whatever happens to the command, its exit status is answered."""
    size, ancillary, *_ = client.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i", ancillary[0][2])
    told = bytearray()
    while len(told) < int.from_bytes(size, "big"):
        told += client.recv(2**16)
    child = os.fork()
    if not child:
        client.close()
        for standard, stream in enumerate(streams):
            os.dup2(stream, standard)
        _run(**json.loads(told))
    for stream in streams:
        os.close(stream)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256


def _run(cwd: str, environment: dict[str, str], arguments: list[str]) -> None:
    """What ``python ARGUMENTS`` does, of which only ``-m MODULE`` and ``FILE`` are known here."""
    import atexit
    import runpy

    os.chdir(cwd)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115 - to the end
    os.environ.clear()
    os.environ.update(environment)
    added = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:] = [*added, *(part for part in sys.path if part not in ("", str(ROOT), *added))]
    code: object = 0
    try:
        if arguments[0] == "-m":
            sys.argv[:] = arguments[1:]
            sys.path.insert(0, cwd)
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = arguments
            sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - shown as python shows it
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))


if __name__ == "__main__":
    _serve(sys.argv[1])
