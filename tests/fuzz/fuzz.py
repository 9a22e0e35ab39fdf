"""Fuzz the command line: damaged inputs of every kind, and how each command ends.

python tests/fuzz/fuzz.py GROUP [--seconds 15] [--seed 0] [--keep FILE]
python tests/fuzz/fuzz.py GROUP --replay 'CASE'

GROUP is data (annotation files, images, LMDB pages, journals, run folders) or models (cards, checkpoints, ONNX files,
optimizer states, quarantined steps). hypothesis draws cases: a target, edits of its bytes, text or tree, and a command.
Each must end with exit code 0, 1, 2, 3 or 5 in 20 s of CPU time (60 s of waiting) and below 1 GB, without a traceback.
Prints each finding once, with the command that replays it; exit 1 when there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import edits
import targets
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from server import CPU_SECONDS, MEMORY, WALL_SECONDS

CODES = {0, 1, 2, 3, 5}
LEAST = 20  # cases, however slow the machine is
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Server:
    """The process that runs cases (server.py)."""

    def __init__(self, corpus: Path) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OCRCTL_")}
        environment |= threads | {"NO_COLOR": "1", "COLUMNS": "100", "PYTHONHASHSEED": "0"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), str(corpus)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the server did not start ({self.process.wait()})")

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        """How `case` ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended ({self.process.wait()}) on: {json.dumps(case)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def problem(answer: dict[str, Any]) -> str | None:
    """Why this is no way for a command to end, None when it is."""
    if answer["stopped"]:
        return str(answer["stopped"])
    if answer["code"] < 0:
        return f"signal {-answer['code']}" + (f" (over {CPU_SECONDS} s of CPU time?)" if answer["code"] == -24 else "")
    if answer["code"] not in CODES:
        return f"exit code {answer['code']}"
    if answer["cpu"] > CPU_SECONDS or answer["wall"] > WALL_SECONDS:
        return f"{answer['cpu']:.0f} s of CPU time, {answer['wall']:.0f} s in all"
    if answer["memory"] > MEMORY:
        return f"{answer['memory'] / 2**30:.1f} GB"
    if "Traceback (most recent call last)" in answer["said"]:
        return "a traceback"
    return None


def signature(found: str, case: dict[str, Any], answer: dict[str, Any]) -> str:
    """What findings of one cause have in common, roughly."""
    lines = [line for line in answer["said"].splitlines() if line.startswith("bug in ocrctl")]
    said = (
        re.sub(r"\d+|'[^']*'|\S*/\S*", "#", lines[-1]) if lines else f"{case['folder']} {' '.join(case['command'][:2])}"
    )
    return f"{re.sub(r'[0-9.]+ s|[0-9.]+ GB', '#', found)}: {said}"[:160]


def cases(every: list[targets.Target]) -> st.SearchStrategy[dict[str, Any]]:
    """Cases of all targets, each as often as its weight says."""
    weighted = [target for target in every for _ in range(target.weight)]

    def of(target: targets.Target) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {
                "folder": st.just(target.folder),
                "file": st.sampled_from(target.files),
                "command": st.sampled_from(target.commands),
                "edits": st.lists(edits.KINDS[target.kind], min_size=1, max_size=4),
            }
        )

    return st.sampled_from(range(len(weighted))).flatmap(lambda index: of(weighted[index]))


class Campaign:
    """One group's cases until the time is over, and what they found."""

    def __init__(self, group: str, server: Server, every: list[targets.Target], keep: Path | None) -> None:
        self.group, self.server, self.every, self.keep = group, server, every, keep
        self.count = 0
        self.codes: Counter[int] = Counter()
        self.findings: dict[str, int] = {}

    def run(self, seconds: float, first_seed: int) -> None:
        """Batches of cases, each from its own seed, until `seconds` are over and LEAST cases have run."""
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end or self.count < LEAST:
            self._batch(first_seed * 100_003 + number, end)
            number += 1

    def _batch(self, number: int, end: float) -> None:
        @seed(number)
        @settings(
            max_examples=100, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases(self.every))
        def batch(case: dict[str, Any]) -> None:
            if time.monotonic() < end or self.count < LEAST:
                self.take(case)

        batch()

    def take(self, case: dict[str, Any]) -> None:
        """Run one case; a finding is printed when it is the first of its kind."""
        answer = self.server.run(case)
        self.count += 1
        self.codes[answer["code"]] += 1
        found = problem(answer)
        if found is None:
            return
        name = signature(found, case, answer)
        self.findings[name] = self.findings.get(name, 0) + 1
        if self.findings[name] > 1:
            return
        case = self._smaller(case, name)
        line = json.dumps(case)
        print(f"\nfinding: {found}\n  command: ocrctl {' '.join(case['command'])}")
        print(f"  said: {answer['said'][-600:].strip()}")
        quoted = line.replace("'", "'\\''")
        print(f"  replay: python tests/fuzz/fuzz.py {self.group} --replay '{quoted}'", flush=True)
        if self.keep is not None:
            with self.keep.open("a") as file:
                file.write(line + "\n")

    def _smaller(self, case: dict[str, Any], name: str) -> dict[str, Any]:
        """`case` without the edits that the finding does not need."""
        for edit in list(case["edits"]):
            fewer = {**case, "edits": [other for other in case["edits"] if other is not edit]}
            answer = self.server.run(fewer)
            found = problem(answer)
            if found is not None and signature(found, fewer, answer) == name:
                case = fewer
        return case


def main() -> None:
    """Exit 1 when a case ended as no command should, 2 when the corpus could not be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=targets.GROUPS)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", metavar="CASE", help="run this one case, as a finding printed it; @FILE: each line")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="append the case of each finding to it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocrctl-corpus-") as folder:
        corpus = Path(folder)
        builder = (
            "import sys; from pathlib import Path; import targets; folder = Path(sys.argv[2]); "
            "targets.write(folder / 'targets.json', targets.BUILDERS[sys.argv[1]](folder))"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OCRCTL_")}
        environment["PYTHONPATH"] = os.pathsep.join((str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")))
        built = subprocess.run(
            [sys.executable, "-c", builder, options.group, folder],
            capture_output=True, text=True, env=environment, cwd=folder,
        )  # fmt: skip
        if built.returncode:
            print(built.stdout, built.stderr, sep="\n")
            sys.exit(2)
        server = Server(corpus)
        try:
            if options.replay:
                sys.exit(replay(server, options.replay))
            campaign = Campaign(options.group, server, targets.read(corpus / "targets.json"), options.keep)
            start = time.monotonic()
            campaign.run(options.seconds, options.seed)
            seconds = time.monotonic() - start
        finally:
            server.close()
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(campaign.codes.items()))
    print(f"\n{options.group}: {campaign.count} cases in {seconds:.0f} s, seed {options.seed}; exit codes {codes}")
    for name, count in sorted(campaign.findings.items()):
        print(f"  {count} x {name}")
    sys.exit(bool(campaign.findings))


def replay(server: Server, given_case: str) -> bool:
    """Run one case, or those of a file, and print how each ended; True when one is a finding."""
    lines = Path(given_case[1:]).read_text().splitlines() if given_case.startswith("@") else [given_case]
    bad = False
    for line in lines:
        case = json.loads(line)
        answer = server.run(case)
        found = problem(answer)
        bad |= found is not None
        print(
            f"{found or 'fine'}: exit code {answer['code']}, {answer['cpu']:.1f} s, {answer['memory'] / 2**20:.0f} MB"
        )
        print(f"  {' '.join(case['command'])}\n{answer['said']}")
    return bad


if __name__ == "__main__":
    main()
