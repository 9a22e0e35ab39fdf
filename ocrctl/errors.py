"""Every error a user can meet: one sentence that names the thing, its place and the mend, and its exit code."""

from __future__ import annotations


class OcrctlError(Exception):
    """Base of all expected failures; the command line prints `message` and `hint` and exits with `exit_code`."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckFailed(OcrctlError):
    """A check found something (preflight): exit 1."""

    exit_code = 1


class UsageError(OcrctlError):
    """Wrong flag, setting, name or combination: exit 2."""

    exit_code = 2


class PluginError(UsageError):
    """A plug-in that cannot be loaded, is incomplete, or fails: the message names its file."""


class UnknownSetting(UsageError):
    """A name that is no setting, such as `--set lr=1e-3`."""


class RenamedWarning(FutureWarning):
    """A setting or code was given by a name that changed; the old name works for one more release."""


class InputError(OcrctlError):
    """A file, image, label or checkpoint that cannot be read as what it should be: exit 3."""

    exit_code = 3


class MissingRequirement(OcrctlError):
    """The environment lacks what was asked for (CUDA, an extra): exit 4."""

    exit_code = 4


class ResumableStop(OcrctlError):
    """Stopped, with everything needed to go on saved (non-finite loss, out of memory, full disk): exit 5."""

    exit_code = 5
