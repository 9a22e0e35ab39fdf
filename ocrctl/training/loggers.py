"""wandb and tensorboard, imported only when chosen; metrics.csv is written without them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ocrctl.config.settings import Settings
from ocrctl.errors import MissingRequirement


def check_logger(settings: Settings) -> None:
    """Raise MissingRequirement when the chosen logger is not installed."""
    name = settings.log.logger
    if name != "none" and find_spec(name) is None:
        raise MissingRequirement(
            f"log.logger is {name}, which is not installed.",
            hint=f"pip install 'ocrctl[{name}]', or --set log.logger=none",
        )


def extra_logger(settings: Settings, run: Path) -> Callable[[dict[str, float]], None]:
    """A function that takes one row of figures; `check_logger` came before."""
    name = settings.log.logger
    if name == "wandb":
        import wandb

        session = wandb.init(project="ocrctl", name=run.name, dir=str(run), resume="allow", id=run.name)

        def to_wandb(row: dict[str, float]) -> None:
            session.log({key: value for key, value in row.items() if key != "step"}, step=int(row["step"]))

        return to_wandb

    from torch.utils.tensorboard.writer import SummaryWriter

    writer = SummaryWriter(str(run / "tensorboard"))

    def to_tensorboard(row: dict[str, float]) -> None:
        for key, value in row.items():
            if key != "step":
                writer.add_scalar(key, value, int(row["step"]))
        writer.flush()

    return to_tensorboard
