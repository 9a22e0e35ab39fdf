"""The settings of a training run, each with its unit. An unknown name is an error."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ocrctl.config.limits import IMAGE_BYTES, IMAGE_PIXELS, UNPACK_FREE, UNPACK_RATIO, ZIP_TEXT_BYTES

Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed"]


class Section(BaseModel):
    """A frozen group of settings; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class TrainSettings(Section):
    """`train.*`: length, optimiser, precision, validation interval."""

    max_steps: int | None = Field(None, ge=1)
    """optimiser steps to run; the learning-rate schedule ends there and depends on steps only"""
    max_epochs: float | None = Field(None, gt=0)
    """passes over the finite training data (converted to steps; endless streams have no epochs)"""
    max_minutes: float | None = Field(None, gt=0)
    """maximum minutes of training, validation included; without max_steps and max_epochs the schedule follows the
    clock, and the run is not reproducible"""
    batch_size: int = Field(64, ge=1, le=1 << 20)
    """samples per device and forward pass"""
    accumulate: int = Field(1, ge=1, le=1 << 20)
    """forward passes per optimiser step; effective batch = batch_size x accumulate x devices x nodes"""
    lr: float = Field(1e-3, ge=0)
    """peak learning rate of AdamW; default: the architecture's (1e-3 for most, some lower with --from); 0: no change"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: orthogonalised momentum for the hidden matrices, AdamW for the rest; needs fewer samples"""
    muon_lr: float = Field(0.01, gt=0)
    """peak learning rate of Muon's matrices, where optimizer is muon; the rest uses lr"""
    muon_momentum: float = Field(0.9, ge=0, lt=1)
    """momentum of Muon's matrices; lower for short runs, higher for long ones"""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """learning rate of a layer relative to that of the next layer; 1 turns layer-wise decay off"""
    freeze: int | str | None = None
    """what --from brought and training leaves as it is: the first N layers, or names of parameters or modules, globs
    (encoder.*, comma-separated) or re:REGEX; default: nothing"""
    ema: float = Field(0.0, ge=0, lt=1)
    """decay of the moving average of the weights, which is then validated and saved as the model; 0 turns it off"""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """share of the probability spread over all classes (autoregressive models only)"""
    activation_checkpointing: bool = False
    """recompute the encoder's activations in the backward pass: less memory, slower; not supported by every
    architecture"""
    freeze_norm: bool | None = None
    """keep the batch normalisation statistics of the initial model and normalise with them; default: true with
    --from, false without"""
    cache_features: bool | None = None
    """keep the features of a frozen encoder in memory, so that further epochs compute only what is trained; default:
    where the encoder is frozen, no sample is augmented and the run is on a CPU"""
    cache_megabytes: int = Field(2048, ge=1)
    """maximum memory of train.cache_features in MiB; samples beyond it are computed each time"""
    keep_share: float = Field(0.3, gt=0, lt=1)
    """with --keep: share of kept images among the images of a step; they are added to the batch_size new ones of each
    batch, their number rounded, at least 1"""
    keep_weight: float = Field(3.0, ge=0)
    """with --keep: weight of the distance to the base model's outputs, beside the loss of the new samples"""
    keep_temperature: float = Field(1.0, gt=0, le=100)
    """with --keep, CTC models: temperature of the class distributions; above 1 rare classes contribute more"""
    max_forgetting: float = Field(1.0, ge=0, le=100)
    """with --from: maximum loss of the general set (--general, --keep) in percentage points; beyond it the run ends
    with exit 1, the model is saved"""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """a loss or gradient that is not finite: stop and save its batch in quarantine, or skip the batch and continue"""
    max_skipped_share: float = Field(0.05, ge=0, le=1)
    """maximum share of the steps so far that on_nonfinite=skip skips (always at least one step); beyond it the run
    stops"""
    max_skipped_steps: int = Field(20, ge=0)
    """maximum steps that on_nonfinite=skip skips in the whole run; beyond it the run stops"""
    max_quarantined: int = Field(5, ge=1)
    """maximum folders with batch and weights of steps skipped by on_nonfinite=skip; further ones are only listed"""
    weight_decay: float = Field(0.01, ge=0)
    """decoupled weight decay; not applied to biases and normalisation weights"""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    """one-cycle: linear warmup to lr, cosine to 0 (one-cycle starts at lr/25, cosine at 0); constant: warmup only"""
    warmup: float = Field(0.05, ge=0, lt=1)
    """warm-up as a share of the run"""
    warmup_steps: int | None = Field(None, ge=0)
    """warm-up in optimiser steps; replaces `warmup`"""
    clip_norm: float = Field(5.0, ge=0)
    """gradient norm limit; 0 turns clipping off"""
    precision: Precision = "auto"
    """auto: bf16-mixed where the device computes bf16 natively (CUDA >= 8.0, CPUs with AMX or AVX512-BF16), else
    32-true"""
    channels_last: bool = True
    """keep images in NHWC memory order: faster convolutions on CPUs and tensor cores"""
    devices: int = Field(1, ge=1, le=1024)
    """processes of each machine that train together, one for each GPU (on a CPU: gloo processes, for tests); more than
    one only when asked for"""
    nodes: int = Field(1, ge=1, le=1 << 16)
    """machines that train together; set from torchrun's or SLURM's environment"""
    process_timeout: float = Field(30.0, gt=0, le=1440)
    """minutes that a process waits for another one before it ends with exit 5"""
    sync_batchnorm: bool = False
    """several GPUs: take batch statistics over all of them (SyncBatchNorm) instead of each GPU's part of a batch"""
    global_batch: int | None = Field(None, ge=1)
    """samples of one forward pass over all processes, which fix the order of the samples; written by train, and kept
    by a run that resumes with another number of processes"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA if available, else CPU; cuda: exit 4 if it is not available"""
    mkldnn: bool = True
    """use oneDNN (MKL-DNN) kernels on a CPU; false: PyTorch's own, slower, for when oneDNN fails or needs too
    much memory"""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads of PyTorch; default: the cores this process may use"""
    val_every_steps: int | None = Field(None, ge=1)
    """optimiser steps between validations; default: a tenth of the run, at most 1000"""
    collapse_steps: int = Field(1000, ge=0)
    """optimiser steps after which a validation whose predictions are all empty or all one string is reported as a
    collapse; 0 turns it off"""
    early_stop: int = Field(0, ge=0)
    """stop after this many validations without a better accuracy; 0 turns it off"""
    log_every_steps: int = Field(50, ge=1)
    """optimiser steps between rows of metrics.csv; only these steps synchronise with the device"""

    @property
    def processes(self) -> int:
        """Return the number of processes that train together."""
        return self.devices * self.nodes

    @property
    def samples_per_step(self) -> int:
        """Return the effective batch size: samples of an optimiser step over all processes."""
        return self.batch_size * self.accumulate * self.processes

    @property
    def whole_batch(self) -> int:
        """Return the samples of a batch that all processes divide: `global_batch`, or as many as they take at once."""
        return self.global_batch or self.batch_size * self.processes

    @property
    def rounds(self) -> int:
        """Return the forward passes in which all processes together take a whole batch."""
        return max(1, self.whole_batch // (self.batch_size * self.processes))


class DataSettings(Section):
    """`data.*`: data sets, loading, validation split."""

    train: list[str] | None = None
    """SPECs of -d: a path, FORMAT:PATH, synth:words or synth:pages; default: the synthetic stream of the task"""
    val: str | None = None
    """SPEC of --val; default: val_fraction of the finite training data, or unseen samples of the stream"""
    keep: str | None = None
    """SPEC of --keep: images that the model must go on reading as the --from model does; images:FOLDER: without
    labels; synth: rendered text; default: none"""
    general: str | None = None
    """SPEC of --general: labelled data that measures what a --from run forgets; none: not measured; default: the
    held-out part of --keep, else rendered text"""
    weights: list[float] | None = None
    """share of each -d in a batch, in order; default: finite sets by size, an endless stream as much as all finite
    sets"""
    workers: int = Field(2, ge=0, le=1024)
    """loader processes, at most the cores that this process may use; 0 loads in the training process"""
    start_method: Literal["auto", "fork", "spawn", "forkserver"] = "auto"
    """how loader processes start; auto: fork on Linux, before any device is touched, else spawn"""
    val_fraction: float = Field(0.05, gt=0, lt=1)
    """share of images held out when --val is not given"""
    max_val_samples: int = Field(2000, ge=1)
    """maximum samples of each validation; a fixed, seeded subset"""
    augment: float = Field(0.5, ge=0, le=1)
    """strength of augmentation of real crops; 0 turns it off"""
    charset: str | None = None
    """charset file, or one of the built-in names; default: that of the --from model, else the architecture's"""
    bad_labels: Literal["refuse", "skip"] = "refuse"
    """labels that are empty, too long, or have an error of `dataset validate`: refuse to start, or skip those samples
    (on pages: ignored regions) and count them"""
    bad_polygons: Literal["refuse", "clamp", "skip"] = "refuse"
    """polygons with an error of `dataset validate`: refuse to start; clamp: move points outside the image to its edge
    and refuse other errors; skip: turn those polygons into ignored regions and count them"""
    unknown_chars: Literal["refuse", "skip"] = "refuse"
    """labels with characters outside the charset: refuse to start, or skip those samples and count them"""
    max_image_pixels: int = Field(IMAGE_PIXELS, ge=1)
    """maximum width x height of an image; one whose header states more is not decoded"""
    max_image_bytes: int = Field(IMAGE_BYTES, ge=1)
    """maximum bytes of an image file"""


