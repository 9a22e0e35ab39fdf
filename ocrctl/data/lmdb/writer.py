"""Write an LMDB of word images: append-only, with a growing map, and the build's progress stored inside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

import lmdb

from ocrctl.data.lmdb.reader import image_key, label_key
from ocrctl.errors import InputError, ResumableStop

AGAIN = "free some space and run the command again"
FIRST_MAP = 256 << 20  # bytes; doubled whenever it is full
# Sorts before image-, so that images stay appendable while it exists. Removed when the file is complete.
STATE_KEY = b"build-state"
_LABELS_PER_COMMIT = 200_000


class LmdbWriter:
    """Write DIR/data.mdb. Images first, all labels at the end: every key then comes after the last one, which fills
    pages completely and never splits one.

    Commits are synced by LMDB, so a killed process or a full disk leaves the last commit readable. Not map-written
    (MDB_WRITEMAP): a full disk would then be a bus error instead of an exception.
    """

    def __init__(self, folder: Path, *, map_size: int = FIRST_MAP, full_disk_hint: str = AGAIN) -> None:
        """Open `folder`, made when missing; `full_disk_hint`: how to resume the command after a failed write.
        Raises InputError when it cannot be written or holds something else."""
        self.folder, self.full_disk_hint = folder, full_disk_hint
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._environment = lmdb.open(str(folder), map_size=map_size, lock=False, meminit=False, metasync=False)
        except (OSError, lmdb.Error) as error:
            raise InputError(f"{folder}: cannot be written ({error}).") from error
        state = self._get(STATE_KEY)
        self.state: dict[str, Any] | None = None if state is None else json.loads(state)
        self.written = 0 if self.state is None else int(self.state["written"])

    def append(
        self, images: Sequence[bytes], state: dict[str, Any] | None = None, filled: Callable[[], None] = lambda: None
    ) -> None:
        """Commit encoded images under the next numbers together with `state`, which a resumed build reads. `filled` is
        called when they are in memory pages and only the disk remains."""
        first = self.written + 1
        state = {**(state or {}), "written": self.written + len(images)}
        encoded = json.dumps(state).encode()

        def fill(transaction: lmdb.Transaction) -> None:
            transaction.cursor().putmulti(
                [(image_key(number), data) for number, data in enumerate(images, first)], append=True
            )
            transaction.put(STATE_KEY, encoded)
            filled()

        self._commit(fill)
        self.written, self.state = state["written"], state

    def finish(self, labels: Iterable[str]) -> None:
        """Commit the labels, one per image in the same order, and num-samples. The file is then complete."""
        texts = list(labels)
        if len(texts) != self.written:
            raise ValueError(f"{len(texts)} labels for {self.written} images")

        def fill(transaction: lmdb.Transaction, start: int, stop: int) -> None:
            items = [(label_key(number), label.encode()) for number, label in enumerate(texts[start:stop], start + 1)]
            # Not appended: a build stopped between two of these commits writes the first of them again.
            transaction.cursor().putmulti(items)
            if stop >= len(texts):
                transaction.put(b"num-samples", b"%d" % len(texts))
                transaction.delete(STATE_KEY)

        for start in range(0, len(texts), _LABELS_PER_COMMIT):
            self._commit(partial(fill, start=start, stop=start + _LABELS_PER_COMMIT))
        self._environment.sync(True)

    def images(self) -> Iterator[bytes]:
        """Yield the images written so far, in order."""
        with self._environment.begin() as transaction:
            for number in range(1, self.written + 1):
                data = transaction.get(image_key(number))
                assert data is not None  # append wrote it
                yield data

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._environment.close()

    def __enter__(self) -> LmdbWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, key: bytes) -> bytes | None:
        with self._environment.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def _commit(self, fill: Callable[[lmdb.Transaction], None]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    fill(transaction)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(self._environment.info()["map_size"] * 2)
            except lmdb.Error as error:
                raise ResumableStop(
                    f"{self.folder}: writing failed after {self.written} samples ({_reason(error, self.folder)}).",
                    hint=self.full_disk_hint,
                ) from error


class CommitThread:
    """Commit to a writer in a thread, one commit at a time: the next images are decoded while it waits for the disk.

    Not while it fills pages: LMDB's binding takes and releases the interpreter lock for each image, and two threads
    that compete for it spend more time than filling takes.
    """

    def __init__(self, writer: LmdbWriter) -> None:
        self.size = 0  # bytes added since the last `begin`
        self._writer = writer
        self._images: list[bytes] = []
        self._thread = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def add(self, images: Sequence[bytes]) -> None:
        """Add encoded images to the next commit."""
        self._images += images
        self.size += sum(map(len, images))

    def begin(self, state: dict[str, Any]) -> None:
        """Commit the added images with `state`. Waits for the previous commit and raises its error."""
        self.wait()
        filled = Event()
        self._running = self._thread.submit(self._append, self._images, state, filled)
        self._images, self.size = [], 0
        filled.wait()

    def _append(self, images: list[bytes], state: dict[str, Any], filled: Event) -> None:
        try:
            self._writer.append(images, state, filled.set)
        finally:
            filled.set()

    def wait(self) -> None:
        """Wait until the last commit is on the disk. Raises its error."""
        if self._running is not None:
            running, self._running = self._running, None
            running.result()

    def __enter__(self) -> CommitThread:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.wait()


def _reason(error: lmdb.Error, folder: Path) -> str:
    # LMDB reports a short write on a full disk as an input/output error.
    if shutil.disk_usage(folder).free < 1 << 20:
        return "the disk is full"
    return str(error).rpartition(": ")[2] or type(error).__name__
