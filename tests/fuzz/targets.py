"""What is damaged, and the commands that then read it. The corpus is made by the tool itself: small, in all formats."""

from __future__ import annotations

import json
import lzma
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

GROUPS = ("data", "models")
FIXTURES = Path(__file__).parents[1] / "fixtures" / "v0_1"


@dataclass(frozen=True)
class Target:
    """`folder` of the corpus is copied for each case; one of `files` in it is changed by edits of `kind`; one of
    `commands` runs. In a command, {set} is the copy, {clean} the corpus, {out} a path that does not exist yet.
    `weight`: how often it is drawn."""

    folder: str
    files: list[str]
    kind: str
    commands: list[list[str]]
    weight: int = 1


def _dataset(spec: str, *, words: bool, name: str) -> list[list[str]]:
    commands = [
        ["dataset", "validate", spec],
        ["dataset", "validate", spec, "--header-only", "--json"],
        ["dataset", "validate", spec, "--report", "{out}.html"],
        ["dataset", "clean", spec, "--clamp", "--repair", "--remove-bad"],
        ["dataset", "clean", spec, "--clamp", "--repair", "--remove-bad", "--out", "{out}"],
        ["dataset", "stats", spec, "--json"],
        ["dataset", "charset", spec],
        ["dataset", "split", spec, "{out}", "--part", "a=1", "--part", "b=1"],
    ]
    if words:
        commands += [
            ["lmdb", "build", spec, "{out}", "--jobs", "1"],
            ["dataset", "convert", spec, "{out}", "--format", "mmocr-jsonl"],
        ]
    else:
        commands += [
            ["dataset", "crop", spec, "{out}"],
            ["dataset", "convert", spec, "{out}", "--format", "coco-text"],
            ["dataset", "convert", spec, "{out}", "--format", "icdar15", "--labels-only"],
            ["eval", "--gt", spec, "--pred", "{clean}/pages/icdar15"],
            ["eval", "--gt", "{clean}/pages/icdar15", "--pred", spec, "--protocol", "cleval"],
        ]
    return commands


def build_data(corpus: Path) -> list[Target]:
    """Sets of words and pages in every format, images, an LMDB, journals and run folders below `corpus`."""
    import cv2
    import numpy as np

    from ocrctl.cli.app import run
    from ocrctl.data.formats import DETECTION_FORMATS, FORMATS

    def call(*arguments: str) -> None:
        if code := run([*arguments, "-q"]):
            raise RuntimeError(f"the corpus could not be made: {arguments} ended with {code}")

    targets: list[Target] = []
    base, pages = corpus / "base-words", corpus / "pages" / "icdar15"
    base.mkdir(parents=True)
    pages.mkdir(parents=True)
    lines = []
    for number, word in enumerate(["hotel", "Exit", "24h", "café"]):
        image = np.full((24, 60, 3), 60 + 40 * number, np.uint8)
        cv2.putText(image, word[:4], (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (250, 240, 200), 1, cv2.LINE_AA)
        cv2.imwrite(str(base / f"{number}.png"), image)
        lines.append(f"{number}.png\t{word}\n")
    (base / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    for number in range(3):
        image = np.full((80, 120, 3), 220, np.uint8)
        rows = []
        for row in range(2):
            left, top = 8 + 6 * number, 8 + 36 * row
            image[top : top + 20, left : left + 60] = (20, 20, 220)
            text = "###" if number + row == 3 else f"word{row}"
            rows.append(f"{left},{top},{left + 60},{top},{left + 60},{top + 20},{left},{top + 20},{text}\n")
        cv2.imwrite(str(pages / f"img_{number}.png"), image)
        (pages / f"gt_img_{number}.txt").write_text("".join(rows), encoding="utf-8")

    for name in FORMATS:
        folder = corpus / "words" / name
        if name == "lmdb":
            call("lmdb", "build", str(base), str(folder), "--jobs", "1")
            files, kind = ["data.mdb"], "packed"
            commands = [["lmdb", "info", "{set}"], ["lmdb", "verify", "{set}", "--jobs", "1"]]
            commands += _dataset("{set}", words=True, name=name)
            targets.append(Target(f"words/{name}", files, kind, commands, weight=6))
            continue
        call("dataset", "convert", str(base), str(folder), "--format", name)
        targets += _labels(corpus, folder, name, words=True)
    for name in DETECTION_FORMATS:
        folder = corpus / "pages" / name
        if name != "icdar15":
            call("dataset", "convert", str(pages), str(folder), "--format", name)
        targets += _labels(corpus, folder, name, words=False)

    targets.append(_images(corpus))
    targets += _journals(corpus)
    targets += _runs(corpus)
    return targets


def _labels(corpus: Path, folder: Path, name: str, *, words: bool) -> list[Target]:
    files = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".png", ".jpg") and not path.name.startswith(".")
    ]
    kinds = {".json": "json", ".jsonl": "json", ".zip": "bytes"}
    kind = "json" if name == "paddleocr-det" else kinds.get(Path(files[0]).suffix, "text")
    target = str(folder.relative_to(corpus))
    return [
        Target(target, files, kind, _dataset("{set}", words=words, name=name)),
        Target(target, files, kind, _dataset(f"{name}:{{set}}", words=words, name=name)),
    ]


