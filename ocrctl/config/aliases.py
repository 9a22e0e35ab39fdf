"""Names of settings in other OCR and training tools, and the setting of ocrctl for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Setting to its names in Ultralytics, PaddleOCR, MMOCR, docTR, timm, Lightning, Hugging Face and PARSeq.
_OTHER_NAMES = {
    "train.max_epochs": "epochs epoch num_epochs n_epochs nepochs total_epochs epoch_num num_train_epochs",
    "train.max_steps": "steps num_steps total_steps iters num_iter num_iters iterations max_iter max_iters",
    "train.max_minutes": "minutes max_time time_limit",
    "train.batch_size": "batch bs batchsize train_batch_size per_device_train_batch_size batch_size_per_card b",
    "train.accumulate": "accum accumulation accumulate_grad_batches grad_accum gradient_accumulation_steps",
    "train.lr": "learning_rate learningrate base_lr lr0 initial_lr max_lr",
    "train.optimizer": "optim opt",
    "train.weight_decay": "wd decay",
    "train.schedule": "scheduler lr_scheduler lr_scheduler_type sched",
    "train.warmup": "warmup_ratio warmup_share warmup_epochs",
    "train.clip_norm": "clip clip_grad grad_clip max_grad_norm gradient_clip_val",
    "train.early_stop": "patience early_stopping early_stopping_patience",
    "train.val_every_steps": "val_interval val_every valinterval eval_interval eval_steps val_check_interval",
    "train.log_every_steps": "log_interval log_every logging_steps log_every_n_steps print_freq",
    "train.device": "dev accelerator",
    "train.activation_checkpointing": "checkpointing gradient_checkpointing use_checkpoint",
    "train.devices": "gpus num_gpus n_gpus",
    "train.nodes": "num_nodes nnodes machines",
    "train.sync_batchnorm": "sync_bn syncbn",
    "train.threads": "num_threads nthreads",
    "train.ema": "ema_decay model_ema",
    "data.workers": "num_workers n_workers nworkers dataloader_num_workers loader_workers j",
    "data.val_fraction": "val_split val_size validation_split val_ratio",
    "data.augment": "augmentation aug",
    "data.charset": "character characters chars vocab alphabet character_dict_path",
    "model.width": "img_w imgw image_width img_width",
    "page.side": "imgsz img_size image_size input_size",
    "model.init": "checkpoint ckpt resume_from pretrained_model finetune",
    "log.logger": "logger_name loggers",
    "seed": "random_seed manual_seed manualseed",
}  # fmt: skip
# Flags without a value in other tools: setting and value.
_FLAGS = {
    "fp16": ("train.precision", "16-mixed"),
    "half": ("train.precision", "16-mixed"),
    "bf16": ("train.precision", "bf16-mixed"),
    "amp": ("train.precision", "auto"),
    "cuda": ("train.device", "cuda"),
    "gpu": ("train.device", "cuda"),
    "cpu": ("train.device", "cpu"),
    "wandb": ("log.logger", "wandb"),
    "tensorboard": ("log.logger", "tensorboard"),
    "adamw": ("train.optimizer", "adamw"),
    "muon": ("train.optimizer", "muon"),
}
_SETTING_OF = {word: setting for setting, words in _OTHER_NAMES.items() for word in words.split()}


class Alias(NamedTuple):
    """The setting of an alias; `value` is that of a flag without a value, "" where a value follows."""

    setting: str
    value: str = ""


def setting_of_alias(word: str, names: Sequence[str]) -> Alias | None:
    """Return the setting of `names` for `word`: `lr`, `learning-rate`, `train.learning_rate`, `--fp16`; None if
    unknown.

    A name that only one setting ends with needs no section.
    """
    plain = word.lstrip("-").lower().replace("-", "_")
    last = plain.rpartition(".")[2]
    if plain in names:
        return Alias(plain)
    ending = [name for name in names if name.rpartition(".")[2] == last]
    if len(ending) == 1:
        return Alias(ending[0])
    if last in _SETTING_OF and _SETTING_OF[last] in names:
        return Alias(_SETTING_OF[last])
    if "." not in plain and plain in _FLAGS and _FLAGS[plain][0] in names:
        return Alias(*_FLAGS[plain])
    return None
