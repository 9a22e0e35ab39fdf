"""LMDBs whose bytes were changed: every reader gives an error or the data, and its process lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest

from ocrctl.data.lmdb.file import LmdbFile
from ocrctl.data.lmdb.reader import LmdbWords, close_environments
from ocrctl.errors import InputError

COUNT = 400

# Reads a file in every way that commands do, for each of many damaged versions, and prints how each ended.
READER = """
import json, sys
from pathlib import Path
import numpy as np
from ocrctl.data.lmdb.reader import LmdbWords, close_environments
from ocrctl.errors import InputError

def read(path):
    words = LmdbWords(path)
    words.labels
    words.image_starts(0, len(words), 64)
    for index in range(len(words)):
        words.image_bytes(index)

path, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
whole, dice, ends = path.read_bytes(), np.random.default_rng(seed), {}
for turn in range(count):
    close_environments()
    damaged = bytearray(whole)
    page = turn % (len(whole) // 4096)  # each in turn; most fields stand at the start of a page
    for _ in range(dice.integers(1, 5)):
        place = page * 4096 + int(dice.integers(dice.choice([16, 160, 4096])))
        damaged[place] = dice.choice([0, 255, dice.integers(256), damaged[place] ^ 1 << dice.integers(8)])
    if turn % 10 == 0:
        del damaged[dice.integers(len(damaged)) :]
    path.write_bytes(damaged)
    try:
        read(path)
        end = "read"
    except InputError as error:
        end = "named" if str(path) in error.message else error.message
    except IndexError as error:
        end = repr(error)
    ends[end] = ends.get(end, 0) + 1
print(json.dumps(ends))
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Small and large values in one file: leaves, branches over them, and overflow pages."""
    dice = np.random.default_rng(0)
    with lmdb.open(str(tmp_path / "words"), map_size=1 << 24) as environment, environment.begin(write=True) as write:
        write.put(b"num-samples", b"%d" % COUNT)
        for number in range(1, COUNT + 1):
            write.put(b"image-%09d" % number, dice.bytes(6000 if number % 20 == 0 else 300))
            write.put(b"label-%09d" % number, b"word%d" % number)
    yield tmp_path / "words"
    close_environments()


def test_what_is_read_is_what_the_library_reads(path: Path) -> None:
    words = LmdbWords(path)
    file = LmdbFile(path / "data.mdb", "here")
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        held = list(transaction.cursor())
        assert environment.stat()["entries"] == file.entries == len(held)
    assert list(file.scan(b"")) == held and list(file.scan(b"label-000000399")) == held[-3:]
    assert all(file.get(key) == data and file.get(key, 9) == data[:9] for key, data in held)
    assert [file.get(key) for key in (b"", b"a", b"image-000000000", b"image-0000000017", b"z")] == [None] * 5
    assert words.labels == [f"word{number}" for number in range(1, COUNT + 1)]
    file.close()
    empty = path / "empty"
    lmdb.open(str(empty)).close()
    file = LmdbFile(empty / "data.mdb", "here")
    assert file.get(b"num-samples") is None and list(file.scan(b"")) == []
    file.close()


@pytest.mark.parametrize("seed", [2, 4])  # both killed a reader that maps the file
def test_changed_bytes_on_any_page_never_end_the_process(path: Path, seed: int) -> None:
    command = [sys.executable, "-c", READER, str(path / "data.mdb"), str(seed), "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)
    ends = json.loads(done.stdout)
    assert set(ends) == {"read", "named"} and ends["named"] > 60, ends


def test_a_file_that_is_cut_off_while_it_is_open(path: Path) -> None:
    words = LmdbWords(path)
    assert len(words.image_bytes(0)) == 300
    os.truncate(path / "data.mdb", 3 * 4096)
    with pytest.raises(InputError, match="cut off while it was read"):
        [words.image_bytes(index) for index in range(COUNT)]


def test_a_file_that_another_replaced_is_opened_anew(path: Path, tmp_path: Path) -> None:
    assert len(LmdbWords(path)) == COUNT
    with lmdb.open(str(tmp_path / "other"), map_size=1 << 24) as environment, environment.begin(write=True) as write:
        write.put(b"num-samples", b"1")
    os.replace(tmp_path / "other" / "data.mdb", path / "data.mdb")
    assert len(LmdbWords(path)) == 1


def test_a_tree_that_runs_into_itself_ends(path: Path) -> None:
    file = path / "data.mdb"
    data = bytearray(file.read_bytes())
    for start in range(2 * 4096, len(data), 4096):
        if data[start + 10] & 0x2F == 1:  # a branch: its first child becomes itself
            node = int.from_bytes(data[start + 16 : start + 18], "little")
            data[start + node : start + node + 4] = (start // 4096).to_bytes(4, "little")
    file.write_bytes(data)
    opened = LmdbFile(file, "here")
    with pytest.raises(InputError, match="contains a cycle"):
        opened.get(b"a")
    with pytest.raises(InputError, match="contains a cycle"):
        list(opened.scan(b""))
    opened.close()
