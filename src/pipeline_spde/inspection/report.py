"""What is found about a file: facts, provenance, problems and remarks, as text or JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Findings:
    """Filled while a file is looked at.

    Attributes:
        what: what the file is, in one line.
        facts: subject -> words, in the order of the report.
        provenance: attribute -> value, of files that this package wrote.
        problems: what is wrong, a sentence each.
        remarks: what to know; nothing is wrong.
    """

    what: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def problem(self, sentence: object, path: Path | None = None) -> None:
        """Add a problem once, without the path that messages of readers start with."""
        text = str(sentence)
        if path is not None:
            text = text.removeprefix(f"{path}: ")
        if text not in self.problems:
            self.problems.append(text)


@dataclass(frozen=True)
class Report:
    """What a file is, where it comes from, and what is wrong with it.

    Attributes:
        path: the file.
        what: what it is, in one line.
        facts: format, source, quantity, units, stamps, region, period, resolution, ensemble, …
        provenance: hashes of data and configuration, code version, seed, hardware, wall time.
        problems: what is wrong, a sentence each; empty for a sound file.
        remarks: what to know.
    """

    path: Path
    what: str
    facts: dict[str, str]
    provenance: dict[str, str]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True when nothing is wrong with the file."""
        return not self.problems

    def to_text(self) -> str:
        """Return the report for people."""
        lines = [f"{self.path}: {self.what}", *_table(self.facts)]
        if self.provenance:
            lines += ["provenance", *_table(self.provenance)]
        if self.problems:
            lines += [f"problems ({len(self.problems)})", *(f"  - {p}" for p in self.problems)]
        else:
            lines.append("no problem found")
        if self.remarks:
            lines += ["remarks", *(f"  - {remark}" for remark in self.remarks)]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "path": str(self.path),
            "what": self.what,
            "sound": self.sound,
            "facts": self.facts,
            "provenance": self.provenance,
            "problems": list(self.problems),
            "remarks": list(self.remarks),
        }


def _table(rows: dict[str, str]) -> list[str]:
    width = max((len(name) for name in rows), default=0)
    return [f"  {name:{width}}  {value}" for name, value in rows.items()]
