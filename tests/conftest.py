"""Fixtures that tests of several packages share: a small recogniser, a folder of drawn words, limits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ocrctl.config.limits import VARIABLES, limit

WORDS = ["hotel", "Exit", "24h", "cafe", "OPEN", "n0", "street", "a", "parking", "b7", "zoo", "Market-1"]


# Several workers (pytest -n) share the cores, and their threads would wait for each other.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

# A shell starts what it runs in the background with Ctrl-C ignored, and every process of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup starts it with the hang-up ignored. A signal that is handled is not ignored by the processes of a test.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)


# A machine that does other work at the same time makes a single example slow, which says nothing of the code.
hypothesis.settings.register_profile("ocrctl", deadline=None)
hypothesis.settings.load_profile("ocrctl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped where PyTorch finds no CUDA device; only then is torch imported for it. Tests
    marked `posix` are skipped on Windows."""
    if os.name == "nt":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="needs FIFOs, terminals, fork or POSIX signals"))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run all tests of a file in one worker, files in order: what a module prepares for its tests is prepared once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture
def set_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Set a limit, by the name of its setting, to the text of its variable, for the rest of the test."""

    def set_to(name: str, text: str) -> None:
        monkeypatch.setenv(VARIABLES[name], text)
        limit.cache_clear()

    yield set_to
    limit.cache_clear()


@pytest.fixture(scope="module")
def shallow_models() -> Iterator[None]:
    """Recognisers of one layer in place of several, where that is possible, and a narrow VGG: for tests of what every
    architecture does with an input, not of how well."""
    from dataclasses import replace

    from ocrctl.models.crnn import attention, vgg
    from ocrctl.models.parseq import model as parseq
    from ocrctl.models.ppocr import recogniser as ppocr
    from ocrctl.models.satrn import model as satrn
    from ocrctl.models.svtrv2 import model as svtrv2
    from ocrctl.models.true2d import model as true2d

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parseq, "SIZES", {arch: replace(size, blocks=1) for arch, size in parseq.SIZES.items()})
        for family in (satrn, true2d):
            sizes = {arch: replace(size, encoder_layers=1, decoder_layers=1) for arch, size in family.SIZES.items()}
            patch.setattr(family, "SIZES", sizes)
        patch.setattr(attention, "SIZES", {arch: replace(size, depth=1) for arch, size in attention.SIZES.items()})
        mixers = ((1, 0), (1, 0), (0, 1))  # local and global blocks of each stage
        stages = {arch: tuple(replace(stage, local=local, wide=wide)
                              for stage, (local, wide) in zip(stages, mixers, strict=True))
                  for arch, stages in svtrv2.SIZES.items()}  # fmt: skip
        patch.setattr(svtrv2, "SIZES", stages)
        sizes = {arch: replace(size, stages=tuple(replace(stage, excite=stage.excite[:1]) for stage in size.stages))
                 for arch, size in ppocr.SIZES.items()}  # fmt: skip
        patch.setattr(ppocr, "SIZES", sizes)
        narrow = {arch: replace(size, channels=64, hidden=32) for arch, size in vgg.SIZES.items()}
        patch.setattr(vgg, "SIZES", narrow)
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN/best.ckpt of an untrained crnn-tiny whose output varies with the image: seeded, sharpened weights."""
    import torch

    from ocrctl.config.model_card import CARD_KEY, ModelCard
    from ocrctl.models.build import build_model
    from ocrctl.text.charset import LOWER36

    card = ModelCard(
        arch="crnn-tiny", task="recognition", charset=LOWER36, height=32, width=100, channels=1, max_label_length=25,
        model={"dropout": 0.1},
    )  # fmt: skip
    torch.manual_seed(3)
    model = build_model(card)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lstm" in name or "head" in name:
                weight.mul_(4)
        model.train()
        for _ in range(10):  # batch statistics of something image-like
            model(torch.randint(0, 256, (16, 1, 32, 100), dtype=torch.uint8))
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    path = folder / "best.ckpt"
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)
    return path


