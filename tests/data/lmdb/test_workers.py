"""LMDB under DataLoader workers: the crash of environments inherited through fork, held away for good."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.data.formats import lmdb_words
from ocrctl.data.lmdb.reader import LmdbWords

ROOT = Path(__file__).parents[3]

# A process of its own: a crash must fail the test, not end it. Validation reads in the parent between the batches,
# which is what broke when workers shared its environment. Spawned workers start once per loader: each imports torch.
SCRIPT = """
import hashlib, sys
from torch.utils.data import DataLoader
from ocrctl.data.lmdb.reader import LmdbWords

class Words:
    def __init__(self, path):
        self.words = LmdbWords(path)
    def __len__(self):
        return len(self.words)
    def __getitem__(self, index):
        return index, self.words.labels[index], hashlib.sha1(self.words.image_bytes(index)).hexdigest()

def main(path, method):
    data, second = Words(path), LmdbWords(path)
    expected = [data[index] for index in range(len(data))]
    for workers, pin in [(0, False), (2, False), (2, True), (4, True)]:
        if method == "spawn" and (workers, pin) == (2, False):
            continue
        options = {"multiprocessing_context": method, "persistent_workers": method == "spawn"} if workers else {}
        loader = DataLoader(data, 8, num_workers=workers, pin_memory=pin, collate_fn=list, **options)
        for epoch in range(3):
            seen = []
            for batch in loader:
                seen += batch
                assert second.image_bytes(len(seen) % len(data)) and data[0] == expected[0]
            assert seen == expected, (workers, pin, epoch)
    print("identical")

if __name__ == "__main__":
    if sys.argv[2] == "forkserver":
        import multiprocessing
        multiprocessing.set_forkserver_preload(["torch", "ocrctl.data.lmdb.reader"])
    main(*sys.argv[1:])
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lmdb") / "out"
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 100, 3), dtype=np.uint8) for _ in range(60)]
    samples = [(cv2.imencode(".png", image)[1].tobytes(), f"word{i}") for i, image in enumerate(images)]
    lmdb_words.write(samples, folder)
    return folder


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(method, marks=pytest.mark.slow) for method in ("spawn", "forkserver"))]
)
def test_workers_read_identical_samples(path: Path, tmp_path: Path, method: str) -> None:
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    script = tmp_path / "read.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(path), method],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "identical\n"


def test_two_readers_of_one_file_and_copies_of_a_reader(path: Path) -> None:
    first, second = LmdbWords(path), LmdbWords(str(path))
    copy = pickle.loads(pickle.dumps(first))
    assert first.image_bytes(3) == second.image_bytes(3) == copy.image_bytes(3)
    assert copy.labels == first.labels
    with pytest.raises(IndexError):
        first.image_bytes(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_while_other_threads_read(path: Path) -> None:
    words, stop, errors = LmdbWords(path), threading.Event(), []
    expected = words.image_bytes(0)

    def read() -> None:
        try:
            while not stop.is_set():
                assert words.image_bytes(0) == expected
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0 if words.image_bytes(0) == expected else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
