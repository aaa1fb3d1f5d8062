"""What a process tree has used, from /proc: exact, without ticks."""

import os
import re


def _tasks(pids):
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            yield f"/proc/{pid}/task/{task}"


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


class Usage:
    """Time on a processor (ns) and context switches of each thread so far."""

    def __init__(self, process):
        self.threads = {}
        for task in _tasks(process.tree()):
            spent = _read(f"{task}/schedstat").split()
            switches = re.findall(r"ctxt_switches:\s+(\d+)", _read(f"{task}/status"))
            if spent and len(switches) == 2:
                self.threads[task] = (int(spent[0]), sum(map(int, switches)))

    def since(self, earlier):
        """(ns, switches). A thread that ended meanwhile takes its last
        milliseconds along; servers that are measured here keep theirs."""
        time = switches = 0
        for task, (now, now_switches) in self.threads.items():
            before, before_switches = earlier.threads.get(task, (0, 0))
            time += now - before
            switches += now_switches - before_switches
        return time, switches


def resident_kib(process):
    """Memory of the tree: shared pages count once (PSS)."""
    total = 0
    for pid in process.tree():
        found = re.search(r"^Pss:\s+(\d+)", _read(f"/proc/{pid}/smaps_rollup"), re.M)
        total += int(found.group(1)) if found else 0
    return total
