"""Learning rate and progress are functions of how far the run is."""

from __future__ import annotations

import pytest

from ocrctl.config.settings import TrainSettings
from ocrctl.training.schedule import Progress, learning_rate


@pytest.mark.parametrize(
    ("schedule", "start", "end"), [("one-cycle", 0.04, 0.0), ("cosine", 0.0, 0.0), ("constant", 0.0, 1.0)]
)
def test_shape(schedule: str, start: float, end: float) -> None:
    train = TrainSettings(lr=1.0, warmup=0.1, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(0.0, train) == pytest.approx(start)
    assert learning_rate(0.1, train) == pytest.approx(1.0)
    assert learning_rate(1.0, train) == pytest.approx(end)
    rates = [learning_rate(i / 100, train) for i in range(10, 101)]
    assert rates == sorted(rates, reverse=True)


def test_progress_by_steps_and_by_clock() -> None:
    assert Progress(10, None).share(5) == 0.5
    assert Progress(10, None).share(20) == 1.0
    assert Progress(None, 1.0, elapsed=30.0).share(10**6) == pytest.approx(0.5, abs=0.01)
    assert Progress(10, 1.0, elapsed=54.0).share(1) == pytest.approx(0.9, abs=0.01)
    with pytest.raises(ValueError, match="max_steps or max_minutes"):
        Progress(None, None)
