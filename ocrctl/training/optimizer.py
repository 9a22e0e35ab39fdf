"""Build the optimiser of a run: learning rate, weight decay and update rule of each parameter."""

from __future__ import annotations

from typing import Any

import torch

from ocrctl.config.settings import TrainSettings
from ocrctl.errors import UsageError
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.muon import MuonAdamW

BETAS = (0.9, 0.98)


def build_optimizer(model: OCRModel, train: TrainSettings) -> torch.optim.Optimizer:
    """Create AdamW (Loshchilov, Hutter, 2019), or Muon for the hidden matrices and AdamW for the rest.

    No weight decay on biases, normalisation and what the model exempts. With `train.layer_decay` below 1, a parameter n
    blocks below the output learns at lr x layer_decay^n (Clark et al., "ELECTRA", 2020, appendix B), and some at the
    lower rate of `OCRModel.learning_rate_share`. Each group's `share` is what its learning rate is of the scheduled
    one. Frozen parameters are left out. Raises UsageError for layer_decay without layers.
    """
    if train.layer_decay < 1 and model.layers == 1:
        raise UsageError("train.layer_decay: this architecture does not number its layers.")
    exempt = model.no_weight_decay()
    groups: dict[tuple[float, float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = train.weight_decay if parameter.ndim >= 2 and name not in exempt else 0.0
        muon = train.optimizer == "muon" and model.is_hidden_matrix(name, parameter)
        depth = model.layer_depth(name)
        above = 0 if depth is None else model.layers - 1 - depth
        share = train.layer_decay**above * model.learning_rate_share(name)
        share *= train.muon_lr / train.lr if muon and train.lr else 1.0
        groups.setdefault((share, decay, muon), []).append(parameter)
    trees: list[dict[str, Any]] = [
        {"params": parameters, "weight_decay": decay, "share": share, "muon": muon, "lr": train.lr * share}
        for (share, decay, muon), parameters in groups.items()
    ]
    if train.optimizer == "muon":
        return MuonAdamW(trees, lr=train.lr, betas=BETAS, momentum=train.muon_momentum)
    return torch.optim.AdamW(trees, lr=train.lr, betas=BETAS, fused=True)


@torch.no_grad()
def clip(parameters: list[torch.nn.Parameter], limit: float, scale: torch.Tensor | None) -> torch.Tensor:
    """Undo the loss scale, cut the gradients to `limit` (0: leave them), and return their norm before cutting.

    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1. Waits for
    nothing; a norm that is not finite leaves gradients that the guard's flag keeps from being used.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if scale is not None:
        torch._foreach_mul_(grads, 1.0 / scale)
    norm = torch.nn.utils.get_total_norm(grads, foreach=True)
    if limit:
        torch._foreach_mul_(grads, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm
