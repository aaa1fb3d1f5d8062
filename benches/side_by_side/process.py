"""Processes that a run starts, and how they end: all of them, always."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import time


class Failed(Exception):
    """Something that the person at the terminal has to know, in words."""


_started = []


def end_all():
    while _started:
        _started.pop().end()


atexit.register(end_all)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def find(program):
    """Debian keeps servers where only root's PATH looks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    return shutil.which(program, path=path)


def need(program):
    found = find(program)
    if not found:
        raise Failed(f"{program} is not installed")
    return found


class Process:
    """One program with all its children, on the given processors."""

    def __init__(self, name, command, folder, cpus, env=None, cwd=None):
        self.name = name
        self.log = os.path.join(folder, name.replace(" ", "-") + ".log")

        def before():
            os.sched_setaffinity(0, cpus)

        # Appending, so that a log that is emptied begins at its start again.
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                preexec_fn=before,
                start_new_session=True,
            )
        self.pid = self.child.pid
        _started.append(self)

    def wait_for(self, port, seconds=30):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name} does not listen; the end of its log:\n{self.tail()}")

    def tail(self):
        with open(self.log, "rb") as log:
            return log.read()[-1500:].decode(errors="replace").strip()

    def empty_log(self):
        os.truncate(self.log, 0)

    def tree(self):
        """This process and everything below it."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        queue += [int(child) for child in children.read().split()]
            except OSError:
                continue
        return found

    def end(self):
        if self in _started:
            _started.remove(self)
        for what, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.child.poll() is not None:
                return
            try:
                os.killpg(self.pid, what)
                self.child.wait(patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def output(command, cpus=None, seconds=120):
    """What a program that ends by itself prints; its failure is an error."""
    before = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds, preexec_fn=before,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} did not end within {seconds} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise Failed(f"{command[0]} failed ({done.returncode}):\n{said}")
    return done.stdout + done.stderr


_began = time.monotonic()


def say(text):
    """Progress, with minutes and seconds since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _began), 60)
    print(f"{minutes:2}:{seconds:02} {text}", file=sys.stderr, flush=True)
