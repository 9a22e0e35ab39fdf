"""Build an LMDB of word images: samples are checked first; builds can be resumed and replace the target at the end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrctl.data.images.tiff import has_several_pages
from ocrctl.data.lmdb.check import check_all
from ocrctl.data.lmdb.output import begin, check_target, publish
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.lmdb.writer import FIRST_MAP, CommitThread, LmdbWriter
from ocrctl.errors import InputError, ResumableStop, UsageError
from ocrctl.files.folder import Claim, claim, is_incomplete
from ocrctl.shell import shell_quote

COMMIT_BYTES = 8 << 20  # of images per commit; a killed build loses at most two commits

_RESUME = "What was written is kept: free some space and run the same command with --resume."


@dataclass(frozen=True)
class Problem:
    """A sample and why it is a problem."""

    index: int  # 0-based position in the source
    where: str
    reason: str


@dataclass
class Built:
    """Result of a build: `left_out` samples are not in the LMDB, `repeated` ones are."""

    samples: int
    written: int = 0
    resumed_from: int = 0  # samples done by an earlier, interrupted build
    left_out: list[Problem] = field(default_factory=list)
    repeated: list[Problem] = field(default_factory=list)
    several_pages: list[str] = field(default_factory=list)  # locations of TIFFs of which only the first page is read


def build(
    source: WordSource,
    out: Path,
    *,
    jobs: int = 1,
    max_length: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stopping: Callable[[], bool] = lambda: False,
    map_size: int = FIRST_MAP,
    commit_bytes: int = COMMIT_BYTES,
) -> Built:
    """Write the valid samples of `source` to the LMDB folder `out`.

    jobs: processes that read and decode. max_length: maximum label length in code points, 0 for no limit.
    progress(done, total) is called after each chunk, then stopping(): when it is true, KeyboardInterrupt is raised with
    all work committed. Raises UsageError when `out` may not be replaced or another process is building it,
    ResumableStop when it cannot be written to the end.
    """
    if not is_incomplete(out):
        check_target(source, out, overwrite)
    spec = os.path.abspath(source.name) if os.path.exists(source.name) else source.name  # for any working folder
    resume_command = f"ocrctl lmdb build {shell_quote(spec)} {shell_quote(os.path.abspath(out))} --resume"
    with claim(out, "lmdb build", resume_command) as claimed:
        check_target(source, out, overwrite)  # the process that held the lock may have finished
        begin(claimed, overwrite, resume)
        return _build(source, claimed, jobs, max_length, progress, stopping, map_size, commit_bytes)


def _build(
    source: WordSource,
    claimed: Claim,
    jobs: int,
    max_length: int,
    progress: Callable[[int, int], None],
    stopping: Callable[[], bool],
    map_size: int,
    commit_bytes: int,
) -> Built:
    partial = claimed.partial
    result = Built(len(source))
    order = _fingerprint(source, max_length)
    try:
        with LmdbWriter(partial, map_size=map_size, full_disk_hint=_RESUME) as writer:
            start = _continue(writer, order, source, result)
            hashes: list[int] = []
            several: list[int] = []  # positions in `hashes`
            for written in writer.images():
                _note([written], hashes, several)
            with closing(check_all(source, start, max_length, jobs)) as chunks, CommitThread(writer) as commits:
                for chunk, results in chunks:
                    valid = [data for data in results if isinstance(data, bytes)]
                    if len(valid) < len(results):
                        result.left_out += [
                            Problem(index, source.where(index), data)
                            for index, data in zip(chunk, results, strict=True)
                            if isinstance(data, str)
                        ]
                    _note(valid, hashes, several)
                    commits.add(valid)
                    stop = stopping()
                    if stop or commits.size >= commit_bytes:
                        commits.begin(_state(order, chunk.stop, result))
                    progress(chunk.stop, len(source))
                    if stop:
                        commits.wait()
                        raise KeyboardInterrupt
                commits.begin(_state(order, len(source), result))
            kept = _kept(result)
            if not kept:
                writer.close()
                claimed.discard()
                first = result.left_out[0]
                raise InputError(f"{first.where}: {first.reason}; all {len(source)} samples are invalid.")
            labels = source.labels
            writer.finish(labels[index] for index in kept)
            result.written = writer.written
            result.several_pages = [source.where(kept[position]) for position in several]
        publish(claimed, claimed.out)
    except OSError as error:
        raise ResumableStop(f"{partial}: writing failed ({error.strerror}).", hint=_RESUME) from error
    result.repeated = _repeated(source, hashes, kept)
    return result


def _note(images: Sequence[bytes], hashes: list[int], several: list[int]) -> None:
    """Add the hashes of encoded `images`, and to `several` the positions of those with several pages in `hashes`."""
    several += [place for place, data in enumerate(images, len(hashes)) if has_several_pages(data)]
    hashes += map(hash, images)


def _fingerprint(source: WordSource, max_length: int) -> str:
    """Hash what must not change between a build and its continuation: the samples, their order, the length limit."""
    name, samples = source.name, range(len(source))
    files = "\n".join([source.where(index).removeprefix(name) for index in samples])  # independent of the folder
    text = f"{max_length}\0{files}\0" + "\0".join(source.labels)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _continue(writer: LmdbWriter, order: str, source: WordSource, result: Built) -> int:
    """Return the first sample still to do, and restore `result` from the interrupted build."""
    if writer.state is None:
        return 0
    if writer.state["source"] != order:
        raise UsageError(
            f"{writer.folder} was started with other samples or another length limit than {source.name}.",
            hint="--overwrite starts over.",
        )
    result.left_out = [Problem(index, source.where(index), reason) for index, reason in writer.state["left_out"]]
    result.resumed_from = int(writer.state["done"])
    return result.resumed_from


def _state(order: str, done: int, result: Built) -> dict[str, Any]:
    return {"source": order, "done": done, "left_out": [(problem.index, problem.reason) for problem in result.left_out]}


def _kept(result: Built) -> list[int]:
    bad = {problem.index for problem in result.left_out}
    return [index for index in range(result.samples) if index not in bad]


def _repeated(source: WordSource, hashes: list[int], kept: list[int]) -> list[Problem]:
    """Find kept samples whose image equals an earlier one byte for byte (64-bit hashes)."""
    problems: list[Problem] = []
    if len(set(hashes)) == len(hashes):
        return problems
    first: dict[int, int] = {}
    for key, index in zip(hashes, kept, strict=True):
        earlier = first.setdefault(key, index)
        if earlier != index:
            same = source.labels[earlier] == source.labels[index]
            label = "" if same else f" under another label, {source.labels[earlier]!r} there"
            problems.append(Problem(index, source.where(index), f"the same image as {source.where(earlier)}{label}"))
    return problems