class SynthSettings(Section):
    """`synth.*`: the streams synth:words and synth:pages; style, lengths and random_share apply to words only."""

    style: Literal["plain", "scene"] = "plain"
    """plain: words in lower case and digits; scene: mixed case, digits and punctuation as in photographs"""
    script: Literal["latin", "hangul"] = "latin"
    """writing system of the words"""
    min_length: int = Field(3, ge=1)
    """minimum characters of a word"""
    max_length: int = Field(10, ge=1)
    """maximum characters of a word"""
    random_share: float = Field(0.3, ge=0, le=1)
    """share of random strings; the rest are dictionary words"""
    strength: float = Field(1.0, ge=0, le=1)
    """strength of the degradations"""
    fonts: str | None = None
    """folder of additional TTF/OTF fonts; 'system': the fonts installed on the machine"""
    backgrounds: str | None = None
    """folder of photographs without text, drawn behind half of the synthetic pages"""


class PageSettings(Section):
    """`page.*`: the images of detectors."""

    height: int = Field(640, ge=32, multiple_of=32)
    """height of a training image in pixels, cropped from a page"""
    width: int = Field(640, ge=32, multiple_of=32)
    """width of a training image in pixels"""
    side: int = Field(1280, ge=32, le=1 << 15)
    """longer side of a page in pixels in validation and inference; saved with the model"""
    augment: float = Field(1.0, ge=0, le=1)
    """strength of rotation, scaling, cropping, colour and degradation; 0: whole pages, unchanged"""
    rotate: float = Field(10.0, ge=0, le=180)
    """maximum rotation to either side in degrees"""
    zoom_min: float = Field(0.6, gt=0, le=20)
    """minimum scale of a page, relative to the scale at which its area equals that of a training image"""
    zoom_max: float = Field(2.2, gt=0, le=20)
    """maximum scale, as zoom_min"""
    flip: float = Field(0.0, ge=0, le=1)
    """probability of a horizontal flip"""
    mosaic: float = Field(0.0, ge=0, le=1)
    """probability of a mosaic of four pages"""


