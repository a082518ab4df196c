"""Learning rates over a run, and the clock that says how far it is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from facekit.training.config import ScheduleConfig, TrainConfig
from facekit.training.schedules import Clock, rate


def config(**values: Any) -> TrainConfig:
    return TrainConfig.from_mapping({"recipe": "any", **values})


def test_a_cosine_warms_up_and_goes_down_to_its_floor() -> None:
    schedule = ScheduleConfig(warmup=0.1, warmup_from=0.2, floor=0.05)
    rates = [rate(schedule, share, 0) for share in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.2, 0.6, 1.0, 0.525, 0.05])
    falling = [rate(schedule, share / 100, 0) for share in range(10, 101)]
    assert falling == sorted(falling, reverse=True)


def test_steps_multiply_at_milestones() -> None:
    schedule = ScheduleConfig(kind="step", warmup=0, milestones=(0.5, 0.75), gamma=0.1)
    rates = [rate(schedule, share, 0) for share in (0.0, 0.49, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_a_warm_up_may_be_counted_in_steps() -> None:
    schedule = ScheduleConfig(kind="constant", warmup=4, warmup_from=1 / 3)
    rates = [rate(schedule, 0.5, step) for step in range(6)]
    assert rates == pytest.approx([0.5, 2 / 3, 5 / 6, 1, 1, 1])


def test_the_first_end_to_come_ends_the_run() -> None:
    assert Clock(config(epochs=3), 10).total_steps == 30
    assert Clock(config(epochs=3, steps=12), 10).total_steps == 12
    clock = Clock(config(max_minutes=1), 10, seconds=59)
    assert clock.total_steps is None
    assert not clock.is_over(10**9)
    clock.reserve = 2.0
    assert clock.is_over(0)


def test_progress_follows_whichever_end_is_nearer() -> None:
    ends = {"epochs": 10, "max_minutes": 1}
    clock = Clock(config(**ends), 10, seconds=30)
    assert (clock.progress(20), clock.progress(80)) == (0.5, 0.8)
    by_steps = Clock(config(**ends, schedule={"follow": "steps"}), 10, seconds=30)
    assert by_steps.progress(20) == 0.2
    by_time = Clock(config(**ends, schedule={"follow": "time"}), 10, seconds=30, reserve=10)
    assert by_time.progress(80) == 0.6
    assert clock.progress(1000) == 1


def test_time_goes_on_from_earlier_processes() -> None:
    clock = Clock(config(max_minutes=9, session_minutes=1), 10, seconds=100)
    clock.start()
    time.sleep(0.01)
    assert 100 < clock.tick() < 160
    assert not clock.is_session_over()
    clock.reserve = 60
    assert clock.is_session_over()
