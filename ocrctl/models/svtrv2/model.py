"""SVTRv2: local and global mixing of patches, columns rearranged from all rows, CTC.

Du et al., "SVTRv2: CTC Beats Encoder-Decoder Models in Scene Text Recognition", 2024
(https://arxiv.org/abs/2411.15858), in the form of the authors' release, Topdu/OpenOCR (encoder
SVTRv2LNConvTwo33, decoder RCTCDecoder), whose tensor names it has. There are no positional embeddings: any width can
be read. With `columns`, padding of a batch is kept out of convolutions and attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ocrctl.config.feature_grid import Stride
from ocrctl.config.model_card import ModelCard
from ocrctl.models.layers.columns import Columns, clear_columns, column_mask, strided
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.svtrv2.blocks import (
    Attention,
    Branch,
    GlobalBlock,
    LocalBlock,
    Mlp,
    PatchConv,
    Subsample,
)
from ocrctl.models.svtrv2.guidance import Guidance

CTC_WEIGHT = 0.1  # of the CTC loss beside that of the guidance
GUIDANCE = "decoder.guidance."  # names of its tensors
PATCH = 4  # pixels of a patch in both directions
INIT_STD = 0.02  # of linear layers, as the authors initialise them


@dataclass(frozen=True)
class Stage:
    """One stage: channels, its local and its global blocks, and the stride (down, right) of the convolution after it,
    None after the last."""

    width: int
    local: int
    wide: int
    stride: Stride | None


SIZES = {
    "svtrv2-tiny": (Stage(64, 3, 0, (1, 1)), Stage(128, 3, 3, (2, 1)), Stage(256, 0, 3, None)),
}


def build(card: ModelCard, num_classes: int) -> OCRModel:
    """Build the model that `card` describes, with random weights; `model.dropout` is the share of branches left out in
    the last block, 0 in the first."""
    stages, guided = SIZES[card.arch], bool(card.model.get("guidance", False))
    own = ("fc.weight", "fc.bias")
    guiding = ("guidance.embed.weight", "guidance.fc.weight", "guidance.fc.bias") if guided else ()
    return SVTRv2(
        encoder=Encoder(card.channels, stages, float(card.model.get("dropout", 0.0))),
        decoder=Rearrangement(stages[-1].width, num_classes, guided=guided),
        head=Logits(),
        mean=card.mean,
        std=card.std,
        class_tensors=tuple(f"decoder.{name}" for name in (*own, *guiding)),
    )


class SVTRv2(OCRModel):
    """The whole network; see OCRModel."""

    ctc_weight = CTC_WEIGHT

    def no_weight_decay(self) -> set[str]:
        """See OCRModel."""
        return {"decoder.char_token"}

    def adapt_weights(self, weights: dict[str, Tensor]) -> None:
        """Leave out or keep the initial weights of the guidance, which only training uses (OCRModel.adapt_weights)."""
        own = {name: value for name, value in self.state_dict().items() if name.startswith(GUIDANCE)}
        for name in [name for name in weights if name.startswith(GUIDANCE) and name not in own]:
            del weights[name]
        for name, value in own.items():
            weights.setdefault(name, value)


class Logits(nn.Module):
    """Names the outputs of the decoder, which holds the linear layer of the classes, as in the release."""

    def forward(self, states: Tensor | tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Map (N, T, K) to {"logits": (N, T, K)}, and the loss of the guidance beside it to "auxiliary"."""
        if isinstance(states, tuple):
            return {"logits": states[0], "auxiliary": states[1]}
        return {"logits": states}


class PatchEmbed(nn.Module):
    """Two convolutions, each of stride 2."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(PatchConv(in_channels, width // 2), PatchConv(width // 2, width))

    def forward(self, images: Tensor, widths: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, D, H / 4, W / 4). widths: (N,), the columns of each image."""
        features = images
        for conv in self.patch_embed:
            features = conv(features)
            if widths is not None:
                widths = strided(widths, 2)
                features = clear_columns(features, widths)
        return features


class Flatten(nn.Module):
    """Takes a number among the blocks of a stage, where the release changes from maps to sequences."""

    def forward(self, features: Tensor, widths: Tensor | None = None) -> Tensor:
        """Return features as they are."""
        return features


