"""Starts `dataset clean` and `dataset undo` again and again and kills each at a random moment (SIGKILL).

python kill_clean.py FOLDER ROUNDS: exits 0 when what every kill left was, once a command that changes the set began,
the old set or the new one, and when undo gave back every byte. Prints how many kills of each left what.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ocrctl.core.dataset import clean as dataset_clean
from ocrctl.core.dataset.clean import CleanOptions, clean_data, finish_changes, undo_clean
from ocrctl.data.formats.spec import open_annotations
from ocrctl.errors import InputError, UsageError
from ocrctl.files.journal import FOLDER, has_unfinished_change


def state(folder: Path) -> dict[str, bytes]:
    """Every file, the journal apart."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and FOLDER not in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def killed(work: Callable[[], object], seconds: float) -> None:
    """Run `work`, which writes a byte to `pipe` when it begins to write to disk, and kill it within `seconds` of it."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    os.read(pipe[0], 1)
    time.sleep(random.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def announced(name: str) -> None:
    """Make the function `name` of dataset_clean say when it starts."""
    function = getattr(dataset_clean, name)

    def announcing(*arguments: object) -> object:
        os.write(pipe[1], b"!")
        return function(*arguments)

    setattr(dataset_clean, name, announcing)


def timed(work: Callable[[], object]) -> float:
    """Seconds from the byte to the end."""
    begin = time.perf_counter()
    work()
    os.read(pipe[0], 1)
    return time.perf_counter() - begin


def main() -> None:
    """See the top of the file."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    random.seed(7)
    options = CleanOptions(str(folder), clamp=True, repair=True, remove_bad=True, decode=False)
    old = state(folder)
    announced("change")
    announced("undo")
    whole = timed(lambda: clean_data(options))
    new = state(folder)
    back = timed(lambda: undo_clean(str(folder)))
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        killed(lambda: clean_data(options), whole)
        outcomes[f"clean: {settle(folder, old, new)}"] += 1
        if state(folder) == old:
            clean_data(options)
            os.read(pipe[0], 1)
        killed(lambda: undo_clean(str(folder)), back)
        outcomes[f"undo: {settle(folder, old, new)}"] += 1
        try:
            undo_clean(str(folder))
            os.read(pipe[0], 1)
        except UsageError:
            pass
        assert state(folder) == old and not (folder / FOLDER).exists()
    print(json.dumps(outcomes))


def settle(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """What a kill left; a half is refused by who reads and finished by who changes."""
    decided = has_unfinished_change(folder)
    if decided:
        try:
            open_annotations(str(folder))
        except InputError:
            pass
        else:
            raise AssertionError("a half-done set was read")
    else:
        assert state(folder) in (old, new)
    mixed = state(folder) not in (old, new)
    finish_changes(str(folder))
    assert state(folder) in (old, new) and not has_unfinished_change(folder)
    return "a half, mended" if mixed else "decided, finished" if decided else "old" if state(folder) == old else "new"


if __name__ == "__main__":
    pipe = os.pipe()
    main()