class ModelSettings(Section):
    """`model.*`: options of an architecture, and its initial weights."""

    init: str | None = None
    """model of --from: initial weights; characters in both charsets keep their class weights"""
    width: int | None = Field(None, ge=8, le=8192)
    """input width of a recogniser in pixels, which words and lines are resized to, or the maximum with
    resize=keep; default: the architecture's. Saved with the model"""
    resize: Literal["stretch", "keep"] | None = None
    """stretch: resize words to one size; keep: to one height with their aspect ratio, batches padded to their widest
    word; default: the architecture's. Saved with the model"""
    tall: Literal["upright", "turn"] | None = None
    """with resize=keep, a word at least 1.5 times as high as wide; turn: read it upright and turned by 90 degrees to
    either side, keep the most confident reading, and train on it in the orientation that the --from model reads
    (without one, leave it out unless it is a single character); upright: as it is; default: the architecture's. Saved
    with the model"""
    dropout: float = Field(0.1, ge=0, lt=1)
    """dropout: before the classifier of a CTC model, throughout an autoregressive decoder"""
    decoding: Literal["ar", "nar"] = "ar"
    """decoding of an autoregressive model; ar: character by character; nar: all characters at once"""
    refine: int = Field(1, ge=0, le=10)
    """refinement iterations of an autoregressive model"""
    relative_bias: bool = True
    """learned bias for each distance (dh, dw) between two cells in 2-D self-attention"""
    window_size: int = Field(0, ge=0, le=64)
    """side of the windows of 2-D self-attention in cells; 0: every cell attends to all"""
    cross_attention: Literal["deformable", "full"] = "deformable"
    """deformable: a character samples model.points locations of the image per head; full: it attends to every cell"""
    points: int = Field(4, ge=1, le=16)
    """sampling points per head of deformable cross-attention"""
    backbone: Literal["auto", "own", "efficientnet-lite0", "mobilenetv3", "resnet18", "resnet50", "vgg16bn"] = "auto"
    """backbone of a detector, or of a recogniser that supports others than its own convolutions (own); auto: the
    default of the architecture"""
    strides: str | None = None
    """strides of a recogniser's features, DOWNxRIGHT for each stage that may halve them, such as
    2x2,2x2,2x1,2x1,2x1; default: the architecture's. Saved with the model"""
    guidance: bool = False
    """train a recogniser that has one with its semantic guidance module, which predicts characters from their
    neighbours; inference does not run it"""
    unfold: bool = False
    """train each depthwise 3x3 convolution of a PP-OCR backbone as the branches of RepVGG (3x3, 1x1, identity); only
    checkpoints of training hold the branches, which every other command folds into one kernel again"""
    plugin: str | None = None
    """name of the plug-in that brings the architecture, written by train; it is never loaded by this name"""
    pretrained: str | None = None
    """ImageNet weights of a detector's backbone: a file, an https URL (downloaded once and logged), or
    'package' (efficientnet-lite0, from the extra `pretrained`); default: none"""


