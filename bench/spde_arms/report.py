"""Tables of a finished run: plain text for the terminal, Markdown for docs/speed.md."""

from __future__ import annotations

from typing import Any

BEGIN = "<!-- begin: tables written by bench/spde.py -->"
END = "<!-- end: tables written by bench/spde.py -->"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def seconds(value: float) -> str:
    """Return a time with three digits and a readable unit."""
    scale, unit = next((u for u in _UNITS if value >= u[0]), _UNITS[-1])
    return f"{value / scale:.3g} {unit}"


def _time(arm: dict[str, Any]) -> tuple[str, str]:
    """Return the median and the spread, or why there is none."""
    if arm["status"] != "run":
        return f"{arm['status']}: {arm['reason']}", ""
    median = seconds(arm["median"])
    low, high = seconds(arm["low"]), seconds(arm["high"])
    count = len(arm["cpu_s"])
    return ("≈ " if arm["scale"] != 1 else "") + median, f"{low} – {high} ({count})"


def _memory(arm: dict[str, Any]) -> str:
    return f"{arm['peak_mb']:.0f} MB" if "peak_mb" in arm else ""


def _margin(arm: dict[str, Any]) -> str:
    """Return the largest difference from the reference as a share of what is allowed."""
    checks = arm.get("gate", {}).values()
    shares = [check["error"] / check["tolerance"] for check in checks]
    return f"{max(shares):.0e} of the tolerance" if shares else ""


def case_rows(case: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of one case: arm, kind, gives, median, spread, peak memory."""
    rows: list[tuple[str, ...]] = []
    for arm in case["arms"]:
        median, spread = _time(arm)
        gives = arm["gives"] + (f" ({arm['note']})" if arm.get("note") else "")
        rows.append((arm["name"], arm["kind"], gives, median, spread, _memory(arm)))
    return rows


def text(record: dict[str, Any]) -> str:
    """Return the whole run as plain text."""
    lines = []
    for case in record["cases"]:
        lines.append(f"\n{case['title']} (per {case['per']})")
        rows = case_rows(case)
        for (name, kind, _, median, spread, memory), arm in zip(rows, case["arms"], strict=True):
            margin = _margin(arm)
            lines.append(
                f"  {name:<58} {kind:<13} {median:>10}  {spread:<28} {memory:>9}"
                + (f"  {margin}" if margin else "")
            )
    lines.append("\nExponents p of time ~ cells^p")
    for fit in record["exponents"]:
        cells = ", ".join(str(n) for n in fit["cells"])
        lines.append(f"  {fit['series']}: {fit['arm']}: {fit['exponent']:.2f} ({cells})")
    lines.append("\nRatios of medians")
    lines += [f"  {label}: {value} {target}" for label, value, target in _headlines(record)]
    return "\n".join(lines)


def _headlines(record: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for line in record["headlines"]:
        value = "not run" if line["ratio"] is None else f"{line['ratio']:.3g}×"
        target = ""
        if line["at_least"] is not None:
            target = f"≥ {line['at_least']:g}×"
        elif line["at_most"] is not None:
            target = f"≤ {line['at_most']:g}×"
        if line["met"] is not None:
            target += ": met" if line["met"] else ": missed"
        rows.append((line["label"], value, target))
    return rows


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return lines + ["| " + " | ".join(c.replace("|", "∣") for c in row) + " |" for row in rows]


def _conditions(run: dict[str, Any]) -> str:
    """Return one paragraph on how a run was made."""
    machine = run["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return (
        f"`{run['command']}`: seed {run['seed']}, {machine['architecture']}, "
        f"{machine['cores']} cores, threads used: {machine['threads']}. Load average "
        f"{machine['load_before']} before the run and {machine['load_after']} after it, "
        f"{run['wall_s']:.0f} s in all. {versions}."
    )


def _fit_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            fit["series"],
            fit["arm"],
            f"{fit['exponent']:.2f}",
            ", ".join(f"{n**0.5:.0f}" for n in fit["cells"]),
        )
        for fit in record["exponents"]
    ]


def markdown(record: dict[str, Any]) -> str:
    """Return the tables of docs/speed.md, between their two markers."""
    lines = [BEGIN]
    for run in record["runs"]:
        lines += [_conditions(run), ""]
    lines += ["### Ratios of medians", ""]
    lines += [*_table(("what", "ratio", "target"), _headlines(record)), ""]
    lines += [
        "### Exponents",
        "",
        "p of time ~ cells^p, by least squares over the sides given.",
        "",
    ]
    lines += _table(("series", "arm", "p", "sides"), _fit_rows(record))
    header = ("arm", "kind", "what the time includes", "median", "spread (samples)", "peak memory")
    for case in record["cases"]:
        title = f"### {case['title']} (per {case['per']})"
        lines += ["", title, "", *_table(header, case_rows(case))]
    return "\n".join([*lines, "", END]) + "\n"


def insert(document: str, tables: str) -> str:
    """Return a document with the text between the markers replaced, or the tables appended."""
    if BEGIN in document and END in document:
        before, rest = document.split(BEGIN, 1)
        return before + tables.rstrip("\n") + rest.split(END, 1)[1]
    return (document.rstrip("\n") + "\n\n" if document else "") + tables
