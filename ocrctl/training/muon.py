"""Muon for matrices, AdamW for the rest: one optimiser with a flag, on the device, that skips a step.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(https://kellerjordan.github.io/posts/muon): the momentum of a weight matrix is replaced by the nearest matrix with
orthonormal rows, so that every direction learns at the same pace. Scaling of the update to AdamW's size: Liu et al.,
"Muon is Scalable for LLM Training", 2025 (https://arxiv.org/abs/2502.16982), section 2.2. A convolution kernel counts
as the matrix (out, in x height x width). torch.optim.Muon takes neither kernels of convolutions nor a flag that blocks
a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Coefficients of the quintic iteration and its number of rounds (Jordan et al. 2024): singular values of a matrix of
# norm 1 end between 0.7 and 1.2.
LINEAR, CUBIC, QUINTIC, ROUNDS = 3.4445, -4.7750, 2.0315, 5
MATCH_ADAMW = 0.2  # root mean square of AdamW's usual update (Liu et al. 2025, section 2.2)


class MuonAdamW(torch.optim.AdamW):
    """AdamW (fused) whose groups with `muon=True` learn by Muon.

    Both obey the device flags that a GradScaler sets on an optimiser: while `found_inf` (a scalar tensor) is 1,
    nothing is changed, neither weights nor moments.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.8,
    ) -> None:
        """`params`: groups as torch.optim takes them; `momentum` is Muon's, `betas` are AdamW's."""
        super().__init__(params, lr=lr, betas=betas, fused=True)
        for group in self.param_groups:
            group.setdefault("muon", False)
            group.setdefault("momentum", momentum)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every group, without synchronising."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        blocked = getattr(self, "found_inf", None)
        for group in groups:
            if group["muon"]:
                self._muon(group, blocked)
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            if self.param_groups:
                super().step()
        finally:
            self.param_groups = groups
        return loss

    def _muon(self, group: dict[str, Any], blocked: Tensor | None) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        buffers = []
        for p in params:
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
                state["step"] = torch.zeros((), device=p.device)  # AdamW expects one of every state it loads
            state["step"] += 1.0 if blocked is None else 1.0 - blocked
            buffers.append(state["momentum"])
        grads = [p.grad for p in params]
        moved = torch._foreach_mul(buffers, group["momentum"])
        torch._foreach_add_(moved, grads)
        ahead = torch._foreach_add(grads, moved, alpha=group["momentum"])  # Nesterov's look ahead
        directions = orthogonalised([a.reshape(len(a), -1) for a in ahead])
        rate, keep = group["lr"], 1 - group["lr"] * group["weight_decay"]
        for p, buffer, new, direction in zip(params, buffers, moved, directions, strict=True):
            scale = MATCH_ADAMW * max(direction.shape) ** 0.5
            changed = torch.add(p * keep, direction.view(p.shape), alpha=-rate * scale)
            if blocked is None:
                p.copy_(changed)
                buffer.copy_(new)
            else:
                stop = blocked > 0
                p.copy_(torch.where(stop, p, changed))
                buffer.copy_(torch.where(stop, buffer, new))


def orthogonalised(matrices: list[Tensor]) -> list[Tensor]:
    """Compute the nearest semi-orthogonal matrix to each of `matrices` (rows, columns), by Newton and Schulz's
    iteration.

    The iteration runs on the Gram matrix of the shorter side, where it needs no product with the longer one but the
    last; matrices with the same shorter side share one batch. Float32 in and out; a matrix of zeros stays zero.
    """
    results: list[Tensor | None] = [None] * len(matrices)
    for side in sorted({min(m.shape) for m in matrices}):
        rows = [i for i, m in enumerate(matrices) if min(m.shape) == side]
        wide = [m if len(m) == side else m.T for m in (matrices[i].float() for i in rows)]
        wide = [m / (torch.linalg.matrix_norm(m) + 1e-7) for m in wide]
        factors = _inverse_root(torch.stack([m @ m.T for m in wide]))
        for i, m, factor in zip(rows, wide, factors, strict=True):
            product = factor @ m
            results[i] = product if len(matrices[i]) == side else product.T
    return [r for r in results if r is not None]


def _inverse_root(gram: Tensor) -> Tensor:
    """Polynomial approximation of gram^(-1/2) for a batch (B, S, S) of Gram matrices of norm at most 1."""
    root = None
    for number in range(ROUNDS):
        factor = torch.baddbmm(gram, gram, gram, beta=CUBIC, alpha=QUINTIC)
        factor.diagonal(dim1=-2, dim2=-1).add_(LINEAR)
        root = factor if root is None else torch.bmm(factor, root)
        if number + 1 < ROUNDS:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    assert root is not None
    return root