@pytest.fixture(scope="session")
def kept_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN/best.ckpt of the same weights in a model that keeps the aspect ratio, 8 to 256 pixels wide."""
    from dataclasses import replace

    import torch

    from ocrctl.config.kept_aspect import KeptAspect
    from ocrctl.config.model_card import CARD_KEY, ModelCard

    state = torch.load(tiny_checkpoint, weights_only=True)
    kept = KeptAspect(min_width=8, max_width=256, multiple=4)
    card = replace(
        ModelCard.from_json(state[CARD_KEY]), preprocessing="keep", width=256, max_label_length=64, kept=kept
    )
    folder = tmp_path_factory.mktemp("runs") / "kept"
    folder.mkdir()
    torch.save({**state, CARD_KEY: card.to_json()}, folder / "best.ckpt")
    return folder / "best.ckpt"


@pytest.fixture(scope="session")
def mute_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN/best.ckpt of the same model with a bias that makes every step the CTC blank: it reads nothing."""
    import torch

    state = torch.load(tiny_checkpoint, weights_only=True)
    state["state_dict"]["model.head.linear.bias"][0] = 1e3
    folder = tmp_path_factory.mktemp("runs") / "mute"
    folder.mkdir()
    torch.save(state, folder / "best.ckpt")
    return folder / "best.ckpt"


