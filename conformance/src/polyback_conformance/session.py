"""One pytest run of the suite: which devices, which tests, what came out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from polyback_conformance import resolve
from polyback_conformance.journal import Journal, replay
from polyback_conformance.resolve import NotRun, Target
from polyback_conformance.score import LEVELS, Score, write_certificates


def level_of(item: pytest.Item) -> int:
    """The level that an item's module declares."""
    marker = item.get_closest_marker("conformance_level")
    assert marker is not None, f"{item.nodeid} has no level"
    return int(marker.args[0])


class Session:
    """Devices and their scores."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        option = config.option
        text = option.conformance_seed
        self.seed = random.SystemRandom().randrange(2**32) if text == "random" else int(text)
        self.level = option.conformance_level
        names = [n for given in option.conformance_device for n in given.split(",") if n]
        found: list[Target | NotRun] = [resolve.from_name(n) for n in names]
        found += [resolve.from_factory(spec) for spec in option.conformance_device_factory]
        if not found:
            raise pytest.UsageError("polyback_conformance: give --device or --device-factory")
        self.targets = [t for t in found if isinstance(t, Target)]
        self.absent = [t for t in found if isinstance(t, NotRun)]
        whole = self.level >= max(LEVELS) and not (option.keyword or option.markexpr)
        self.scores = {t.name: Score(t, self.seed, whole=whole) for t in self.targets}
        self.journal = Journal(Path(p)) if (p := option.conformance_journal) else None
        self.earlier = self.journal.problems() if self.journal else []

    def select(self, items: list[pytest.Item]) -> None:
        """Leave out what is above the level, and slow items unless asked for; count them."""
        kept, left = [], []
        ended = self.journal.ended if self.journal else {}
        for item in items:
            if item.get_closest_marker("conformance_level") is None:
                kept.append(item)
                continue
            if self._score(item) is None:  # no device at all: the absence is reported instead
                left.append(item)
                continue
            slow = item.get_closest_marker("slow") and not self.config.option.conformance_slow
            if level_of(item) > self.level or slow:
                left.append(item)
                score = self._score(item)
                if slow and score and level_of(item) <= self.level:
                    score.tallies[level_of(item)].not_run += 1
                    score.why_not_run.append("long sweeps; give --conformance-slow (--slow)")
                continue
            score = self._score(item)
            assert score is not None
            score.chosen[level_of(item)] += 1
            if item.nodeid in ended:  # by a process that died later
                replay(ended[item.nodeid], score, level_of(item))
                left.append(item)
            else:
                kept.append(item)
        if left:
            self.config.hook.pytest_deselected(items=left)
        first = self.config.option.conformance_first
        items[:] = sorted(kept, key=lambda i: first not in i.nodeid) if first else kept

    def _score(self, item: pytest.Item) -> Score | None:
        spec = getattr(item, "callspec", None)
        target = spec.params.get("lab") if spec else None
        return self.scores[target.name] if isinstance(target, Target) else None

    def saw(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Count an item once: when it fails anywhere, is skipped, or its call passes."""
        score = self._score(item)
        if score is None:
            return
        outcome = "failed" if report.failed else "not run" if report.skipped else "passed"
        if outcome == "passed" and report.when != "call":
            return
        reason, text = "", ""
        if outcome == "not run":
            longrepr = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            reason = str(longrepr).removeprefix("Skipped: ")
            score.why_not_run.append(reason)
        if self.journal:
            if outcome == "failed":
                text = report.longreprtext
            cells = [[c.level, c.op, c.dtype, c.claimed, c.required] for c in score.open_cells]
            self.journal.write(end=item.nodeid, outcome=outcome, reason=reason, text=text,
                               cells=cells, errors=score.open_errors)  # fmt: skip
        score.finish(level_of(item), outcome)

    def finish(self, session: pytest.Session) -> None:
        """Write the certificate; a device that was not there is not a success."""
        for score in self.scores.values():
            score.stop()
        path = self.config.option.conformance_json
        if path:
            write_certificates(path, list(self.scores.values()), self.absent)
        if self.earlier and session.exitstatus in (0, 5):
            session.exitstatus = 1
        if self.absent and session.exitstatus in (0, 5):
            session.exitstatus = 0 if self.config.option.conformance_allow_not_run else 1
        if self.journal:
            self.journal.write(finished=int(session.exitstatus))

    def report(self, terminal: Any) -> None:
        """The score of every device."""
        terminal.section("conformance")
        for line in self.earlier:
            terminal.write_line(line)
        for score in self.scores.values():
            for line in score.summary():
                terminal.write_line(line)
        for absent in self.absent:
            terminal.write_line(f"conformance {absent.name}: NOT RUN: {absent.reason}")
