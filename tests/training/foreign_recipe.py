"""A recipe whose loop is its own, needs no framework, and counts steps in a file."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import ClassVar

from facekit.errors import ConfigError
from facekit.training import Foreign, ForeignOptions, Job, Outcome


class CountOptions(ForeignOptions):
    steps: int
    signal_at: tuple[int, int] | None = None
    """The step in whose middle this process sends itself a signal, and which."""
    fails: str | None = None
    """How the loop breaks."""


class Count(Foreign):
    name: ClassVar[str] = "count"
    Options = CountOptions

    def __init__(self, options: CountOptions) -> None:
        super().__init__(options)
        if options.steps < 0:
            raise ConfigError("steps: there are no negative ones")
        if options.fails == "early":
            raise KeyError("a plain exception\nwith a second line")

    def train(self, job: Job) -> Outcome:
        file = job.work / f"count_{job.seed}.txt"
        step = len(file.read_text()) if job.resume and file.is_file() else 0
        if step >= self.options.steps:
            raise ConfigError(f"all {step} steps are over: give more steps")
        print("a framework's banner")  # noqa: T201 - as frameworks do
        if self.options.fails == "exit":
            sys.exit(3)
        if self.options.fails == "late":
            raise ValueError("a plain exception\nwith a second line")
        if not job.is_first:
            return Outcome(self.options.steps)
        return self._count(file, step, job)

    def _count(self, file: Path, step: int, job: Job) -> Outcome:
        for now in range(step + 1, self.options.steps + 1):
            if self.options.signal_at and now == self.options.signal_at[0]:
                signal.raise_signal(self.options.signal_at[1])
            file.write_text("x" * now)
            if job.should_stop():
                return Outcome(now, file, interrupted=True)
        return Outcome(self.options.steps, file, "count", float(self.options.steps))
