"""Runs commands that write, kills them or starts them twice, and checks what that leaves.

    python commands.py FOLDER --what kill pair --kills N --seed S --words-model CKPT --detector CKPT [--spare NAME...]

prints one JSON object for each command and what was done with it; the commands of --spare are not killed. The parent
imports what the commands need, so that each run is a fork that starts at once: the moments of the kills fall into the
work, not into the imports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lmdb

from ocrctl.cli.app import run
from ocrctl.files.folder import MARKER

PAGES, WORDS = 20, 120
FEW = 5
ALL = ["--clamp", "--repair", "--remove-bad"]
PASSING = (".part", ".lock", ".ocrctl-tmp", MARKER)  # what may stay of a killed command until it is run again
State = dict[str, str]


@dataclass(frozen=True)
class Case:
    """A command in the folder `work`, which `begin` fills. `again`: what is run after a kill, where it differs."""

    name: str
    work: Path
    argv: list[str]
    lock: str  # below `work`
    begin: Callable[[Path], None]
    again: list[str] | None = None
    refuses: bool = True  # once it is done, the same command is refused with exit 2


def make_inputs(base: Path) -> None:
    """Pages with two words each, one of which leaves its page, and words."""
    import cv2
    import numpy as np

    for folder, count in ((base / "pages", PAGES), (base / "words", WORDS)):
        folder.mkdir()
        for number in range(count):
            shape = (120, 160, 3) if folder.name == "pages" else (32, 90, 3)
            pixels = np.random.default_rng(number).integers(0, 255, shape, dtype=np.uint8)
            if folder.name == "pages":
                pixels[20:48, 20:100] = (20, 20, 220)
                cv2.imwrite(str(folder / f"img_{number}.png"), pixels)
                lines = "20,20,100,20,100,48,20,48,word\n60,80,190,80,190,100,60,100,beyond\n"
                (folder / f"gt_img_{number}.txt").write_text(lines)
            else:
                cv2.imwrite(str(folder / f"{number}.png"), pixels)
    (base / "words" / "rec_gt.txt").write_text("".join(f"{n}.png\tword{n}\n" for n in range(WORDS)))


def cases(base: Path, words_model: str, detector: str) -> list[Case]:
    """Every command that writes a folder, with the paths that it takes."""
    pages, words = str(base / "pages"), str(base / "words")
    found = []

    def add(
        name: str, *argv: str, lock: str = "out.partial.lock", again: tuple[str, ...] = (), **others: object
    ) -> None:
        work = base / name.replace(" ", "-")
        given = [word.replace("OUT", str(work / "out")).replace("SET", str(work / "set")) for word in argv]
        found.append(
            Case(name, work, given, lock, others.pop("begin", lambda work: None),  # type: ignore[arg-type]
                 [*given, again] if again else None, **others)  # type: ignore[arg-type]
        )  # fmt: skip

    def copied(work: Path) -> None:
        shutil.copytree(pages, work / "set")

    def exported(work: Path) -> None:
        (work / "out").mkdir()
        (work / "out" / "tiny.onnx").write_text("the model before")
        (work / "out" / "notes.txt").write_text("mine")

    def predicted(work: Path) -> None:
        (work / "out").mkdir()
        (work / "out" / "predictions.tsv").write_text("the predictions before")
        (work / "out" / "notes.txt").write_text("mine")

    add("dataset convert", "dataset", "convert", pages, "OUT", "--format", "paddleocr-det")
    add("dataset split", "dataset", "split", pages, "OUT")
    add("dataset crop", "dataset", "crop", pages, "OUT")
    add("dataset clean", "dataset", "clean", "SET", *ALL, "--header-only", lock="set/.ocrctl-journal.lock",
        begin=copied, refuses=False)  # fmt: skip
    add("dataset clean --out", "dataset", "clean", pages, *ALL, "--out", "OUT")
    add("dataset synth", "dataset", "synth", "OUT", "--count", "8")
    add("dataset synth --pages", "dataset", "synth", "OUT", "--pages", "--count", "1")
    add("lmdb build", "lmdb", "build", words, "OUT", "--jobs", "2", again="--resume")
    add("predict -o", "predict", words, "-m", words_model, "-o", "OUT", "--device", "cpu", "--threads", "1",
        lock="out/.ocrctl.lock", begin=predicted, refuses=False)  # fmt: skip
    add("predict -o pages", "predict", pages, "-m", detector, "-o", "OUT", "--device", "cpu", "--threads", "1",
        "--format", "icdar15", lock="out/.ocrctl.lock")  # fmt: skip
    add("predict -o overlay", "predict", pages, "-m", detector, "-o", "OUT", "--device", "cpu", "--threads", "1",
        "--format", "overlay", lock="out/.ocrctl.lock")  # fmt: skip
    add("export", "export", words_model, "-o", "OUT", lock="out/.ocrctl.lock", begin=exported, refuses=False)
    return found


def start(argv: list[str], log: Path) -> int:
    """A process that runs the command and ends with its exit code; what it says goes to `log`."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = 70
        try:
            code = run(argv)
            sys.stdout.flush()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """The exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finished(argv: list[str], log: Path) -> int:
    """The exit code of the command, run to its end."""
    return ended(start(argv, log))


def fresh(case: Case) -> None:
    """The folder as it is before the command."""
    shutil.rmtree(case.work, ignore_errors=True)
    case.work.mkdir()
    case.begin(case.work)


def state(folder: Path, *, passing: bool = True) -> State:
    """Hash of every file below `folder`, of an LMDB of its content; `passing` leaves out what may stay after a kill."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        parts = name.split("/")
        if not path.is_file() or (passing and any(part.endswith((".partial", *PASSING)) for part in parts)):
            continue
        if ".ocrctl-journal" in parts:
            continue
        if path.name == "data.mdb":
            with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as file, file.begin() as transaction:
                content = b"".join(key + b"\0" + value for key, value in transaction.cursor())
        else:
            content = path.read_bytes()
        found[name] = hashlib.blake2b(content, digest_size=8).hexdigest()
    return found


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbs: the files before and after it, and how long it takes."""

    old: State
    new: State
    seconds: float
    problems: list[str]


def whole(case: Case, log: Path) -> Whole:
    """Run the command once."""
    fresh(case)
    old, begin = state(case.work), time.perf_counter()
    code = finished(case.argv, log)
    seconds, new = time.perf_counter() - begin, state(case.work)
    problems = [f"it fails by itself: {log.read_text()[-300:]}"] if code else []
    if state(case.work, passing=False) != new or new == old:
        problems.append(f"a whole run leaves {sorted(state(case.work, passing=False))}")
    return Whole(old, new, seconds, problems)


def kill(case: Case, run: Whole, count: int, rng: random.Random, log: Path) -> dict[str, object]:
    """Kill the command at `count` moments, and run it again; what went wrong is in `problems`."""
    problems: list[str] = []
    old, new, seconds = run.old, run.new, run.seconds
    outcomes = {"old": 0, "new": 0, "half, refused": 0, "ended before": 0}
    for _ in range(count):
        fresh(case)
        moment = rng.uniform(0, seconds)
        child = start(case.argv, log)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        outcomes["ended before"] += ended(child) >= 0
        after = state(case.work)
        where = f"killed after {moment:.3f} of {seconds:.3f} s"
        if after in (old, new):
            outcomes["old" if after == old else "new"] += 1
        elif case.name.startswith("predict -o") and {**after, **new} == new and set(new) - set(after):
            outcomes["old"] += 1  # its lines are in place, the folder beside them not yet
        elif case.name == "dataset clean" and finished(["dataset", "validate", case.argv[2]], log) == 3:
            outcomes["half, refused"] += 1
            if state(case.work) != after:
                problems.append(f"{where}: validate changed the set")
        else:
            problems.append(f"{where}: neither old nor new: {sorted(after.items() ^ new.items())[:4]}")
        code = finished(case.again or case.argv, log)
        if code != 0 and not (code == 2 and case.refuses and after == new):
            problems.append(f"{where}: run again it ends with {code}: {log.read_text()[-300:]}")
        if state(case.work, passing=False) != new:
            left = sorted(state(case.work, passing=False).items() ^ new.items())
            problems.append(f"{where}: run again it leaves {left[:4]}")
        if case.name == "dataset clean" and (
            finished(["dataset", "undo", case.argv[2]], log) != 0 or state(case.work, passing=False) != old
        ):
            problems.append(f"{where}: undo does not give the old set back: {log.read_text()[-300:]}")
    return {"seconds": round(seconds, 3), "kills": count, **outcomes, "problems": problems}


def holder(case: Case) -> str:
    """What the lock file of the command holds, "" where there is none."""
    try:
        return (case.work / case.lock).read_text()
    except FileNotFoundError:
        return ""


def pair(case: Case, run: Whole, log: Path) -> dict[str, object]:
    """Stop the command while it holds its lock, start it again, and let the first go on."""
    problems: list[str] = []
    for _ in range(10):
        fresh(case)
        first = start(case.argv, log)
        over = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while not holder(case) and os.waitid(os.P_PID, first, over) is None:
            time.sleep(0.0002)
        os.kill(first, signal.SIGSTOP)
        if holder(case):
            break
        os.kill(first, signal.SIGCONT)
        ended(first)
    else:
        return {"problems": ["it was never seen holding its lock"]}
    second_log = log.with_suffix(".second")
    code = finished(case.argv, second_log)
    said = second_log.read_text()
    os.kill(first, signal.SIGCONT)
    if code != 2 or f"process {first}" not in said:
        problems.append(f"the second ends with {code}: {said[-300:]}")
    if (code := ended(first)) != 0:
        problems.append(f"the first ends with {code}: {log.read_text()[-300:]}")
    if state(case.work, passing=False) != run.new:
        problems.append(f"they leave {sorted(state(case.work, passing=False).items() ^ run.new.items())[:4]}")
    return {"problems": problems}


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--what", nargs="+", choices=["kill", "pair"], default=["kill", "pair"])
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--words-model", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--spare", nargs="*", default=[])
    given = parser.parse_args()
    import onnxruntime  # noqa: F401
    import torch
    import torch.onnx._internal.exporter._core

    import ocrctl.core.dataset.clean
    import ocrctl.core.dataset.convert
    import ocrctl.core.dataset.crop
    import ocrctl.core.dataset.split
    import ocrctl.core.dataset.synth_pages
    import ocrctl.core.dataset.synth_words
    import ocrctl.core.dataset.validate
    import ocrctl.core.export.run
    import ocrctl.core.lmdb.run
    import ocrctl.core.predict.run  # noqa: F401

    torch.set_num_threads(1)  # no pool of threads, which a fork would not have
    torch.onnx.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),), dynamo=True, verbose=False)  # loads its parts
    inputs = os.fork()
    if inputs == 0:
        make_inputs(given.folder)
        os._exit(0)
    assert ended(inputs) == 0
    log = given.folder / "log"
    for case in cases(given.folder, given.words_model, given.detector):
        undisturbed = whole(case, log)
        for what in given.what:
            if what == "kill" and case.name in given.spare:
                continue
            begin = time.perf_counter()
            if undisturbed.problems:
                result: dict[str, object] = {"problems": undisturbed.problems}
            elif what == "pair":
                result = pair(case, undisturbed, log)
            else:
                kills = 1 if case.name == "export" and given.kills < FEW else given.kills  # it takes longest by far
                result = kill(case, undisturbed, kills, random.Random(f"{given.seed} {case.name}"), log)
            took = round(time.perf_counter() - begin, 1)
            print(json.dumps({"command": case.name, "what": what, **result, "took": took}), flush=True)


if __name__ == "__main__":
    main()