def _images(corpus: Path) -> Target:
    import cv2
    import numpy as np

    folder = corpus / "images"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    names = [f"a.{suffix}" for suffix in ("png", "jpg", "bmp", "tiff", "webp", "ppm", "gif")]
    for name in names:
        cv2.imwrite(str(folder / name), noise)
    cv2.imwritemulti(str(folder / "many.tiff"), [noise, noise])
    names.append("many.tiff")
    (folder / "rec_gt.txt").write_text("".join(f"{name}\tword\n" for name in names), encoding="utf-8")
    commands = [
        ["dataset", "validate", "{set}"],
        ["dataset", "validate", "{set}", "--header-only"],
        ["dataset", "clean", "{set}", "--repair", "--remove-bad"],
        ["dataset", "convert", "{set}", "{out}", "--format", "icdar-words"],
        ["lmdb", "build", "{set}", "{out}", "--jobs", "1"],
        ["dataset", "stats", "{set}"],
    ]
    return Target("images", names, "bytes", commands, weight=5)


def _journals(corpus: Path) -> list[Target]:
    """A change that was decided and not ended, one that was ended, and one that is being taken back."""
    targets = []
    for state in ("open", "done", "undoing"):
        folder = corpus / "journals" / state
        shutil.copytree(corpus / "pages" / "icdar15", folder)
        entry = folder / ".ocrctl-journal" / "0001"
        entry.mkdir(parents=True)
        (entry / "plan.json").write_text(json.dumps(["gt_img_0.txt", "gt_img_1.txt"]))
        for number in range(2):
            content = (folder / f"gt_img_{number}.txt").read_bytes()
            (entry / f"{number}.old").write_bytes(content)
            (entry / f"{number}.new").write_bytes(content.replace(b"word", b"text"))
            if state != "open":
                (folder / f"gt_img_{number}.txt").write_bytes(content.replace(b"word", b"text"))
        if state != "open":
            (entry / "done").touch()
        if state == "undoing":
            (entry / "undoing").touch()
        inside = ".ocrctl-journal/0001"
        files = [f"{inside}/plan.json"] * 3 + [f"{inside}/0.old", f"{inside}/1.new", f"{inside}/done"]
        commands = [
            ["dataset", "validate", "{set}"],
            ["dataset", "undo", "{set}"],
            ["dataset", "clean", "{set}", "--clamp"],
            ["dataset", "clean", "{set}"],
        ]
        targets.append(Target(f"journals/{state}", files, "json", commands, weight=2))
    return targets


def _runs(corpus: Path) -> list[Target]:
    for name in ("one", "two"):
        run = corpus / "runs" / name
        run.mkdir(parents=True)
        (run / "config.toml").write_text(
            f'arch = "crnn-tiny"\nseed = 1\n[train]\nmax_steps = 20\nlr = 0.00{len(name)}\n[data]\ntrain = ["words"]\n'
        )
        (run / "metrics.csv").write_text(
            "step,samples,seconds,lr,loss,images_per_second,val_exact\n"
            "10,80,1.5,0.001,3.25,50.0,\n20,160,2.5,0.0005,2.5,51.0,0.25\n"
        )
        (run / "data.json").write_text('{"words": "4 samples, labels 0a0b0c0d"}\n')
    commands = [
        ["runs", "list", "{set}"],
        ["runs", "list", "{set}", "--json"],
        ["runs", "show", "{set}/one"],
        ["runs", "show", "{set}/one", "--json"],
        ["runs", "compare", "{set}/one", "{set}/two"],
        ["profile", "check", "{set}/one/config.toml"],
    ]
    return [
        Target("runs", ["one/config.toml"], "text", commands, weight=2),
        Target("runs", ["one/metrics.csv"], "text", commands[:5], weight=2),
    ]


