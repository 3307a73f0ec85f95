"""What was proven: counts per level, every cell's outcome, the largest errors seen."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from polyback.device import PROTOCOL
from polyback_conformance import __version__
from polyback_conformance.resolve import NotRun, Target

LEVELS: Final = {
    0: "package", 1: "memory", 2: "layout", 3: "elementwise", 4: "reduce, matmul",
    5: "semantics", 6: "frontend", 7: "features",
}  # fmt: skip


@dataclass
class Cell:
    """One claim that a device can make: an operation on a type, or a feature."""

    level: int
    op: str
    dtype: str
    claimed: bool
    required: bool
    outcome: str = "not run"

    def settle(self, outcome: str) -> None:
        """Take in one more test of this cell: a failure stays, a skip changes nothing."""
        if outcome == "failed":
            self.outcome = "failed"
        elif outcome == "passed" and self.outcome == "not run":
            self.outcome = "passed" if self.claimed else "refused"


@dataclass
class Tally:
    """Outcomes of the test items of one level."""

    passed: int = 0
    failed: int = 0
    not_run: int = 0  # left out (slow), not applicable, or not reached


@dataclass
class Score:
    """Everything known about one device."""

    target: Target
    seed: int
    caps: dict[str, Any] = field(default_factory=dict)
    tallies: dict[int, Tally] = field(default_factory=lambda: defaultdict(Tally))
    cells: dict[tuple[int, str, str], Cell] = field(default_factory=dict)
    ulp: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    k: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    open_cells: list[Cell] = field(default_factory=list)  # of the item that is running
    open_errors: list[tuple[str, str, str, float]] = field(default_factory=list)  # also of it
    why_not_run: list[str] = field(default_factory=list)
    chosen: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # items to run
    whole: bool = True  # False: only a part of the suite was asked for

    def claim(self, level: int, op: str, dtype: str, claimed: bool, required: bool) -> None:
        """Say what the running item is about; its outcome becomes the cell's."""
        cell = Cell(level, op, dtype, claimed, required)
        self.open_cells.append(self.cells.setdefault((level, op, dtype), cell))

    def saw_ulp(self, op: str, dtype: str, error: float) -> None:
        """Keep the largest error of a row."""
        self.open_errors.append(("ulp", op, dtype, float(error)))
        self.ulp[op][dtype] = max(error, self.ulp[op].get(dtype, 0.0))

    def saw_k(self, op: str, dtype: str, error: float) -> None:
        """Keep the largest K of a sum."""
        self.open_errors.append(("k", op, dtype, float(error)))
        self.k[op][dtype] = max(error, self.k[op].get(dtype, 0.0))

    def finish(self, level: int, outcome: str) -> None:
        """Count one item."""
        tally = self.tallies[level]
        self.chosen[level] -= 1
        if outcome == "passed":
            tally.passed += 1
        elif outcome == "failed":
            tally.failed += 1
        else:
            tally.not_run += 1
        for cell in self.open_cells:
            cell.settle(outcome)
        self.open_cells.clear()
        self.open_errors.clear()

    def stop(self) -> None:
        """The run is over: what was chosen and did not run (-x, an interrupt) is not run."""
        for level, left in self.chosen.items():
            if left > 0:
                self.tallies[level].not_run += left
                self.why_not_run.append("left out by -k or -m, or the run was stopped")
                self.whole = False
        self.chosen.clear()

    @property
    def unclaimed(self) -> list[Cell]:
        """Required cells that the device does not claim."""
        return [c for c in self.cells.values() if c.required and not c.claimed]

    def level_rows(self) -> list[dict[str, Any]]:
        """One row of numbers per level, for the table and the certificate."""
        rows = []
        for level in sorted(set(self.tallies) | {c.level for c in self.cells.values()}):
            cells = [c for c in self.cells.values() if c.level == level]
            rows.append(
                {"level": level, "name": LEVELS[level], **asdict(self.tallies[level]),
                 "claimed": sum(c.claimed for c in cells),
                 "required": sum(c.required for c in cells),
                 "refused": sum(c.outcome == "refused" for c in cells),
                 "total": len(cells)}
            )  # fmt: skip
        return rows

    def certificate(self) -> dict[str, Any]:
        """JSON-ready record of the run."""
        matrix: dict[str, dict[str, str]] = defaultdict(dict)
        for cell in self.cells.values():
            matrix[cell.op][cell.dtype] = cell.outcome
        return {
            "device": self.target.name,
            "description": self.target.description,
            "protocol": list(PROTOCOL),
            "suite": __version__,
            "seed": self.seed,
            "whole": self.whole,
            "caps": self.caps,
            "levels": self.level_rows(),
            "matrix": matrix,
            "required_unclaimed": [f"{c.op} {c.dtype}" for c in self.unclaimed],
            "max_ulp": {k: rounded(v) for k, v in sorted(self.ulp.items())},
            "max_k": {k: rounded(v) for k, v in sorted(self.k.items())},
        }

    def summary(self) -> list[str]:
        """Lines for the terminal; the last one is the score."""
        columns = ("passed", "failed", "not_run", "claimed", "required", "refused", "total")
        lines = [
            f"{self.target.name}: {self.target.description}",
            f"protocol {PROTOCOL[0]}.{PROTOCOL[1]}, suite {__version__}, seed {self.seed}",
            f"{'':20}{'-------- tests --------':>27}{'------------ claims ------------':>36}",
            f"{'level':20}" + "".join(f"{c.replace('_', ' '):>9}" for c in columns),
        ]
        for row in self.level_rows():
            name = f"L{row['level']} {row['name']}"
            lines.append(f"{name:20}" + "".join(f"{row[c]:9}" for c in columns))
        lines += [f"not run: {reason}" for reason in dict.fromkeys(self.why_not_run)]
        if self.unclaimed:
            missing = ", ".join(f"{c.op} {c.dtype}" for c in self.unclaimed)
            lines.append(f"required but not claimed: {missing}")
        if not self.whole:
            lines.append("this was a part of the suite: not a certificate")
        lines.append(self.last_line())
        return lines

    def last_line(self) -> str:
        """The score in one line."""
        passed = sum(t.passed for t in self.tallies.values())
        failed = sum(t.failed for t in self.tallies.values())
        worst = {op: v["float32"] for op, v in self.ulp.items() if "float32" in v}
        ulps = " ".join(f"{op} {e:.2g}" for op, e in sorted(worst.items(), key=lambda p: -p[1])[:8])
        ks = " ".join(f"{op} {v['float32']:.2g}" for op, v in self.k.items() if "float32" in v)
        return (
            f"conformance {self.target.name}: {passed} passed, {failed} failed, "
            f"{len(self.unclaimed)} required unclaimed; "
            f"max float32 ULP {ulps or '-'}; max K {ks or '-'}"
        )


def rounded(errors: dict[str, float]) -> dict[str, float]:
    """Three digits are enough, and keep certificates comparable."""
    return {k: float(f"{v:.3g}") for k, v in sorted(errors.items())}


def write_certificates(path: str, scores: list[Score], absent: list[NotRun]) -> None:
    """One object for one device, else a list."""
    records: list[Any] = [s.certificate() for s in scores]
    records += [{"device": a.name, "not_run": a.reason} for a in absent]
    Path(path).write_text(json.dumps(records[0] if len(records) == 1 else records, indent=1) + "\n")
