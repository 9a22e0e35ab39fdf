"""Expected errors: one sentence that names the cause, its location and the fix, with an exit code each."""

from __future__ import annotations


class OcrctlError(Exception):
    """Base of all expected failures; the command line prints `message` and `hint` and exits with `exit_code`."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckFailed(OcrctlError):
    """A check failed (preflight): exit 1."""

    exit_code = 1


class UsageError(OcrctlError):
    """An invalid flag, setting, name or combination: exit 2."""

    exit_code = 2


class PluginError(UsageError):
    """A plug-in that cannot be loaded, is incomplete, or fails: the message names its file."""


class UnknownSetting(UsageError):
    """An unknown setting, such as `--set lr=1e-3`: exit 2."""


class RenamedWarning(FutureWarning):
    """A setting or code was given by a name that changed; the old name works for one more release."""


class InputError(OcrctlError):
    """An unreadable or invalid file, image, label or checkpoint: exit 3."""

    exit_code = 3


class MissingRequirement(OcrctlError):
    """A missing requirement of the environment (CUDA, an extra): exit 4."""

    exit_code = 4


class ResumableStop(OcrctlError):
    """Stopped with everything saved that is needed to resume (non-finite loss, out of memory, full disk): exit 5."""

    exit_code = 5


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 sample` or `2,000 samples`; `plural` where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
