"""A folder of images that are written one by one and appear together: overlays and explanations of `predict`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ocrctl.data.images import Image
from ocrctl.errors import UsageError
from ocrctl.files.durable import cannot_write
from ocrctl.files.folder import Claim, claim
from ocrctl.inference.writers.overlay import png


class ImageFolder:
    """Write PNG files to `path`.partial, which `publish` renames to `path`; an interruption leaves it."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when `path` is a folder that is not empty."""
        self.path = path
        self._names: set[str] = set()
        self._claimed: Claim | None = None
        self._held = ExitStack()
        if path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path} exists already.", hint="choose another folder with -o")

    def __enter__(self) -> ImageFolder:
        """Create the partial folder. Raises UsageError when another process writes it, InputError when it cannot be
        written."""
        self._claimed = self._held.enter_context(claim(self.path, "predict"))
        self._claimed.begin()
        return self

    def __exit__(self, *error: object) -> None:
        """Release the folder; images written before an interruption stay in the partial folder."""
        if self._claimed is not None and not self._names:
            self._claimed.discard()
        self._held.close()

    def name(self, stem: str) -> str:
        """Return `stem`, with a number behind it where an earlier image has that name."""
        name, number = stem, 1
        while name.lower() in self._names:
            number += 1
            name = f"{stem}_{number}"
        self._names.add(name.lower())
        return name

    def write(self, name: str, image: Image) -> None:
        """Write RGB uint8 (H, W, 3) as `name`.png, in a folder of its own where `name` has one. Raises InputError or
        ResumableStop when it cannot be written."""
        assert self._claimed is not None
        target = self._claimed.partial / f"{name}.png"
        try:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(png(image))
        except OSError as failure:
            raise cannot_write(target, failure) from failure

    def publish(self) -> None:
        """Let the folder appear. Raises InputError or ResumableStop when it cannot be renamed."""
        assert self._claimed is not None
        try:
            self._claimed.publish()
        except OSError as error:
            raise cannot_write(self.path, error) from error
