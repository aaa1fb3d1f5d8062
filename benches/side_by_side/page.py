"""RESULTS.md: everything that a run found, with what a reader needs to judge
it. What stands below the mark is written by hand and stays."""

import os

from . import report, targets
from .lineup import NAMES
from .report import number, table

MARK = "<!-- Below this line: written by hand, kept by the command. -->"


def _name(word):
    key, _, way = word.partition("/")
    return NAMES[key] + (", TLS" if way == "tls" and key != "tls" else "")


def _looks(results):
    once = results.data["once"]
    found = []
    if calls := once.get("syscalls"):
        rows = [
            [_name(key), number(seen["total"], 2),
             ", ".join(f"{name} {count}" for name, count in seen["each"].items() if count >= 0.05)]
            for key, seen in calls.items()
        ]
        found.append(("System calls per request", table(["HTTP/1.1, 1 KiB (strace)", "calls", "which"], rows)))
    if spent := once.get("instructions"):
        rows = [[_name(key), number(seen["per_request"], 0)] for key, seen in spent.items()]
        found.append(("User instructions per request", table(["HTTP/1.1, 1 KiB (callgrind)", "instructions"], rows)))
    if idle := once.get("idle"):
        rows = [
            [_name(key), number(seen["connections"], 0), number(seen["fresh_kib"] / 1024),
             number(seen["each_kib"])]
            for key, seen in idle.items()
        ]
        head = ["memory (PSS)", "connections", "fresh process MiB", "each idle connection KiB"]
        found.append(("Idle connections", table(head, rows)))
    if many := once.get("sessions"):
        kinds = (
            ("one session, known", "one"),
            (f"{number(many['count'], 0)} sessions in turn, the first request of each", "first"),
            (f"{number(many['count'], 0)} sessions in turn, of which the gateway holds {number(many['held'], 0)}", "again"),
            (f"{number(many['known_count'], 0)} sessions in turn, known", "known"),
        )
        rows = [
            [title, number(many[kind]["cpu_us"]), number(many[kind]["redis_us"]),
             number(many[kind]["redis_commands"], 2), number(many[kind]["requests"], 0)]
            for title, kind in kinds
        ]
        text = table(["CPU per request, Redis", "µs", "+ in Redis µs", "commands to Redis", "requests"], rows)
        text += (
            f"\n\nA session takes {number(many['redis_bytes_each'], 0)} bytes in Redis, all of its records "
            f"together, and {number(many['held_bytes_each'], 0)} bytes in the gateway while it is known. "
            "The gateway holds 256 MiB of them and reads the others when they are asked for."
        )
        found.append(("Many sessions", text))
    if memory := once.get("memory"):
        rows = [[_name(key), number(kib / 1024)] for key, kib in memory.items() if kib]
        found.append(("Memory after all this load", table(["process tree (PSS)", "MiB"], rows) + (
            "\n\nProcesses of one program share its pages, and each has its part: so the gateways, of which "
            "several run here, seem smaller than a fresh one by itself."
        )))
    return found


def sections(results):
    return [("Targets", targets.targets(results)), *report.tables(results), *_looks(results)]


def _machine(results):
    facts, settings = results.data["facts"], results.data["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['date']}. {facts['processor']}, {facts['memory']}, Linux {facts['kernel']}. {versions}.\n\n"
        f"{settings['rounds']} interleaved rounds of {settings['seconds']} s; constant rate: "
        f"{settings['rate']} requests per second. Measured with `{settings['command']}`; "
        "[how and why so](README.md)."
    )


def _left_out(results):
    lines = []
    for key, reason in results.data["left_out"].items():
        lines.append(f"- {NAMES[key]}: {reason.splitlines()[0]}")
    for failure in results.data["failures"]:
        lines.append(f"- failed: {failure.splitlines()[0]}")
    lines.append("- The forward-auth check by itself: the gateway does not have it yet.")
    return "\n".join(lines)


def sentence(results):
    """For the README: one sentence of figures, or nothing if some lack."""
    ratio = results.ratio
    found = [
        results.median("h1-1k", "signed-in"), ratio("h1-1k", "signed-in", "nginx"),
        ratio("tls-1k", "tls", "nginx"), ratio("h1-1k", "envoy-oauth2", "signed-in"),
        ratio("h1-1k", "apache-redis", "redis"),
    ]
    if None in found:
        return None
    cost, bare, tls, envoy, apache = found
    return (
        f"A request of somebody who is signed in takes {cost:.0f} µs of a processor: {bare:.2f} times what "
        f"nginx takes as a bare proxy, {tls:.2f} times with TLS on both; {envoy:.1f} times less than Envoy with "
        f"its OAuth2 filter, {apache:.0f} times less than Apache with mod_auth_openidc where both keep sessions in Redis."
    )


def write(results, path):
    by_hand = ""
    if os.path.exists(path):
        with open(path) as file:
            _, _, by_hand = file.read().partition(MARK)
    text = ["# What a request costs, side by side", _machine(results)]
    text.append(
        "Signed in, access log and metrics on, policy judged: that is the gateway here. "
        "“Paired” is the median of the ratios of each round."
    )
    for title, content in sections(results):
        text.append(f"## {title}\n\n{content}")
    text.append(f"## Left out\n\n{_left_out(results)}")
    text.append(MARK)
    with open(path, "w") as file:
        file.write("\n\n".join(text) + (by_hand or "\n"))
