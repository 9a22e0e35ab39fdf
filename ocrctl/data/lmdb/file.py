"""Read an LMDB page by page, with every page checked before use: a damaged file raises an error, never a crash.

The library maps the file into memory and trusts every offset in it, so that one damaged byte is a bus error or a read
outside the page. Here each page is read with `read_at`, which damage, another process that cuts the file, threads and
forks cannot harm; what a lookup costs beside the library stands in docs/research/benchmarks.md.

The layout is that of LMDB 0.9 (data format 1) on 64-bit little-endian machines, http://www.lmdb.tech/doc/ and mdb.c:

    page    u64 number, u16 pad, u16 flags, u16 lower, u16 upper; of overflow pages u32 count stands for the last two
    meta    in pages 0 and 1; the one with the higher transaction number is valid
    node    u16 low, u16 high, u16 flags, u16 key size, the key; then data of low | high << 16 bytes (leaf)
            a branch's child is page low | high << 16 | flags << 32
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from ocrctl.config.limits import max_image_bytes
from ocrctl.errors import InputError
from ocrctl.files.regular import open_regular, read_at

MAGIC, _FORMAT = 0xBEEFC0DE, 1
_PAGE = struct.Struct("<QHHHH")
_OVERFLOW = struct.Struct("<QHHI")
_NODE = struct.Struct("<HHHH")
# After the page header: magic, format, page size (stored with the free list); then flags, entries and root of the main
# tree, and last page and transaction number of the file.
_META = struct.Struct("<II16xI44x4xH2x24xQQQQ")
_HEAD = _PAGE.size
_BRANCH, _LEAF, _OVERFLOW_FLAG, _META_FLAG, _LEAF2, _SUB = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
_KINDS = _BRANCH | _LEAF | _OVERFLOW_FLAG | _META_FLAG | _LEAF2 | _SUB
_BIG, _OTHER_DATA = 0x01, 0x06  # flags of a node: its data is in overflow pages; it holds a subtree
_EMPTY = (1 << 64) - 1  # root of a tree without entries
_DEPTH = 32  # maximum levels of a tree; LMDB's own limit
_KEPT = 1 << 11  # cached pages of each kind: 10 MB
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 16))


class Leaf(NamedTuple):
    """A leaf page and the offsets of its nodes, in key order."""

    page: bytes
    nodes: tuple[int, ...]


class Branch(NamedTuple):
    """First key below each child; that of the first child is smaller than all."""

    keys: list[bytes]
    children: list[int]


class LmdbFile:
    """One open LMDB file. Safe with threads and forks; not picklable. Every method raises InputError naming `name` when
    a page that it needs is damaged, the constructor also when the file is no LMDB or is cut off."""

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self.name = name
        try:
            self._handle = open_regular(path)
        except OSError as error:
            raise InputError(f"{name}: cannot be opened as an LMDB ({error.strerror}).") from error
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self._largest = max_image_bytes()
        self._branches: dict[int, Branch] = {}
        self._leaves: dict[int, Leaf] = {}

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def get(self, key: bytes, size: int | None = None) -> bytes | None:
        """Return the data of `key`, at most `size` bytes of it; None when the key is missing."""
        if self._root == _EMPTY:
            return None
        leaf = self._leaf_of(key)
        page, nodes = leaf
        low, high = 0, len(nodes)
        while low < high:  # twice as fast as bisect with a key function; a slice never leaves the page
            middle = (low + high) // 2
            node = nodes[middle] + _NODE.size
            if page[node : node + (page[node - 2] | page[node - 1] << 8)] < key:
                low = middle + 1
            else:
                high = middle
        if low == len(nodes) or _NODE.unpack_from(page, nodes[low])[3] != len(key):
            return None
        node = nodes[low] + _NODE.size
        return self._data(leaf, low, size) if page[node : node + len(key)] == key else None

    def scan(self, first: bytes, size: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys from `first` on, in order, each with at most `size` bytes of its data."""
        path: list[tuple[Branch, int]] = []
        last: bytes | None = None
        number = self._root
        while number != _EMPTY:
            page = self._branches.get(number) or self._page(number)
            while isinstance(page, Branch):
                if len(path) == _DEPTH:
                    raise self._damaged(number, "its tree contains a cycle")
                index = bisect_right(page.keys, first, 1) - 1
                path.append((page, index))
                number = page.children[index]
                page = self._branches.get(number) or self._page(number)
            content, limit = page.page, self.page_size
            for index, node in enumerate(page.nodes):
                low, high, flags, length = _NODE.unpack_from(content, node)
                start = node + _NODE.size
                key, start = content[start : start + length], start + length
                end = start + (low | high << 16)
                if start > limit or (end > limit and not flags):
                    raise self._damaged(number, "a node extends beyond it")
                if key < first:
                    continue
                if last is not None and key <= last:  # such as a page that is visited twice
                    raise self._damaged(number, "its keys are not in order")
                last = key
                if flags:
                    yield key, self._data(page, index, size)
                else:
                    yield key, content[start : end if size is None else min(end, start + size)]
            first, number = b"", _EMPTY
            while path and number == _EMPTY:
                branch, index = path.pop()
                if index + 1 < len(branch.children):
                    path.append((branch, index + 1))
                    number = branch.children[index + 1]

    def _open(self) -> None:
        """Read both meta pages and use the newer one."""
        first = self._meta(0)
        if first[0] not in _PAGE_SIZES:
            raise InputError(f"{self.name}: the LMDB is damaged (its pages are {first[0]} bytes).")
        second = self._meta(first[0])
        newer = first if first[-1] > second[-1] else second
        self.page_size, flags, self.entries, self._root, self._last_page, _ = newer
        if flags:
            raise InputError(f"{self.name}: expected keys in plain order, the LMDB has flags {flags:#x}.")
        self._size = os.fstat(self._handle).st_size
        needed = (self._last_page + 1) * self.page_size
        if self.page_size != first[0] or second[0] != first[0]:
            raise InputError(f"{self.name}: the LMDB is damaged (its two meta pages differ).")
        if self._size < needed:
            raise InputError(f"{self.name}: the LMDB is cut off: {self._size} of {needed} bytes are there.")

    def _meta(self, offset: int) -> tuple[int, ...]:
        data = read_at(self._handle, _HEAD + _META.size, offset)
        if len(data) < _HEAD + _META.size:
            raise InputError(f"{self.name}: the LMDB is cut off after {offset + len(data)} bytes.")
        flags = _PAGE.unpack_from(data)[2]
        magic, version, *values = _META.unpack_from(data, _HEAD)
        if magic != MAGIC or not flags & _META_FLAG:
            raise InputError(f"{self.name}: expected an LMDB, found another file or a damaged one.")
        if version != _FORMAT:
            raise InputError(f"{self.name}: the LMDB has data format {version}, only {_FORMAT} can be read.")
        return tuple(values)

    def _leaf_of(self, key: bytes) -> Leaf:
        """Find the leaf that may hold `key`."""
        number, branches, leaves = self._root, self._branches, self._leaves
        for _ in range(_DEPTH):
            page = branches.get(number) or leaves.get(number) or self._page(number)
            if isinstance(page, Leaf):
                return page
            number = page.children[bisect_right(page.keys, key, 1) - 1]
        raise self._damaged(number, "its tree contains a cycle")

    def _page(self, number: int) -> Leaf | Branch:
        """Read page `number` of the tree and check every offset in it."""
        if not 2 <= number <= self._last_page:
            raise self._damaged(number, f"it has pages 2 to {self._last_page}")
        data = read_at(self._handle, self.page_size, number * self.page_size)
        if len(data) < self.page_size:
            raise InputError(f"{self.name}: the LMDB was cut off while it was read.")
        stated, _, flags, lower, upper = _PAGE.unpack_from(data)
        kind = flags & _KINDS
        if stated != number or kind not in (_BRANCH, _LEAF):
            raise self._damaged(number, "it is no page of the tree")
        if not _HEAD + 2 <= lower <= upper <= self.page_size or lower % 2:
            raise self._damaged(number, "its bounds are invalid")
        nodes = struct.unpack_from(f"<{(lower - _HEAD) // 2}H", data, _HEAD)
        if min(nodes) < upper or max(nodes) > self.page_size - _NODE.size:
            raise self._damaged(number, "a node is outside it")
        if kind == _LEAF:
            leaf = Leaf(data, nodes)
            if len(self._leaves) >= _KEPT:
                self._leaves.clear()
            self._leaves[number] = leaf  # neighbouring keys share it
            return leaf
        return self._branch(number, data, nodes)

    def _branch(self, number: int, data: bytes, nodes: tuple[int, ...]) -> Branch:
        keys, children = [], []
        for node in nodes:
            low, high, top, length = _NODE.unpack_from(data, node)
            start = node + _NODE.size
            if start + length > self.page_size:
                raise self._damaged(number, "a key extends beyond it")
            keys.append(data[start : start + length])
            children.append(low | high << 16 | top << 32)
        if len(self._branches) >= _KEPT:
            self._branches.clear()
        branch = self._branches[number] = Branch(keys, children)
        return branch

    def _data(self, leaf: Leaf, index: int, size: int | None) -> bytes:
        page, node = leaf.page, leaf.nodes[index]
        low, high, flags, key = _NODE.unpack_from(page, node)
        start, length = node + _NODE.size + key, low | high << 16
        if flags & _OTHER_DATA or length > self._largest:
            raise self._damaged(_PAGE.unpack_from(page)[0], "a node has no plain data, or an invalid length")
        wanted = length if size is None else min(size, length)
        if flags & _BIG:
            if start + 8 > self.page_size:
                raise self._damaged(_PAGE.unpack_from(page)[0], "a node extends beyond it")
            return self._overflow(int.from_bytes(page[start : start + 8], "little"), length, wanted)
        if start + length > self.page_size:
            raise self._damaged(_PAGE.unpack_from(page)[0], "a node extends beyond it")
        return page[start : start + wanted]

    def _overflow(self, number: int, length: int, wanted: int) -> bytes:
        """Read the first `wanted` of `length` bytes of data in the overflow pages from `number` on."""
        pages = -(-(_HEAD + length) // self.page_size)
        if not 2 <= number <= self._last_page + 1 - pages:
            raise self._damaged(number, f"it has pages 2 to {self._last_page}")
        data = read_at(self._handle, _HEAD + wanted, number * self.page_size)
        if len(data) < _HEAD + wanted:
            raise InputError(f"{self.name}: the LMDB was cut off while it was read.")
        stated, _, flags, count = _OVERFLOW.unpack_from(data)
        if stated != number or flags & _KINDS != _OVERFLOW_FLAG or count < pages:
            raise self._damaged(number, "it holds no data")
        return data[_HEAD:]

    def _damaged(self, number: int, reason: str) -> InputError:
        return InputError(f"{self.name}: the LMDB is damaged (page {number:,}: {reason}).")
