"""ocrctl: from raw annotated images to a trained, verified, exported, running OCR model."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Engine", "PageReader", "__version__"]

TYPE_CHECKING = False  # as type checkers know it; `typing` itself would be loaded before `__main__` can hear Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from ocrctl.inference.engine import Engine
    from ocrctl.inference.reader import PageReader


def __getattr__(name: str) -> Any:
    if name == "Engine":  # imported on first use: `ocrctl --help` must not pay for torch
        from ocrctl.inference.engine import Engine

        return Engine
    if name == "PageReader":
        from ocrctl.inference.reader import PageReader

        return PageReader
    raise AttributeError(f"module 'ocrctl' has no attribute {name!r}")