class StageBlocks(nn.Module):
    """The blocks of one stage, and the convolution to the next."""

    def __init__(self, stage: Stage, out_channels: int, rates: list[float]) -> None:
        """rates: of the blocks' branches, local ones first."""
        super().__init__()
        blocks: list[nn.Module] = [LocalBlock(stage.width, rate) for rate in rates[: stage.local]]
        if stage.local and stage.wide:
            blocks.append(Flatten())
        blocks += [GlobalBlock(stage.width, rate) for rate in rates[stage.local :]]
        self.blocks = nn.ModuleList(blocks)
        self.downsample = Subsample(stage.width, out_channels, stage.stride) if stage.stride else Flatten()

    def forward(self, features: Tensor, widths: Tensor | None = None) -> Tensor:
        """Map (N, D, h, w) to (N, out, h / down, w / right). widths: (N,), the columns of each image."""
        for block in self.blocks:
            features = block(features, widths)
        out: Tensor = self.downsample(features, widths)
        return out


class Encoder(nn.Module):
    """Patch embedding and stages: 32 rows become 4, every 4 columns one."""

    takes_columns = True

    def __init__(self, in_channels: int, stages: tuple[Stage, ...], rate: float) -> None:
        super().__init__()
        self.pope = PatchEmbed(in_channels, stages[0].width)
        depths = [stage.local + stage.wide for stage in stages]
        rates = [rate * index / (sum(depths) - 1) for index in range(sum(depths))]
        built, after = [], [*(stage.width for stage in stages[1:]), 0]
        for stage, depth, out_channels in zip(stages, depths, after, strict=True):
            built.append(StageBlocks(stage, out_channels, rates[:depth]))
            rates = rates[depth:]
        self.stages = nn.ModuleList(built)
        self.apply(init_layer)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the parameter names of the patch embedding and of each block, with the convolution after it
        (OCRModel.layer_depth)."""
        found: list[tuple[str, ...]] = [("pope.",)]
        for number, stage in enumerate(self.stages):
            assert isinstance(stage, StageBlocks)
            names = [f"stages.{number}.blocks.{index}." for index, block in enumerate(stage.blocks)
                     if not isinstance(block, Flatten)]  # fmt: skip
            after = (f"stages.{number}.downsample.",) if isinstance(stage.downsample, Subsample) else ()
            found += [*((name,) for name in names[:-1]), (names[-1], *after)]
        return tuple(found)

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:
        """Map (N, C, 32, W) to (N, D, 4, W / 4)."""
        features: Tensor = self.pope(images, None if columns is None else columns.counted)
        widths = None if columns is None else strided(columns.counted, PATCH)
        for stage in self.stages:
            features = stage(features, widths)
        return features


class RowBlock(nn.Module):
    """Self-attention along a row and a two-layer network, normalised before each branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.add = Branch(0.0)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (N, w, D) to the same shape. mask: bool (N, 1, 1, w)."""
        states = self.add(states, self.attn(self.norm1(states), mask))
        return self.add(states, self.mlp(self.norm2(states)))


class Rearrangement(nn.Module):
    """The feature rearrangement module (FRM), and the classes of each column; ignores targets, as CTC does.

    Rows are mixed along their columns; then a learned query chooses, in every column, how much of each row to take.
    """

    takes_columns = True

    def __init__(self, width: int, num_classes: int, *, guided: bool = False) -> None:
        """guided: with the semantic guidance module, in training."""
        super().__init__()
        self.guidance = Guidance(width, num_classes) if guided else None
        self.char_token = nn.Parameter(INIT_STD * torch.randn(1, 1, width))
        self.fc = nn.Linear(width, num_classes)
        self.fc_kv = nn.Linear(width, 2 * width)
        self.w_atten_block = RowBlock(width)

    def forward(
        self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Map (N, D, h, w) to the logits of the classes (N, w, K); with guidance, in training and with `targets`, int64
        (N, L), 0 past the end of each label, also to its loss."""
        height, width = features.shape[2:]
        mask = whole = None
        if columns is not None:
            own = column_mask(strided(columns.counted, PATCH), width)[:, None].expand(-1, height, -1)  # (N, h, w)
            mask, whole = own.flatten(0, 1)[:, None, None], own.flatten(1)[:, None, None]  # (N h, 1, 1, w) and of all
        rows = features.permute(0, 2, 3, 1)  # (N, h, w, D)
        rows = self.w_atten_block(rows.flatten(0, 1), mask).unflatten(0, (-1, height))  # (N, h, w, D)
        keys, values = self.fc_kv(rows).chunk(2, 3)
        shares = (keys * self.char_token).sum(3, keepdim=True).softmax(1)  # (N, h, w, 1), sums of 1 over the rows
        out: Tensor = self.fc((shares * values).sum(1))
        if self.guidance is None or not self.training or targets is None:
            return out
        return out, self.guidance(features.flatten(2).transpose(1, 2), targets, whole)


def init_layer(layer: nn.Module) -> None:
    """Initialise one layer of the encoder as the authors do."""
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=INIT_STD)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
