"""Model plug-ins: the worked examples of docs/examples through the command line, and what is said of wrong ones."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.config.plugins import use_plugins
from ocrctl.errors import PluginError, UsageError
from ocrctl.models.registry import family_of, get_spec, specs

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
WORDS = ["cat", "dog", "sun", "hat", "pen", "cup"]
SETS = ["train.batch_size=2", "train.threads=1", "data.max_val_samples=2", "log.previews=0", "train.precision=32-true",
        "page.height=64", "page.width=96", "page.side=96", "page.augment=0"]  # fmt: skip


def sets(*more: str) -> list[str]:
    return [word for one in (*SETS, *more) for word in ("--set", one)]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    for number, word in enumerate(WORDS):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    (folder / "rec_gt.txt").write_text("".join(f"{number}.png\t{word}\n" for number, word in enumerate(WORDS)))
    return folder


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("toy_ctc", ()),
        pytest.param("toy_ar", (), marks=pytest.mark.slow),
        ("toy_det", ("data.workers=1", "data.start_method=spawn")),
    ],
)
def test_an_example_trains_resumes_and_is_evaluated_exported_and_used(
    name: str,
    loader: tuple[str, ...],
    tmp_path: Path,
    words: Path,
    page_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, arch, detects = EXAMPLES / f"{name}.py", name.replace("_", "-"), name == "toy_det"
    assert len(file.read_text().splitlines()) <= 120
    data, out, plugin = str(page_folder if detects else words), tmp_path / "run", ["--plugin", str(file)]
    loading = loader or ("data.workers=0",)
    assert run(["train", arch, "-d", data, "-o", str(out), *plugin, *sets("train.max_steps=2", *loading)]) == 0
    assert f"--plugin {file}" in capsys.readouterr().err.splitlines()[-1]
    assert tomllib.loads((out / "config.toml").read_text())["model"]["plugin"] == file.name

    longer = ["train", "--resume", "-o", str(out), "--set", "train.max_steps=3"]
    assert run(longer) == 2
    said = capsys.readouterr().err
    assert f"'{arch}' is of the plug-in {name}.py, which is not loaded" in said and f"--plugin {name}.py" in said
    assert run([*longer, *plugin, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3

    assert run(["train", "-p", str(out / "config.toml"), "-o", str(tmp_path / "next"), "--fast-dev-run"]) == 2
    assert f"'{arch}' is of the plug-in {name}.py, which is not loaded" in capsys.readouterr().err

    for command in (["eval", str(out), "-d", data], ["predict", data, "-m", str(out)], ["export", str(out), "-o", "x"]):
        assert run(command) == 2, command
        assert f"{name}.py, which is not loaded" in capsys.readouterr().err
    assert run(["eval", str(out), "-d", data, *plugin]) == 0
    assert run(["export", str(out), "-o", str(tmp_path / "bundle"), *plugin]) == 0
    onnx = str(tmp_path / "bundle" / "run.onnx")
    capsys.readouterr()
    assert run(["predict", data, "-m", onnx, "--json"]) == 2
    assert f"{name}.py, which is not loaded" in capsys.readouterr().err
    results = []
    for model in (str(out), onnx):
        assert run(["predict", data, "-m", model, "--json", *plugin]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        results.append([[line.get("text"), len(line.get("boxes", ()))] for line in lines])
    assert results[0] == results[1] and len(results[0]) == (4 if detects else 6)

    assert run(["model", "info", str(out), "--json"]) == 0, "what a file says of itself needs no plug-in"
    assert json.loads(capsys.readouterr().out)["card"]["plugin"] == file.name
    assert run(["dataset", "validate", data, "--for", str(out), *plugin]) in (0, 1)
    assert run(["dataset", "validate", data, "--for", str(out)]) == 2


def test_a_plug_in_is_listed_known_to_profiles_and_gone_with_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = ["--plugin", str(EXAMPLES / "toy_ctc.py")]
    assert run(["model", "list", *plugin]) == 0
    assert "toy-ctc" in capsys.readouterr().out
    assert "toy-ctc" not in specs()
    profile = tmp_path / "mine.toml"
    profile.write_text("[toy-ctc.train]\nlr = 0.5\n")
    assert run(["profile", "check", str(profile), *plugin]) == 0
    assert run(["profile", "check", str(profile)]) == 2
    with use_plugins([EXAMPLES / "toy_ctc.py"]):
        from ocrctl.core.settings import load_settings

        assert load_settings([str(profile)], flags={"arch": "toy-ctc"}).train.lr == 0.5
        assert load_settings(flags={"arch": "toy-ctc"}).train.lr == 3e-3
    monkeypatch.setenv("OCRCTL_PLUGIN", str(EXAMPLES / "toy_ctc.py"))
    capsys.readouterr()
    assert run(["model", "list"]) == 0
    assert "toy-ctc" in capsys.readouterr().out
    assert run(["train", "toy-ar", "--fast-dev-run"]) == 2
    assert "Unknown architecture 'toy-ar'. Did you mean 'toy-ctc'" in capsys.readouterr().err


CTC, DET = (EXAMPLES / "toy_ctc.py").read_text(), (EXAMPLES / "toy_det.py").read_text()


@pytest.mark.parametrize(
    ("source", "before", "after", "said"),
    [
        (CTC, "from torch import Tensor, nn", "from torch import Tensor, nothing", "cannot be loaded (ImportError"),
        (CTC, '"toy-ctc"', '"crnn"', "the family 'crnn' exists already in ocrctl itself"),
        (CTC, 'name="toy-ctc",\n            task', 'name="crnn",\n            task', "architecture 'crnn' exists"),
        (CTC, 'name="toy-ctc",\n    specs', 'name="train",\n    specs', "'train' is a section of every profile"),
        (CTC, 'tokenizer="ctc"', "tokenizer=None", "tokenizer should be 'ctc' or 'ar' for a recogniser, found 'None'"),
        (CTC, "input_width=96", "input_width=97", "input_width should be a multiple of stride_w (4), found '97'"),
        (CTC, "input_height=32", "input_height=0", "input_height should be a whole number of pixels from 1"),
        (CTC, '"lower36"', '"lower37"', "default_charset should be one of"),
        (CTC, 'objective="ctc"', 'objective="maps"', "objective 'maps' requires a detector"),
        (CTC, 'objective="ctc"', 'objective="cross-entropy"', "requires the tokenizer 'ar'"),
        (CTC, "FAMILY = ModelFamily(", "FAMILY = dict(", "FAMILY is dict, expected a ModelFamily"),
        (CTC, "build=build", "build='nowhere.model:build'", "build: there is no nowhere.model:build"),
        (CTC, "build=build", "build='ocrctl.models.find:nothing'", "build: there is no ocrctl.models.find:nothing"),
        (CTC, "build=build", "build=3", "build is 3, expected a function"),
        (CTC, "features.mean(2).transpose(1, 2)", "features.mean(2)", "the forward pass failed (RuntimeError"),
        (CTC, "Head(classes)", "Head(classes + 2)", "gives logits as torch.float32 (2, 24, 39), expected floating"),
        (CTC, "WIDTH, 3, stride=2, padding=1),\n            nn.ReLU(),\n        )",
         "WIDTH, 3, padding=1),\n            nn.ReLU(),\n        )",
         "gives logits as torch.float32 (2, 48, 37), expected floating (2, 24, 37)"),
        (CTC, '{"logits": self', '{"scores": self', "no logits, only scores"),
        (CTC, '("head.linear.weight"', '("head.weight"', "class_tensors name 'head.weight'"),
        (CTC, "options=()", "options=(), attention='cross'", "attention should be '' or 'self', found 'cross'"),
        (CTC, "options=()", "options=(), attention='self'", "has attention='self', but its model no step_attention"),
        (DET, 'maps={"text": "sigmoid"}', "maps={}", "detector.maps should be map names"),
        (DET, "find_polygons=find_polygons,\n", "", "lacks find_polygons"),
        (DET, "loss=loss, ", "", "lacks loss, which the objective 'maps' requires"),
        (DET, "map_stride=STRIDE", "map_stride=2", "gives text as torch.float32 (2, 16, 24), expected floating (2, 32"),
        (DET, '"care": care}', '"care": care * 3}', "targets gave care, which holds 3, expected 0 and 1"),
        (DET, "(each * care).sum() /", "each * care /", "the loss of a batch is torch.float32 (1, 16, 24), expected"),
        (DET, "self.layer(states).squeeze(1)", "self.layer(states).view(-1, 16, 24)", "validation failed (Run"),
        (DET, "return NO_DETECTIONS", "return []", "find_polygons gave list, expected Detections"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plug_in_is_one_sentence_and_exit_2(
    source: str, before: str, after: str, said: str, tmp_path: Path, words: Path, page_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "mine.py"
    assert before in source
    file.write_text(source.replace(before, after))
    arch, data = ("toy-ctc", words) if source is CTC else ("toy-det", page_folder)
    arguments = [arch, "-d", str(data), "-o", str(tmp_path / "run"), "--plugin", str(file)]
    assert run(["train", *arguments, *sets("train.max_steps=1", "data.workers=0", "train.batch_size=1")]) == 2
    message = capsys.readouterr().err
    [error] = [line for line in message.splitlines() if line.startswith("error: ")]
    assert f"plug-in {file}: " in error and said in error, message
    assert "hint: " in message or "cannot be loaded" in said


def test_two_files_with_one_family_and_one_file_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text(CTC)
    second.write_text(CTC)
    with (
        use_plugins([first, second]),
        pytest.raises(PluginError, match="b.py: the family 'toy-ctc' exists already"),
    ):
        get_spec("toy-ctc")
    with use_plugins([first, first.parent / "." / "a.py"]):
        assert get_spec("toy-ctc").plugin == "a.py"


def test_installed_plug_ins_are_loaded_for_names_that_are_not_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "installed_reader.py").write_text(CTC)
    (tmp_path / "installed_broken.py").write_text("raise OSError('gone')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def install(**points: str) -> None:
        package = tmp_path / "reader_package-1.0.dist-info"
        package.mkdir(exist_ok=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: reader-package\nVersion: 1.0\n")
        lines = [f"{name.replace('_', '-')} = {value}" for name, value in points.items()]
        (package / "entry_points.txt").write_text("\n".join(["[ocrctl.models]", *lines, ""]))

    install(toy_ctc="installed_reader")
    assert get_spec("toy-ctc").plugin == "reader-package" and "toy-ctc" in list(specs())
    assert family_of("toy-ctc").name == "toy-ctc"
    install(other="installed_reader:FAMILY")
    with pytest.raises(PluginError, match="expected a FAMILY called 'other', as its entry point is, found toy-ctc"):
        get_spec("toy-ctc")
    install(broken="installed_broken")
    assert get_spec("crnn").plugin is None, "nothing is loaded for a built-in name"
    with pytest.raises(PluginError, match="installed_broken .entry point 'broken'.: cannot be loaded .OSError: gone"):
        get_spec("toy-ctc")
    install()
    with pytest.raises(UsageError, match="plug-in my-package, which is not loaded") as caught:
        get_spec("toy-ctc", plugin="my-package")
    assert caught.value.hint == "install the package my-package, or name its file with --plugin FILE.py"


# With a third convolution, which sees what the second leaves in the padding.
IMPORT, COLUMNS = "from ocrctl.config.model_spec", "from ocrctl.models.ocr_model"
THIRD = "            nn.ReLU(),\n            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),\n        )"
KEEPS = CTC.replace("options=(),", 'options=(), resizes=("keep",), kept=KeptAspect(8, 96, 4),')
KEEPS = KEEPS.replace("            nn.ReLU(),\n        )", THIRD)
KEEPS = KEEPS.replace(IMPORT, f"from ocrctl.config.kept_aspect import KeptAspect\n{IMPORT}")
FORWARD = """    takes_columns = True

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:"""
CLEAR = """features = self.layers[:-1](images)
        if columns is not None:
            features = clear_columns(features, strided(columns.counted, 4))
        features = self.layers[-1](features)"""
CLEARED = KEEPS.replace("    def forward(self, images: Tensor) -> Tensor:", FORWARD)
CLEARED = CLEARED.replace("features: Tensor = self.layers(images)", CLEAR)
CLEARED = CLEARED.replace(
    COLUMNS, f"from ocrctl.models.layers.columns import Columns, clear_columns, strided\n{COLUMNS}"
)


def test_a_plugin_that_keeps_the_aspect_ratio_must_not_read_padding(
    word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, source, code in (("blind", KEEPS, 2), ("clear", CLEARED, 0)):
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        words = ["toy-ctc", "-d", str(word_folder), "--plugin", str(file), "--charset", "ascii94"]
        out = str(tmp_path / name)
        assert run(["train", *words, "-o", out, *sets("train.max_steps=1", "data.workers=0")]) == code
        said = capsys.readouterr().err
        assert ("beside a wider one than alone" in said) == bool(code)
