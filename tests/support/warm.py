"""An interpreter that has loaded everything: what it runs starts without a second of imports.

`interpreter()` names a program that takes `-c PROGRAM ...` or `-m MODULE ...` as Python does. Output,
terminal, folder, environment, signals and exit code are those of a process of its own, but what runs is a
fork of one that was started once. At night it is `sys.executable`. That is also for tests that count what is
loaded, or kill with SIGKILL: the fork dies a moment after the program that stands for it.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import gc
import importlib
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

__all__ = ["interpreter"]

_ROOT = Path(__file__).parents[2]
_FIRST = ("aiohttp.web", "asyncpg", "openpyxl", "rich.progress", "uvloop", "xlsxwriter")
_FRONT = f"""#!{sys.executable} -IS
import os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(sys.argv[0]), "socket"))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
request = ascii((sys.argv[1:], os.getcwd(), dict(os.environ))).encode()
socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
server.sendall(request)
code = int(server.recv(8) or b"1")
if code < 0:
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@functools.cache
def interpreter() -> str:
    """The path of the program, which lasts as long as this process."""
    from hypothesis import settings

    if settings().max_examples >= 1000:
        return sys.executable
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    atexit.register(folder.cleanup)
    front = Path(folder.name, "python")
    front.write_text(_FRONT)
    front.chmod(0o755)
    command = [sys.executable, "-m", "tests.support.warm", folder.name]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, start_new_session=True)
    atexit.register(server.kill)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return str(front)


class _Server:
    """Forks for each who asks, and tells them how it ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._ready = selectors.DefaultSelector()
        self._ready.register(listener, selectors.EVENT_READ)
        self._ready.register(sys.stdin, selectors.EVENT_READ)
        self._fronts: dict[
            int, tuple[int, socket.socket]
        ] = {}  # by the descriptor that tells of a fork's end

    def serve(self) -> str:
        """Returns in a fork only, with what that fork has to run."""
        while True:
            for key, _ in self._ready.select():
                if key.fileobj is sys.stdin:  # who started us has ended
                    for child, _front in self._fronts.values():
                        os.kill(child, signal.SIGKILL)
                    os._exit(0)
                elif key.fileobj is self._listener:
                    request = self._fork()
                    if request is not None:
                        return request
                elif key.fd in self._fronts:
                    self._tell_end(key.fd)
                elif isinstance(key.fileobj, socket.socket):
                    self._pass_on(key.fileobj)

    def _fork(self) -> str | None:
        front, _ = self._listener.accept()
        size, descriptors, _, _ = socket.recv_fds(front, 4, 3)
        request = b""
        while len(request) < int.from_bytes(size, "big"):
            request += front.recv(1 << 16)
        child = os.fork()
        if child == 0:
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            os.closerange(3, max(descriptors) + 1)  # the selector, the listener, those of other forks
            return request.decode()
        for descriptor in descriptors:
            os.close(descriptor)
        end = os.pidfd_open(child)
        self._fronts[end] = (child, front)
        self._ready.register(end, selectors.EVENT_READ)
        self._ready.register(front, selectors.EVENT_READ)
        return None

    def _tell_end(self, end: int) -> None:
        child, front = self._fronts.pop(end)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._ready.unregister(end)
        os.close(end)
        with contextlib.suppress(KeyError):
            self._ready.unregister(front)
        with contextlib.suppress(OSError):
            front.send(str(code).encode())
        front.close()

    def _pass_on(self, front: socket.socket) -> None:
        """Signals; the end of the program is that of its fork."""
        child = next(child for child, one in self._fronts.values() if one is front)
        numbers = front.recv(16)
        if not numbers:
            self._ready.unregister(front)
        for number in numbers or [signal.SIGKILL]:
            os.kill(child, number)


def _load() -> None:
    import pandapon_async

    for name in _FIRST:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for module in pkgutil.walk_packages(pandapon_async.__path__, "pandapon_async."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)


def _run(request: str) -> None:
    (option, program, *arguments), folder, environment = ast.literal_eval(request)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    sys.path[0] = ""
    sys.argv[:] = [option, *arguments]
    code: int | None = None
    try:
        if option == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(program, "<string>", "exec"), vars(main))
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code
    # What a regular end does, without taking a thousand modules apart, which costs more than most programs.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def main() -> None:
    """Serve at a socket in the folder that is named."""
    _load()
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{sys.argv[1]}/socket")
    listener.listen(64)
    print("ready", flush=True)
    _run(_Server(listener).serve())


if __name__ == "__main__":
    main()