def build_models(corpus: Path) -> list[Target]:
    """A trained recogniser, its run folder and its ONNX file, a detector, and a quarantined step below `corpus`."""
    import cv2
    import numpy as np
    import onnx
    import torch

    from ocrctl.cli.app import run
    from ocrctl.config.detection_card import detection_card
    from ocrctl.config.model_card import CARD_KEY
    from ocrctl.config.settings import ModelSettings
    from ocrctl.models.build import build_model
    from ocrctl.models.checkpoint import load_checkpoint
    from ocrctl.models.registry import get_spec

    words = corpus / "words"
    words.mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(words / f"{number}.png"), np.full((24, 60, 3), 60 + 40 * number, np.uint8))
    (words / "rec_gt.txt").write_text("".join(f"{n}.png\tword{n}\n" for n in range(4)))

    trained = corpus / "trained"
    settings = {
        "arch": "crnn-tiny", "train.max_steps": 2, "train.batch_size": 2, "train.device": "cpu", "data.workers": 0,
        "log.previews": 0, "train.val_every_steps": 1, "train.precision": "32-true", "train.threads": 1,
    }  # fmt: skip
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    if code := run(["train", "-d", str(words), "-o", str(trained), *sets, "-q"]):
        raise RuntimeError(f"the corpus could not be made: training ended with {code}")
    card, _ = load_checkpoint(trained / "best.ckpt")

    bundle = corpus / "bundle"
    bundle.mkdir()
    graph = onnx.load_from_string(lzma.decompress((FIXTURES / "crnn-tiny.onnx.xz").read_bytes()))
    onnx.helper.set_model_props(graph, {CARD_KEY: card.to_json()})
    onnx.save(graph, bundle / "words.onnx")
    if code := run(["predict", str(words / "0.png"), "-m", str(bundle), "-q"]):
        raise RuntimeError(f"the corpus could not be made: the exported model ended with {code}")

    detector = corpus / "detector"
    detector.mkdir()
    found = detection_card(get_spec("dbnet"), ModelSettings(backbone="mobilenetv3"), height=64, width=64, side=64)
    state = {f"model.{name}": value for name, value in build_model(found).state_dict().items()}
    torch.save({CARD_KEY: found.to_json(), "state_dict": state}, detector / "best.ckpt")

    step = corpus / "quarantine"
    step.mkdir()
    meta = {
        "step": 1, "seed": 1, "precision": "32-true", "norm_frozen": False, "broken": [], "sizes": [2], "samples": [0],
        "sentence": "one sample", "places": {"0": "words: 0.png", "1": "words: 1.png"},
    }  # fmt: skip
    (step / "step.json").write_text(json.dumps(meta))
    shutil.copy(trained / "best.ckpt", step / "weights.ckpt")
    np.savez(
        step / "batch.npz",
        **{
            "images.0": np.zeros((2, 32, 100, 1), np.uint8), "labels.0": np.ones((2, 3), np.int64),
            "lengths.0": np.array([3, 3]), "ids.0": np.array([0, 1]),
        },
    )  # fmt: skip

    image, spec = "{clean}/words/0.png", "{clean}/words"
    read = [["model", "info", "{model}"], ["predict", image, "-m", "{model}"], ["eval", "{model}", "-d", spec]]

    def reading(model: str, *more: list[str]) -> list[list[str]]:
        return [[word.replace("{model}", model) for word in command] for command in [*read, *more]]

    resumed = ["train", "--resume", "-o", "{set}", "--set", "train.max_steps=3"]
    again = ["train", "--fast-dev-run", "-d", spec, "--from", "{set}/best.ckpt", *sets]
    return [
        Target("trained", ["best.ckpt"], "packed", reading("{set}/best.ckpt", again), weight=4),
        Target("trained", ["last.ckpt"], "packed", [resumed], weight=2),
        Target("trained", ["config.toml", "metrics.csv", "data.json"], "text", [resumed], weight=1),
        Target("trained", ["config.toml"], "text", [["train", "--estimate", "-p", "{set}/config.toml"]], weight=1),
        Target("bundle", ["words.onnx"], "packed", reading("{set}"), weight=4),
        Target(
            "detector", ["best.ckpt"], "packed",
            [["model", "info", "{set}"], ["predict", image, "-m", "{set}"], ["model", "set", "{set}", "threshold=0.4"]],
            weight=2,
        ),
        Target("quarantine", ["step.json"], "json", [["diagnose", "replay", "{set}"]], weight=1),
        Target("quarantine", ["weights.ckpt", "batch.npz"], "packed", [["diagnose", "replay", "{set}"]], weight=1),
    ]  # fmt: skip


BUILDERS = {"data": build_data, "models": build_models}


def write(path: Path, targets: list[Target]) -> None:
    """Keep `targets` beside the corpus."""
    path.write_text(json.dumps([asdict(target) for target in targets]))


def read(path: Path) -> list[Target]:
    """What `write` kept."""
    return [Target(**entry) for entry in json.loads(path.read_text())]
