"""Lightning, imported without what it never needs here."""

from __future__ import annotations

import sys
from typing import Any


def import_lightning() -> None:
    """Import Lightning, telling torchmetrics that matplotlib is not there.

    torchmetrics, which Lightning imports, loads matplotlib where it is installed (a font package brings it along) to be
    able to draw: a tenth of the time to the first step, for images that nothing here asks for.
    """
    if "torchmetrics" in sys.modules:
        return
    from lightning_utilities.core import imports

    asked: Any = imports.RequirementCache

    class WithoutPlots(asked):  # type: ignore[misc]
        def __init__(self, requirement: str | None = None, module: str | None = None) -> None:
            super().__init__(requirement, module)
            if requirement == "matplotlib":
                self.available, self.message = False, "matplotlib is not loaded while training"

    imports.RequirementCache = WithoutPlots  # type: ignore[misc]
    try:
        import lightning.pytorch
    finally:
        imports.RequirementCache = asked  # type: ignore[misc]
    assert lightning.pytorch
