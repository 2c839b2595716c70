"""Print the lowest minor version of every direct dependency, as constraints for pip.

    python tests/lowest.py > lowest.txt && pip install -c lowest.txt -e ".[test]"

`make test-lowest` makes an environment of them and runs the tests of daily use in it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(requirement: str) -> str | None:
    """Return `name~=lowest.0` of a requirement with a lower bound (4.0 allows 4.0.3), or None."""
    wanted = Requirement(requirement)
    bounds = [s.version for s in wanted.specifier if s.operator == ">="]
    return f"{wanted.name}~={bounds[0]}.0" if bounds else None


def constraints() -> list[str]:
    """Return the constraints of all direct dependencies of the package."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return sorted(line for name in project["dependencies"] if (line := lowest(name)))


if __name__ == "__main__":
    print("\n".join(constraints()))
