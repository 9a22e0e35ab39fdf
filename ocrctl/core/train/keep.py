"""What a fine-tuning keeps (`--keep`): the images, the base model, and the part held out to measure forgetting."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.streams import pages_config, synth_config
from ocrctl.core.train.check_data import check_pages, raise_page_errors
from ocrctl.core.train.data_errors import CheckedSource, LabelPolicy, raise_data_errors
from ocrctl.core.train.initialise import initialise
from ocrctl.core.train.task import Report, split_indices
from ocrctl.data.annotations.builder import from_words
from ocrctl.data.augment.pages import PageAugment
from ocrctl.data.datasets.check_labels import LabelReport
from ocrctl.data.datasets.detection import PageSource, TrainingPages
from ocrctl.data.datasets.kept import (
    IMAGES,
    WithKept,
    WithoutLabels,
    image_pages,
    image_words,
    kept_per_batch,
    no_targets,
)
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.datasets.recognition import FiniteWords, TrainingWords
from ocrctl.data.formats.spec import expect_stream, open_annotations, open_source, parse_spec
from ocrctl.data.formats.to_page_words import expect_pages
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.synth import SynthWords
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.data.validate.run import header_errors
from ocrctl.errors import InputError, UsageError, counted
from ocrctl.files.atomic import write_text
from ocrctl.files.regular import read_regular
from ocrctl.inference.locate import locate
from ocrctl.models.card import card_tokenizer
from ocrctl.shell import shell_quote
from ocrctl.text.charset import Charset

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel
    from ocrctl.training.objectives import Objective

NONE, SYNTH = "none", "synth"
BASE_FILE = "base.json"  # in the run folder: what --from named, and its checksum
SEED_OFFSET = 7_000_003  # other draws than those of the training stream


@dataclass(frozen=True)
class Keep:
    """Kept images of one run: their stream, their number for each batch of `batch_size` new ones, and size and checksum
    of a finite set by name."""

    spec: str
    stream: Any
    batch_size: int
    per_batch: int
    fingerprints: dict[str, str] = field(default_factory=dict)

    def mixed(self, samples: Any) -> WithKept:
        """Return the training stream with kept images in each batch."""
        return WithKept(samples, self.stream, self.batch_size, self.per_batch)


def keep_spec(settings: Settings, task: str) -> str | None:
    """Return the SPEC of --keep, the synthetic stream of the task for `synth`, None for none."""
    given = settings.data.keep
    if given in (None, "", NONE):
        return None
    return f"synth:{'pages' if task == 'detection' else 'words'}" if given == SYNTH else given


def prepare_keep(settings: Settings, spec: ModelSpec, card: ModelCard, report: Report) -> Keep | None:
    """Open and check the images of --keep; None without. The held-out part (`held_out_part`) is left out.

    Raises UsageError when there is no base to keep anything of, InputError when the images cannot be read.
    """
    given = keep_spec(settings, spec.task)
    if given is None:
        return None
    if not settings.model.init:
        raise UsageError("--keep: requires --from: without a base model there is nothing to keep.", hint="--from MODEL")
    stream, count, held, fingerprint = (_pages if spec.task == "detection" else _words)(given, settings, spec, card)
    new, weight = settings.train.whole_batch, settings.train.keep_weight
    per_batch = kept_per_batch(new, settings.train.keep_share)
    if count is not None and count + held < 2:
        raise InputError(
            f"--keep {given}: expected at least 2 images, of which one is held out, found {count + held}.",
            hint="give more images, or --keep synth",
        )
    parts = settings.train.processes * settings.train.rounds
    if per_batch < parts:
        raise UsageError(
            f"--keep: {per_batch} kept images for each batch of {new} cannot be divided among {parts} forward passes.",
            hint="raise train.batch_size or train.keep_share",
        )
    images = "endless" if count is None else f"{counted(count, 'image')}, {held} held out"
    share = per_batch / (new + per_batch)
    report(
        f"keep: {given}, {images}; {per_batch} with each batch of {new} ({share:.0%} of its images), weight {weight:g}"
    )
    return Keep(given, stream, new, per_batch, {f"--keep {given}": fingerprint} if fingerprint else {})


class _Opened(NamedTuple):
    """A stream of kept images, their number (None: endless), the held-out ones, and its fingerprint."""

    stream: Any
    images: int | None
    held_out: int
    fingerprint: str


def _pages(given: str, settings: Settings, spec: ModelSpec, card: ModelCard) -> _Opened:
    seed, size = settings.seed + SEED_OFFSET, (settings.page.height, settings.page.width)
    if given == "synth:pages":
        rendered = SynthPages(pages_config(settings, "train", height=size[0], width=size[1]).with_(seed=seed))
        return _Opened(TrainingPages([rendered], Mixture([None], None, seed), size, no_targets, seed), None, 0, "")
    checked = check_pages(given, open_pages(given), settings.data)
    raise_page_errors([checked])
    data, page = checked.data, settings.page
    held = set(held_out_part(len(data.images), settings))
    augment = PageAugment(
        strength=page.augment, rotate=page.rotate, zoom=(page.zoom_min, page.zoom_max), flip=page.flip,
        mosaic=page.mosaic,
    )  # fmt: skip
    source = PageSource(data, [index for index in range(len(data.images)) if index not in held], augment)
    stream = TrainingPages([source], Mixture([len(source)], None, seed), size, no_targets, seed)
    names = crc32("\n".join(data.images).encode())
    return _Opened(stream, len(source), len(held), f"{len(data.images)} pages, names {names:08x}")


def _words(given: str, settings: Settings, spec: ModelSpec, card: ModelCard) -> _Opened:
    seed, tokenizer = settings.seed + SEED_OFFSET, card_tokenizer(card)
    batch = kept_per_batch(settings.train.whole_batch, settings.train.keep_share)
    if given == "synth:words":
        rendered = synth_words(settings, spec, card, "train", seed)
        stream = TrainingWords([rendered], Mixture([None], None, seed), spec, tokenizer, seed, batch)
        return _Opened(stream, None, 0, "")
    source = open_words(given)
    files, scan = header_errors(from_words(source))
    report = LabelReport(given, total=len(source), kept=list(range(len(source))))
    raise_data_errors([CheckedSource(given, source, report, False, files)], LabelPolicy(spec, Charset(card.charset)))
    held = set(held_out_part(len(source), settings))
    chosen = [index for index in range(len(source)) if index not in held]
    words = FiniteWords(WithoutLabels(source, card.charset[0]), chosen, settings.data.augment, scan.sizes)
    stream = TrainingWords([words], Mixture([len(words)], None, seed), spec, tokenizer, seed, batch)
    locations = crc32("\n".join(source.where(index) for index in range(len(source))).encode())
    return _Opened(stream, len(words), len(held), f"{len(source)} images, locations {locations:08x}")


def synth_words(settings: Settings, spec: ModelSpec, card: ModelCard, split: str, seed: int) -> SynthWords:
    """Return rendered words in the characters of `card`; in all styles where it has capital letters."""
    style = "scene" if any(char.isupper() for char in card.charset) else settings.synth.style
    changed = settings.model_copy(update={"synth": settings.synth.model_copy(update={"style": style})})
    return SynthWords(synth_config(changed, spec, Charset(card.charset), split).with_(seed=seed))


def check_general(settings: Settings, spec: ModelSpec) -> None:
    """Open the data of --general once, before hours of training. Raises as `open_words` and `open_pages` do."""
    given = settings.data.general
    if given in (None, "", NONE):
        return
    if given.startswith("synth:"):
        expect_stream(parse_spec(given), "pages" if spec.task == "detection" else "words")
    else:
        (open_pages if spec.task == "detection" else open_words)(given)


def held_out_part(count: int, settings: Settings) -> list[int]:
    """Return the indices of the kept set that no step draws: they measure what is forgotten."""
    return list(map(int, split_indices(count, settings)[0])) if count > 1 else []


def open_words(given: str) -> WordSource:
    """Open the word images of a SPEC or of `images:FOLDER`."""
    if given.startswith(IMAGES) and not Path(given).exists():
        return image_words(Path(given.removeprefix(IMAGES)))
    parsed = parse_spec(given)
    expect_stream(parsed, "words")
    return open_source(parsed)


def open_pages(given: str) -> Any:
    """Open the pages of a SPEC or of `images:FOLDER`."""
    if given.startswith(IMAGES) and not Path(given).exists():
        return image_pages(Path(given.removeprefix(IMAGES)))
    parsed = parse_spec(given)
    expect_stream(parsed, "pages")
    data = open_annotations(parsed)
    expect_pages(data)
    return data


def distilled(objective: Objective, settings: Settings, card: ModelCard) -> Objective:
    """Return `objective` with the distance to the outputs of the --from model on the kept images."""
    from ocrctl.models.build import build_model
    from ocrctl.models.checkpoint import load_initial
    from ocrctl.training.distillation import distillation

    assert settings.model.init is not None
    _, given, _ = load_initial(locate(settings.model.init).path)
    if card.task == "recognition" and given.preprocessing != card.preprocessing:
        raise UsageError(
            f"--keep: {settings.model.init} resizes images by {given.preprocessing!r}, the new model by "
            f"{card.preprocessing!r}: their outputs for one image cannot be compared.",
            hint=f"--set model.resize={given.preprocessing}",
        )
    base_card = replace(card, charset=given.charset) if card.task == "recognition" else card
    base: OCRModel = build_model(base_card)
    initialise(base, base_card, settings.model.init)
    train = settings.train
    return distillation(objective, base, base_card, card, train.keep_weight, train.keep_temperature)


def base_identity(init: str) -> dict[str, str]:
    """Return the path of the --from model and the checksum of its file."""
    path = locate(init).path
    return {"model": init, "path": str(path.resolve()), "sha256": _checksum(path)}


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def write_base(run: Path, identity: dict[str, str]) -> None:
    """Record in the run folder which model the run started from, as `base_identity` returns it."""
    write_text(run / BASE_FILE, json.dumps(identity, ensure_ascii=False, indent=1) + "\n")


def read_base(run: Path) -> dict[str, str] | None:
    """Return what `write_base` recorded; None when the file is missing. Raises InputError when it is damaged."""
    path = run / BASE_FILE
    try:
        found = json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({str(error)[:120]}).", hint="restore it from a backup") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in ("path", "sha256")):
        raise InputError(f"{path}: expected a JSON object with path and sha256.", hint="restore it from a backup")
    return found


def recorded_base(run: Path, init: str) -> str:
    """Return the file of the --from model that the run at `run` started from; `init` when none was recorded.

    Raises InputError when the file is missing or holds another model now.
    """
    recorded = read_base(run)
    if recorded is None:
        return init
    then = Path(recorded["path"])
    path = then if then.is_file() else locate(init).path
    now = _checksum(path)
    if now != recorded["sha256"]:
        raise InputError(
            f"{path} has changed since {run} began (sha256 {recorded['sha256'][:12]}... then, {now[:12]}... now): what "
            "the run has forgotten cannot be measured.",
            hint="restore it, or compare with another model: ocrctl eval",
        )
    return str(path)


def check_base(run: Path, settings: Settings) -> None:
    """Raise InputError when the --from model of the resumed run at `run` is no longer the one that it started from: its
    outputs are what --keep learns."""
    before = read_base(run)
    if before is None or not settings.model.init:
        return
    hint = f"restore it, or start a new run: ocrctl train -p {shell_quote(run / 'config.toml')} --from MODEL -o NEW"
    try:
        now = base_identity(settings.model.init)
    except InputError as error:
        raise InputError(
            f"{run}: --keep requires the model that the run started from. {error.message}", hint=hint
        ) from None
    if now["sha256"] != before["sha256"]:
        raise InputError(
            f"{settings.model.init} has changed since {run} began (sha256 {before['sha256'][:12]}... then, "
            f"{now['sha256'][:12]}... now): --keep would teach the outputs of another model.",
            hint=hint,
        )
