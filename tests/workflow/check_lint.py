"""`snakemake --lint` must be clean but for the findings allowed here, each with its reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    # none at present; add "title": "why it is right here"
}


def findings() -> list[str]:
    """Return 'file or rule: title' of every finding that is not allowed."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout[done.stdout.index("{") :]
    report = json.loads(text)
    found = []
    for kind in ("snakefiles", "rules"):
        for item in report.get(kind, []):
            name = item.get("for", {}).get("rule") or item.get("for", {}).get("snakefile")
            found += [
                f"{name}: {lint['title']}" for lint in item["lints"] if lint["title"] not in ALLOWED
            ]
    return found


if __name__ == "__main__":
    problems = findings()
    print("\n".join(problems) or "snakemake --lint: clean")
    sys.exit(bool(problems))
