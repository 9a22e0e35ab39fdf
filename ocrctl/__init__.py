"""ocrctl: from raw annotated pictures to a trained, verified, exported, running OCR model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Engine", "PageReader", "__version__"]

if TYPE_CHECKING:
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
