"""Cold-start cost of commands and modules, each in a fresh interpreter, as a ratio to an interpreter that does nothing.

Seconds differ between machines and hours; the ratio to `python -c pass`, measured in turn with it, travels.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

# In this order; those not installed are skipped. `lightning` is what training really imports of it.
HEAVY_MODULES = {
    "typer": "typer",
    "rich": "rich.table",
    "numpy": "numpy",
    "pydantic_settings": "pydantic_settings",
    "lmdb": "lmdb",
    "shapely": "shapely",
    "cv2": "cv2",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "lightning": "lightning.pytorch",
    "onnx": "onnx",
    "wandb": "wandb",
    "tensorboard": "tensorboard",
}


@dataclass(frozen=True)
class Target:
    """One thing to time: `arguments` follow the interpreter's name on the command line."""

    name: str
    kind: str  # "command" or "module"
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Median over fresh interpreters. `seconds` is None when the target failed; `failure` then holds its last line."""

    target: Target
    seconds: float | None
    failure: str = ""


@dataclass
class ImportNode:
    """One imported module: its own time and that with everything it pulled in, in microseconds."""

    name: str
    self_us: int
    cumulative_us: int
    children: list[ImportNode] = field(default_factory=list)

    def walk(self) -> list[ImportNode]:
        """Iterate over the nodes of this tree, this one first."""
        found: list[ImportNode] = []
        stack = [self]
        while stack:
            node = stack.pop()
            found.append(node)
            stack.extend(node.children)
        return found


def command_target(path: Sequence[str]) -> Target:
    """Return the target `ocrctl <path> --help`, run as its own process."""
    return Target(" ".join(("ocrctl", *path)), "command", ("-m", "ocrctl", *path, "--help"))


def module_targets() -> list[Target]:
    """Return the large dependencies that are installed, without importing them."""
    return [
        Target(name, "module", ("-c", f"import {module}"))
        for name, module in HEAVY_MODULES.items()
        if importlib.util.find_spec(name) is not None
    ]


def run_once(arguments: Sequence[str]) -> tuple[float, str]:
    """Time one fresh interpreter from start to exit, and its last line of stderr if it failed ("" if not)."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        return seconds, ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return seconds, lines[-1] if lines else f"exit status {done.returncode}"


def measure(
    targets: Sequence[Target],
    runs: int,
    timer: Callable[[Sequence[str]], tuple[float, str]] = run_once,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, list[Sample]]:
    """Measure median seconds of the bare interpreter, and of each target, run alternately with a bare one.

    One unmeasured run of each comes first: it writes missing bytecode and brings the files into the page cache.
    """
    bare = ("-c", "pass")
    timer(bare)
    failures = {target: timer(target.arguments)[1] for target in targets}
    bare_seconds: list[float] = []
    seconds: dict[Target, list[float]] = {target: [] for target in targets if not failures[target]}
    for run in range(runs):
        for number, (target, taken) in enumerate(seconds.items()):
            progress(run * len(seconds) + number, runs * len(seconds))
            bare_seconds.append(timer(bare)[0])
            taken.append(timer(target.arguments)[0])
    if not bare_seconds:
        bare_seconds = [timer(bare)[0] for _ in range(runs)]
    samples = [
        Sample(target, None, failures[target]) if failures[target] else Sample(target, median(seconds[target]))
        for target in targets
    ]
    return median(bare_seconds), samples


def import_tree(target: Target) -> ImportNode:
    """Trace the imports of one fresh run of the target, from `-X importtime`; the root stands for the whole run."""
    command = [sys.executable, "-X", "importtime", *target.arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return parse_importtime(target.name, done.stderr.decode("utf-8", "replace").splitlines())


def parse_importtime(name: str, lines: Sequence[str]) -> ImportNode:
    """Parse the tree of `import time: self | cumulative | module` lines.

    A module is printed after everything it imported, two columns to the left of it: the nodes of a depth wait until
    the next shallower line takes them as its children.
    """
    waiting: dict[int, list[ImportNode]] = {}
    for line in lines:
        if not line.startswith("import time:") or "self [us]" in line:
            continue
        own, cumulative, module = line.removeprefix("import time:").split("|", 2)
        depth = (len(module) - len(module.lstrip()) - 1) // 2
        children = waiting.pop(depth + 1, [])
        children.sort(key=lambda child: -child.cumulative_us)
        waiting.setdefault(depth, []).append(ImportNode(module.strip(), int(own), int(cumulative), children))
    top = sorted(waiting.get(0, []), key=lambda child: -child.cumulative_us)
    return ImportNode(name, 0, sum(child.cumulative_us for child in top), top)
