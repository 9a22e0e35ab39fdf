"""What libjpeg prints on stderr: the only place where it tells of damage in the middle of a file.

opencv decodes such a file without complaint, part of it grey or shifted.
"""

from __future__ import annotations

import os
import tempfile
from types import TracebackType

from ocrctl.data.images import decode as images

_STDERR = 2
_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG")


class DecoderWarnings:
    """While entered, what C code writes to stderr is kept; `check` says what of it means a broken picture.

    Meant for short stretches in which nobody else writes there. Other warnings, such as libpng's about colour
    profiles, are dropped: they name no file and do no harm.
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
        """Why `data` is not a whole, undamaged image, or ""."""
        problem, warning = images.decode_problem(data), self._new_warning()
        return problem or warning

    def probe(self, data: bytes) -> tuple[str, images.Image | None]:
        """Why `data` is not a whole, undamaged image, or "", and what `images.look` decoded."""
        problem, image = images.probe(data)
        warning = self._new_warning()  # asked in any case, so that nothing is left for the next picture
        return problem or warning, image

    def _new_warning(self) -> str:
        """What the decoder has complained of since it was last asked."""
        if not self._file.tell():  # the place is shared with stderr, so 0 means that nothing was written
            return ""
        self._file.seek(0)
        lines = self._file.read().splitlines()
        self._file.seek(0)
        self._file.truncate()
        report = next((line.decode(errors="replace") for line in lines if line.startswith(_DAMAGE)), "")
        return f"the JPEG is damaged (libjpeg: {report})" if report else ""
