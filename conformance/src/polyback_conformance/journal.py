"""The journal of a run: one line per test that starts and ends, so that a run whose process dies
(a wrong backend may take it along) goes on in a new process where the old one stopped.

The file holds JSON lines: ``{"start": id}``, ``{"end": id, "device": ..., ...}`` with what the test
proved, ``{"finished": status}`` from a process that has run all tests, and
``{"died": id, "how": ...}``, written by the parent process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, final

from polyback_conformance.score import Score

MOST_DEATHS: Final = 10


@final
class Journal:
    """The file at ``path``: what earlier processes wrote, and room for more lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text() if path.exists() else ""
        self.entries: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def write(self, **entry: Any) -> None:
        """Append one line; it survives the death of this process."""
        self.entries.append(entry)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    @property
    def last(self) -> str:
        """The id of the test that started last: a process that died did so in it, or after it."""
        started = [e["start"] for e in self.entries if "start" in e]
        return str(started[-1]) if started else "(before the first test)"

    @property
    def finished(self) -> bool:
        """Did the last process come to the end of its tests?"""
        return bool(self.entries) and "finished" in self.entries[-1]

    @property
    def ended(self) -> dict[str, dict[str, Any]]:
        """Entries of the tests that need not run again, by id; death after the end counts too."""
        return {e.get("end") or e["died"]: e for e in self.entries if "end" in e or "died" in e}

    @property
    def deaths(self) -> int:
        """How many processes have died."""
        return sum("died" in e for e in self.entries)

    def problems(self) -> list[str]:
        """What failed in earlier processes, in lines for the terminal."""
        lines = []
        for name, entry in self.ended.items():
            if "died" in entry:
                lines.append(f"DIED {name} - {entry['how']}: the device took the process with it")
            elif entry["outcome"] == "failed":
                lines += [f"FAILED {name}", *entry["text"].splitlines()]
        return lines


def replay(entry: dict[str, Any], score: Score, level: int) -> None:
    """Count a test that ran in an earlier process as if it had run in this one."""
    for cell in entry.get("cells", ()):
        score.claim(*cell)
    for kind, op, dtype, error in entry.get("errors", ()):
        (score.saw_ulp if kind == "ulp" else score.saw_k)(op, dtype, error)
    score.finish(level, entry.get("outcome", "failed"))
    if entry.get("reason"):
        score.why_not_run.append(entry["reason"])
