"""A certd that has everything imported, and forks a process for each run: `python -m tests.crash.forks SOCKET`.

What is forked is the real program from its command line on (`certd.cli.main.cli`), in a process of its own with its own
environment, output and descriptors; it can be killed as any other. Only the second of imports is saved, which is what
lets a matrix of hundreds of kills fit in a minute. Nothing may start a thread here before the fork.
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import certd
import certd_providers
from certd.cli.main import cli
from certd.model import steps
from tests.crash.tracing import trace

LARGEST_JOB = 65536
MOST_DESCRIPTORS = 8
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    pidfd: int
    reply: socket.socket  # where its end is told; closed at the other side, it is nobody's child


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.freeze()
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd not in selector.get_map():
                    continue  # its child has just been reaped
                if key.fileobj is channel:
                    if not _take_job(channel, selector):
                        return
                elif key.fileobj == key.data.pidfd:
                    _report(key.data, selector)
                else:
                    selector.unregister(key.fileobj)
                    os.kill(key.data.pid, signal.SIGKILL)


def _import_all() -> None:
    for package in (certd, certd_providers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def _take_job(channel: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Fork what is asked for; False when the tests have gone."""
    text, descriptors, _, _ = socket.recv_fds(channel, LARGEST_JOB, MOST_DESCRIPTORS)
    if not text:
        return False
    reply = socket.socket(fileno=descriptors[0])
    pid = os.fork()
    if pid == 0:
        _be_certd(json.loads(text), descriptors[1:])
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    child = _Child(pid, os.pidfd_open(pid), reply)
    reply.sendall(f"{pid}\n".encode())
    selector.register(child.pidfd, selectors.EVENT_READ, child)
    selector.register(reply, selectors.EVENT_READ, child)
    return True


def _report(child: _Child, selector: selectors.BaseSelector) -> None:
    selector.unregister(child.pidfd)
    os.close(child.pidfd)
    _, status = os.waitpid(child.pid, 0)
    with suppress(KeyError):
        selector.unregister(child.reply)
    with child.reply, suppress(OSError):  # nobody may wait for it any more
        child.reply.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _be_certd(job: dict[str, Any], descriptors: list[int]) -> None:
    """Never returns. `{0}` in an argument is the number of the first descriptor that was passed."""
    status = 70
    try:
        os.setsid()
        _end_with_the_tests()
        _redirect(job["output"])
        os.environ.clear()
        os.environ.update(job["environment"])
        sys.argv[:] = ["certd", *(text.format(*descriptors) for text in job["arguments"])]
        _set_trap(os.environ.get("CERTD_FP"), os.environ.get("TRACE"))
        if job["stopped"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        if job["program"]:
            os.execvp(job["program"][0], job["program"])  # noqa: S606 - of the tests' own
        status = cli(sys.argv[1:])
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end: this is the end
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_with_the_tests() -> None:
    """The kernel kills this process when the one that forked it ends, however that does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def _set_trap(point: str | None, path: str | None) -> None:
    """What `certd.model.steps` does when it is imported; or, for TRACE, notes instead of traps."""
    if point:
        steps.set_trap(steps.trap_from_environment(point))
    elif path:
        trace(path)


def _redirect(output: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(output, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives until the process ends
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115


if __name__ == "__main__":
    main()