class LogSettings(Section):
    """`log.*`: loggers besides metrics.csv, which is always written."""

    logger: Literal["none", "wandb", "tensorboard", "trackio", "mlflow"] = "none"
    """additional logger, of the extra with its name; it is imported only when chosen"""
    previews: int = Field(16, ge=0)
    """samples of each validation drawn with ground truth and prediction; 0 turns it off"""


class WatchdogSettings(Section):
    """`watchdog.*`: limits of a training step and of the wait for a batch. Beyond one, the Python stacks of all
    processes are written to the run folder (stacks/)."""

    step_seconds: float = Field(300.0, ge=0)
    """maximum seconds of a training step or of a batch of a validation; 0 turns it off"""
    loader_seconds: float = Field(300.0, ge=0)
    """maximum seconds of the wait for a batch; 0 turns it off"""
    abort: bool = False
    """end the run with exit 5 once a limit is exceeded, after saving where that is possible; false: only report"""


class LimitSettings(Section):
    """`limits.*`: maximum size of unpacked files. Every command reads OCRCTL_LIMITS__NAME too."""

    unpack_ratio: int = Field(UNPACK_RATIO, ge=1)
    """maximum bytes that a checkpoint or zip may unpack to per byte of the file"""
    unpack_free: int = Field(UNPACK_FREE, ge=1)
    """bytes that a checkpoint or zip of any size may unpack to"""
    zip_text_bytes: int = Field(ZIP_TEXT_BYTES, ge=1)
    """maximum unpacked bytes of all label texts of a zip"""


class Settings(BaseSettings):
    """All settings of a run; sections are frozen, an unknown name is an error."""

    model_config = SettingsConfigDict(
        env_prefix="OCRCTL_", env_nested_delimiter="__", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    arch: str | None = None
    """architecture; `ocrctl model list` shows the names"""
    seed: int = Field(0, ge=0)
    """random seed of weights, data order, augmentation and splits"""
    train: TrainSettings = TrainSettings()
    data: DataSettings = DataSettings()
    synth: SynthSettings = SynthSettings()
    page: PageSettings = PageSettings()
    model: ModelSettings = ModelSettings()
    log: LogSettings = LogSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    limits: LimitSettings = LimitSettings()

    def tree(self) -> dict[str, Any]:
        """Return sections and values as saved in config.toml, without unset ones."""
        values = {name: getattr(self, name) for name in Settings.model_fields}
        sections = {
            name: value.model_dump(exclude_none=True) if isinstance(value, Section) else value
            for name, value in values.items()
        }
        return {name: value for name, value in sections.items() if value is not None}
