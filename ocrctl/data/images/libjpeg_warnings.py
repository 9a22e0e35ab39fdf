"""Capture the warnings that libjpeg prints on stderr, the only report of damage in the middle of a JPEG.

OpenCV decodes such a file without an error, part of it grey or shifted.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from types import TracebackType

from ocrctl.data.images import decode as images

_STDERR = 2
_TOGETHER = 32  # images decoded before stderr is checked, which takes a system call
_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG")


class DecoderWarnings:
    """Capture what C code writes to stderr while entered; `check` returns the warnings that mean a damaged image.

    For short sections in which nothing else writes to stderr. Other warnings, such as libpng's about colour profiles,
    are dropped: they name no file and are harmless.
    """

    def __enter__(self) -> DecoderWarnings:
        self._file = tempfile.TemporaryFile(buffering=0)
        self._stderr = os.dup(_STDERR)
        os.dup2(self._file.fileno(), _STDERR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.dup2(self._stderr, _STDERR)
        os.close(self._stderr)
        self._file.close()

    def check(self, data: bytes) -> str:
        """Return why `data` is not a complete, undamaged image, or ""."""
        problem, warning = images.decode_problem(data), self._new_warning()
        return problem or warning

    def check_all(self, encoded: Sequence[bytes]) -> list[str]:
        """Return what `check` returns for each of `encoded`. Where libjpeg reports something, the images around are
        checked once more, one by one."""
        problems: list[str] = []
        for start in range(0, len(encoded), _TOGETHER):
            some = encoded[start : start + _TOGETHER]
            found = images.decode_problems(some)
            if self._file.tell():
                self._new_warning()
                found = list(map(self.check, some))
            problems += found
        return problems

    def probe_sized(self, data: bytes, stated: tuple[str, int, int] | None) -> tuple[str, images.Image | None]:
        """Probe as `decode.probe_sized` does, and find why `data` is not an undamaged image."""
        problem, image = images.probe_sized(data, stated)
        warning = self._new_warning()  # always read, so that no warning is left for the next image
        return problem or warning, image

    def _new_warning(self) -> str:
        """Return the damage reported since the last call, or ""."""
        if not self._file.tell():  # the file offset is shared with stderr: 0 means that nothing was written
            return ""
        self._file.seek(0)
        lines = self._file.read().splitlines()
        self._file.seek(0)
        self._file.truncate()
        report = next((line.decode(errors="replace") for line in lines if line.startswith(_DAMAGE)), "")
        return f"the JPEG is damaged (libjpeg: {report})" if report else ""
