"""User instructions per request, from callgrind: exact but for a percent. The
difference of two run lengths, so that start and sign-in do not count."""

import glob
import os
import re
import time

from . import load
from .process import Failed, find, need, output

FEW, MANY = 500, 2500


def tool(folder):
    """The words before a server's command."""
    return (need("valgrind"), "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.%p")


def _spent(peer, folder):
    """Instructions since the last question."""
    pid = peer.process.pid
    dumps = f"{folder}/callgrind.{pid}.*"
    before = set(glob.glob(dumps))
    output([need("callgrind_control"), "-d", str(pid)])
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        for path in set(glob.glob(dumps)) - before:
            with open(path) as dump:
                found = re.search(r"^totals: (\d+)", dump.read(), re.M)
            if found:
                os.remove(path)
                return int(found.group(1))
        time.sleep(0.05)
    raise Failed("callgrind does not say what it counted")


def measure(peer, way, folder, cpus):
    if not find("valgrind"):
        raise Failed("valgrind is not installed")
    # The first requests pay for what is set up once.
    load.counted(peer, way, "/x", 200, cpus)
    _spent(peer, folder)
    load.counted(peer, way, "/x", FEW, cpus)
    few = _spent(peer, folder)
    load.counted(peer, way, "/x", MANY, cpus)
    many = _spent(peer, folder)
    return {"per_request": round((many - few) / (MANY - FEW))}