@pytest.fixture(scope="session")
def word_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn words as PNG and a rec_gt.txt that labels them."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("words")
    lines = []
    for number, word in enumerate(WORDS):
        image = np.full((40, 24 * len(word) + 20, 3), 30 + 15 * number, np.uint8)
        cv2.putText(image, word, (6, 29), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (250, 240, 255 - 20 * number), 2, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
        lines.append(f"{number:02d}.png\t{word}\n")
    (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def once_for_all_workers(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """Return a new folder that `fill` has filled, for all workers (pytest -n) the same one."""
    from filelock import FileLock  # of torch's

    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(base / f"{name}.lock"):
        if not (base / name).exists():
            filled = factory.mktemp(name)
            fill(filled)
            filled.rename(base / name)
    return base / name


@pytest.fixture(scope="session")
def tiny_onnx(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model exported: BUNDLE/tiny.onnx."""
    from ocrctl.core.export.run import ExportOptions, export

    def fill(out: Path) -> None:
        assert export(ExportOptions([str(tiny_checkpoint)], out)).ok

    return once_for_all_workers(tmp_path_factory, "tiny-bundle", fill) / "tiny.onnx"


@pytest.fixture(scope="session")
def kept_onnx(kept_checkpoint: Path, word_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that keeps the aspect ratio, exported and compared on the drawn words: BUNDLE/kept.onnx."""
    from ocrctl.core.export.run import ExportOptions, export

    def fill(out: Path) -> None:
        (model,) = export(ExportOptions([str(kept_checkpoint)], out, str(word_folder))).models
        assert [check.samples for check in model.checks] == [1, 17, 12] and not model.failures
        assert max(check.max_abs_diff for check in model.checks) < 1e-4

    return once_for_all_workers(tmp_path_factory, "kept-bundle", fill) / "kept.onnx"


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pages of 160x120 pixels in ICDAR 2015's layout, each with two red bars for words, the last with none."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("pages")
    for number in range(4):
        image = np.full((120, 160, 3), 220, np.uint8)
        lines = []
        for row in range(2 if number < 3 else 0):
            left, top, right, bottom = 20 + 12 * number, 20 + 52 * row, 100 + 12 * number, 48 + 52 * row
            image[top:bottom, left:right] = (20, 20, 220)  # blue, green, red
            lines.append(f"{left},{top},{right},{top},{right},{bottom},{left},{bottom},word\n")
        cv2.imwrite(str(folder / f"img_{number}.png"), image)
        (folder / f"gt_img_{number}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN/best.ckpt of a dbnet on MobileNetV3, side 160, whose weights let through what is red and nothing else."""
    from dataclasses import replace

    import torch

    from ocrctl.config.detection_card import detection_card
    from ocrctl.config.model_card import CARD_KEY
    from ocrctl.config.settings import ModelSettings
    from ocrctl.models.build import build_model
    from ocrctl.models.registry import get_spec

    card = detection_card(get_spec("dbnet"), ModelSettings(backbone="mobilenetv3"), height=128, width=160, side=160)
    # Red less green, without a mean; whole bars are found, not kernels.
    card = replace(
        card, mean=[0.0] * 3, std=[1.0] * 3, thresholds={"threshold": 0.5, "box_threshold": 0.6, "unclip": 0.01}
    )
    torch.manual_seed(3)
    model = build_model(card)
    weights = model.state_dict()

    def only(name: str, row: int, column: int, *values: float) -> None:
        """Of kernels (out, in, h, w), row `row` takes the middle of the columns from `column` on."""
        weights[name][row] = 0
        middle = (weights[name].shape[2] // 2, weights[name].shape[3] // 2)
        for place, value in enumerate(values):
            weights[name][(row, column + place, *middle)] = value

    backbone = "encoder.features"
    only(f"{backbone}.0.0.weight", 0, 0, 8.0, -8.0)
    weights[f"{backbone}.1.block.1.1.weight"].zero_()  # leaves what stands beside the block
    for layer in range(3):
        only(f"{backbone}.2.block.{layer}.0.weight", 0, 0, 1.0)
    weights[f"{backbone}.3.block.2.1.weight"].zero_()
    only("decoder.lateral.0.weight", 0, 0, 1.0)
    for level in range(1, 4):
        weights[f"decoder.lateral.{level}.weight"].mul_(0.01)
    only("decoder.smooth.0.weight", 0, 0, 1.0)
    only("head.probability.0.weight", 0, 72, 1.0)  # the finest level stands last
    for layer, value in ((3, 1.0), (6, 2.0)):
        weights[f"head.probability.{layer}.weight"][:, 0] = 0
        weights[f"head.probability.{layer}.weight"][0, 0] = value
        weights[f"head.probability.{layer}.bias"].fill_(-6.0 if layer == 6 else 0.0)
    folder = tmp_path_factory.mktemp("runs") / "finder"
    folder.mkdir()
    state = {f"model.{name}": value for name, value in weights.items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, folder / "best.ckpt")
    return folder / "best.ckpt"


@pytest.fixture
def default_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_onnx: Path, tiny_detector: Path
) -> Iterator[Path]:
    """A folder of default models made of the tiny ones, det and rec-latin, and rec of a package `manytongues` that is
    not installed."""
    import hashlib

    from ocrctl.inference import default_models

    folder = tmp_path / "weights"
    folder.mkdir()
    manifest = []
    for name, task, source, arch, where in (
        ("det", "detection", tiny_detector, "dbnet", 'file = "det.ckpt"'),
        ("rec-latin", "recognition", tiny_onnx, "crnn-tiny", 'file = "rec-latin.onnx"'),
        ("rec", "recognition", tiny_onnx, "crnn-tiny", 'file = "rec.onnx"\npackage = "manytongues"\nextra = "multi"'),
    ):
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        manifest.append(
            f'[{name}]\n{where}\narch = "{arch}"\ntask = "{task}"\nsummary = "tiny {task}"\n'
            f'origin = "manytongues 1.0"\nlicence = "Apache-2.0"\nsha256 = "{digest}"\nsource_sha256 = "{digest}"\n'
            'accuracy = { "IIIT5K test" = 97.2 }\ncommands = ["ocrctl export a -o b"]\n'
        )
    (folder / "det.ckpt").write_bytes(tiny_detector.read_bytes())
    (folder / "rec-latin.onnx").write_bytes(tiny_onnx.read_bytes())
    (folder / "manifest.toml").write_text("\n".join(manifest), encoding="utf-8")
    monkeypatch.setattr(default_models, "WEIGHTS", folder)
    default_models.default_models.cache_clear()
    yield folder
    default_models.default_models.cache_clear()


@pytest.fixture
def no_host_sync():
    """A context manager that fails on every operation whose result, or its size, the host would have to wait for."""
    from torch import bool as boolean
    from torch.utils._python_dispatch import TorchDispatchMode

    waiting = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}

    class NoHostSync(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.overloadpacket.__name__
            assert name not in waiting, f"{func} waits for the device"
            if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
                assert all(i is None or i.dtype != boolean for i in args[1]), f"{func} by a mask waits for the device"
            return func(*args, **(kwargs or {}))

    return NoHostSync
