"""Learning rate and progress are functions of how far the run is."""

from __future__ import annotations

import pytest

import ocrctl.training.schedule as schedule_module
from ocrctl.config.settings import TrainSettings
from ocrctl.training.schedule import Progress, learning_rate


@pytest.mark.parametrize(
    ("schedule", "start", "end"), [("one-cycle", 0.04, 0.0), ("cosine", 0.0, 0.0), ("constant", 0.0, 1.0)]
)
def test_shape(schedule: str, start: float, end: float) -> None:
    train = TrainSettings(lr=1.0, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(0.0, 0.0, train) == pytest.approx(start)
    assert learning_rate(1.0, 0.0, train) == pytest.approx(1.0)
    assert learning_rate(1.0, 1.0, train) == pytest.approx(end)
    rates = [learning_rate(1.0, i / 100, train) for i in range(101)]
    assert rates == sorted(rates, reverse=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the schedule's clock shows; set the only item."""
    now = [0.0]
    monkeypatch.setattr(schedule_module.time, "monotonic", lambda: now[0])
    return now


def test_with_a_length_in_steps_the_clock_only_stops_the_run(clock: list[float]) -> None:
    train = TrainSettings(lr=1.0, max_minutes=1.0, warmup=0.1)
    rates = []
    for speed in (0.1, 5.0):  # seconds a step
        clock[0] = 0.0
        progress = Progress(train, 100)
        progress.begin()
        rates.append([])
        for step in range(100):
            clock[0] = step * speed
            rates[-1].append(progress.learning_rate(step))
            assert progress.over(step) == (step * speed >= 60)
    assert rates[0] == rates[1]
    assert max(rates[0]) == rates[0][10] == 1.0 and rates[0][9] < 1.0


def test_without_a_length_in_steps_the_schedule_follows_the_clock(clock: list[float]) -> None:
    progress = Progress(TrainSettings(lr=1.0, max_minutes=1.0, warmup=0.1), None, elapsed=3.0)
    assert progress.share(10**6) == 0.05 and progress.learning_rate(7) == pytest.approx(0.04 + 0.96 * 0.5)
    progress.begin()
    clock[0] = 3.0
    assert progress.state() == {"warmup_steps": None, "max_steps": None}
    assert progress.learning_rate(9) == 1.0 and progress.state()["warmup_steps"] == 9
    clock[0] = 30.0
    assert progress.learning_rate(12) == pytest.approx(learning_rate(1.0, 0.5, progress.train))
    assert progress.seconds_left(12) == 27.0
    assert progress.total_steps(11) == 20 and progress.total_steps(0) is None  # 33 of 60 seconds are over
    clock[0] = 57.0
    assert progress.over(1) and progress.learning_rate(13) == pytest.approx(0.0, abs=1e-12)


def test_a_longer_run_does_not_warm_up_again(clock: list[float]) -> None:
    train = TrainSettings(lr=1.0, warmup=0.1)
    short = Progress(train, 100)
    assert short.state()["warmup_steps"] == 10
    longer = Progress(train, 1000, warmup_steps=short.state()["warmup_steps"])
    assert longer.learning_rate(5) == short.learning_rate(5)
    assert longer.learning_rate(20) > 0.99  # with a tenth of the new length it would still be at a fifth
    slow = Progress(TrainSettings(lr=1.0, max_minutes=60.0, warmup=0.1), None, elapsed=60.0, warmup_steps=9)
    assert slow.learning_rate(20) == 1.0  # the clock's warm-up would be six minutes by now


def test_warmup_steps_stand_for_the_share() -> None:
    progress = Progress(TrainSettings(lr=1.0, warmup=0.5, warmup_steps=4, schedule="constant"), 100)
    assert [progress.learning_rate(step) for step in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert Progress(TrainSettings(lr=1.0, warmup=0.0), 100).learning_rate(0) == 1.0


def test_a_run_needs_an_end() -> None:
    with pytest.raises(ValueError, match="max_steps or max_minutes"):
        Progress(TrainSettings(), None)
    assert Progress(TrainSettings(), 10).seconds_left(0) == float("inf")
    assert Progress(TrainSettings(), 10).total_steps(0) == 10
    assert Progress(TrainSettings(), 10).over(10) and not Progress(TrainSettings(), 10).over(9)
