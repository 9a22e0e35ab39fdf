"""Do several processes train what one process does, and does a killed one end them all and lose nothing?

    python benchmarks/distributed.py equal [ARCH ...] [--steps 50] [--float64] [--out FOLDER]
    python benchmarks/distributed.py kill [ARCH ...] [--steps 50] [--rank 0|1] [--out FOLDER]
    python benchmarks/distributed.py resume [ARCH ...] [--steps 50] [--out FOLDER]

equal: one process with batch 2B and two gloo processes with batch B, from the same weights, without dropout and, where
the model has batch normalisation, with train.freeze_norm. Prints the largest difference of a weight, and the largest
relative difference of a row of metrics.csv. With --float64, training computes in float64 (in_float64.py): what remains
is a difference of method, not of rounding.
kill: two processes, one of which gets SIGKILL in the middle; prints the seconds until both have ended, the exit code
and the error, and how far the resumed run is from one that was left alone.
resume: a run of two processes goes on with one, from the checkpoint of its best validation; prints how far it is from
the one that two processes ended.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

EACH = {"detection": 1, "recognition": 4}  # B
LR = {"detection": 1e-4, "recognition": 1e-3}  # AdamW turns rounding into differences of the size of its step
SETS = ["train.device=cpu", "train.precision=32-true", "data.workers=0", "data.max_val_samples=8", "log.previews=0",
        "page.height=128", "page.width=128", "page.side=128", "model.dropout=0", "train.log_every_steps=5"]  # fmt: skip


IN_FLOAT64 = str(Path(__file__).with_name("in_float64.py"))
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]  # torchrun


def command(out: Path, *options: str, sets: list[str], program: list[str] | None = None) -> list[str]:
    words = [sys.executable, *(program or ["-m", "ocrctl"]), "train", *options, "-o", str(out)]
    return words + [word for one in sets for word in ("--set", one)]


def run(out: Path, *options: str, sets: list[str], program: list[str] | None = None) -> None:
    done = subprocess.run(command(out, *options, sets=sets, program=program), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{out}: exit {done.returncode}\n{done.stderr}")


def base(arch: str, out: Path) -> list[str]:
    """Return the options that start `arch` from weights whose statistics are frozen, trained for five steps."""
    if not (out / "last.ckpt").exists():
        run(out, arch, sets=[*SETS, "train.max_steps=5", f"train.batch_size={2 * each(arch)}"])
    return [arch, "--from", str(out / "last.ckpt"), "--general", "none"]


def each(arch: str) -> int:
    from ocrctl.models.registry import get_spec

    return EACH[get_spec(arch).task]


def rate(arch: str) -> float:
    from ocrctl.models.registry import get_spec

    return LR[get_spec(arch).task]


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    return found


def difference(one: Path, two: Path, *, keys: bool = False) -> float:
    """Return the largest difference of a weight; with `keys`, of the key biases of attention, which are left out
    otherwise: a softmax does not depend on them, so that their gradients are rounding, and AdamW turns that into steps.
    """
    left, right = weights(one), weights(two)
    found = [0.0]
    for name, value in left.items():
        if not value.is_floating_point():
            continue
        apart = (value.double() - right[name].double()).abs()
        biases = name.endswith(("qkv.bias", "in_proj_bias"))
        parts = [apart.chunk(3)[1]] if biases and keys else apart.chunk(3)[::2] if biases else [] if keys else [apart]
        found += [float(part.max()) for part in parts]
    return max(found)


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    leave = ("seconds", "images_per_second")
    return [{name: float(text) for name, text in row.items() if text and name not in leave} for row in table]


def row_difference(one: Path, two: Path) -> float:
    """Return the largest difference of a figure in metrics.csv, relative to it where it is above 1."""
    pairs = list(zip(rows(one), rows(two), strict=True))
    return max(abs(a[name] - b[name]) / max(1.0, abs(a[name])) for a, b in pairs for name in a)


def equal(arch: str, steps: int, out: Path, *, float64: bool) -> None:
    options = [*base(arch, out / f"{arch}-base"), "--set", f"train.lr={rate(arch)}"]
    kind = "-float64" if float64 else ""
    one, two = out / f"{arch}-one{kind}", out / f"{arch}-two{kind}"
    for folder in (one, two):
        shutil.rmtree(folder, ignore_errors=True)
    sets = [*SETS, f"train.max_steps={steps}", f"train.val_every_steps={steps}"]
    whole, half = ([*sets, f"train.batch_size={size}"] for size in (2 * each(arch), each(arch)))
    run(one, *options, sets=whole, program=[IN_FLOAT64] if float64 else None)
    run(two, *options, "--devices", "2", sets=half, program=[*TWO, IN_FLOAT64] if float64 else None)
    moved = difference(out / f"{arch}-base", one)
    print(
        f"{arch}{kind}: {steps} steps, batch {2 * each(arch)} against 2 x {each(arch)}: weights differ by at most "
        f"{difference(one, two):.2g} (training moved them by {moved:.2g}; key biases "
        f"{difference(one, two, keys=True):.2g}), rows by {row_difference(one, two):.2g}",
        flush=True,
    )


def process_of(agent: int, rank: int) -> int:
    """Return the process with this rank among those that `agent` started."""
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            ranks = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if parent == agent and f"RANK={rank}".encode() in ranks:
            return int(entry.name)
    raise SystemExit(f"no process of rank {rank}")


def kill_sets(arch: str, steps: int) -> list[str]:
    return [*SETS, f"train.max_steps={steps}", f"train.val_every_steps={max(1, steps // 5)}",
            f"train.batch_size={each(arch)}", "train.log_every_steps=1"]  # fmt: skip


def kill(arch: str, steps: int, rank: int, out: Path) -> None:
    options = base(arch, out / f"{arch}-base")
    whole, cut = out / f"{arch}-whole", out / f"{arch}-cut"
    shutil.rmtree(cut, ignore_errors=True)
    sets = kill_sets(arch, steps)
    if not (whole / "last.ckpt").exists():
        run(whole, *options, "--devices", "2", sets=sets)
    agent = subprocess.Popen(command(cut, *options, "--devices", "2", sets=sets), stderr=subprocess.PIPE, text=True)
    while not (cut / "metrics.csv").exists() or len(rows(cut)) < steps // 2:
        time.sleep(0.1)
        if agent.poll() is not None:
            raise SystemExit(f"{cut}: ended before it was killed")
    both = [process_of(agent.pid, number) for number in (0, 1)]
    start = time.monotonic()
    os.kill(both[rank], signal.SIGKILL)
    _, errors = agent.communicate()
    seconds = time.monotonic() - start
    alive = [pid for pid in both if Path(f"/proc/{pid}").exists()]
    named = [line for line in errors.splitlines() if line.startswith("error:")]
    print(f"{arch}: rank {rank} killed: both ended in {seconds:.1f} s, exit {agent.returncode}, alive {alive}")
    print("\n".join(f"  {line}" for line in named))
    run(cut, "--resume", sets=[])
    print(f"  resumed: weights differ from the undisturbed run by at most {difference(whole, cut):.2g}", flush=True)


def resume(arch: str, steps: int, out: Path) -> None:
    whole, other = out / f"{arch}-whole", out / f"{arch}-other"
    if not (whole / "last.ckpt").exists():
        run(whole, *base(arch, out / f"{arch}-base"), "--devices", "2", sets=kill_sets(arch, steps))
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(whole, other)
    shutil.copy(other / "best.ckpt", other / "last.ckpt")
    start = torch.load(other / "last.ckpt", weights_only=True)["global_step"]
    for way, sets in (("accumulate", []), ("batch", [f"train.batch_size={2 * each(arch)}", "train.accumulate=1"])):
        shutil.copy(other / "best.ckpt", other / "last.ckpt")
        run(other, "--resume", "--devices", "1", sets=sets)
        print(
            f"{arch}: from step {start} on one process, larger {way}: differs by {difference(whole, other):.2g}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("equal", "kill", "resume"))
    parser.add_argument("archs", nargs="*")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rank", type=int, choices=(0, 1))
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/distributed"))
    given = parser.parse_args()
    for arch in given.archs or (["parseq-tiny", "crnn-tiny", "dbnet"] if given.what == "equal" else ["parseq-tiny"]):
        if given.what == "equal":
            equal(arch, given.steps, given.out, float64=given.float64)
        elif given.what == "resume":
            resume(arch, given.steps, given.out)
        else:
            for rank in (0, 1) if given.rank is None else (given.rank,):
                kill(arch, given.steps, rank, given.out)


if __name__ == "__main__":
    main()
