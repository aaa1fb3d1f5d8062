"""The tables, for the terminal and for RESULTS.md."""

from . import shapes
from .lineup import NAMES


def number(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", " ")


def table(head, rows):
    """Markdown that also reads well as it is."""
    widths = [max(len(str(row[at])) for row in [head, *rows]) for at in range(len(head))]
    align = lambda row: "| " + " | ".join(
        str(cell).ljust(width) if at == 0 else str(cell).rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths))
    ) + " |"
    rule = "|" + "|".join(
        "-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths)
    ) + "|"
    return "\n".join([align(head), rule, *map(align, rows)])


def cost(results, shape):
    """CPU time per request of everybody in one shape."""
    rows = []
    has_redis = any(results.median(shape, key, "redis_us") for key in NAMES)
    for key, name in NAMES.items():
        if key == "direct" or not results.rounds(shape, key):
            continue
        row = [
            name,
            number(results.least(shape, key)),
            number(results.median(shape, key)),
            number(results.ratio_of_least(shape, key, "nginx"), 2),
            number(results.ratio(shape, key, "nginx"), 2),
            number(results.ratio(shape, key, "haproxy"), 2),
            number(results.median(shape, key, "switches"), 2),
        ]
        if has_redis:
            row.append(number(results.median(shape, key, "redis_us") or None))
            kept_there = results.median(shape, key, "redis_us")
            row.append(number(results.median(shape, key, "redis_commands") if kept_there else None, 2))
        rows.append(row)
    head = ["CPU per request", "min µs", "median µs", "÷ nginx (min)", "÷ nginx (paired)",
            "÷ HAProxy (paired)", "context switches"]
    if has_redis:
        head += ["+ in Redis µs", "commands to Redis"]
    return table(head, rows)


def latency(results):
    rows = []
    for key, name in NAMES.items():
        if not results.rounds("steady", key):
            continue
        added = [None, None] if key == "direct" else [
            results.added("steady", key, "direct", field) for field in ("p50_us", "p99_us")
        ]
        rows.append([
            name,
            number(results.median("steady", key, "p50_us"), 0),
            number(results.median("steady", key, "p99_us"), 0),
            *(number(value, 0) for value in added),
        ])
    return table(["latency from the time it was due", "p50 µs", "p99 µs", "added p50", "added p99"], rows)


def tables(results):
    """(title, Markdown) of everything that was measured in rounds."""
    found = []
    for key, shape in shapes.SHAPES.items():
        if results.data["samples"].get(key):
            found.append((shape.title, cost(results, key)))
            if key == "steady":
                found.append(("Latency at that rate", latency(results)))
    return found
