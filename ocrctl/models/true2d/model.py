"""True-2D attention: 2-D self-attention with relative position bias, and a decoder that samples the image.

The encoder (encoder.py) keeps rows and columns throughout; the decoder is a transformer (layers/text_decoder.py) whose
cross-attention is deformable (deformable.py) or attends to every cell (positioned.py), model.cross_attention=full.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.autoregressive import FeatureMapModel
from ocrctl.models.backbones.resnet import Bottleneck, ResNet
from ocrctl.models.backbones.shallow import ShallowCNN, Stage
from ocrctl.models.layers.text_decoder import CrossAttention, DecoderLayer, TextDecoder
from ocrctl.models.ocr_model import SamplingPoints
from ocrctl.models.registry import get_spec
from ocrctl.models.true2d.deformable import DeformableCrossAttention
from ocrctl.models.true2d.encoder import Encoder, EncoderLayer, SelfAttention2D, cut_or_stretch
from ocrctl.models.true2d.positioned import PositionedCrossAttention


@dataclass(frozen=True)
class True2DSize:
    """One size of the architecture. hidden: features inside the MLPs."""

    features: int
    heads: int
    hidden: int
    encoder_layers: int
    decoder_layers: int


SIZES = {"true2d-tiny": True2DSize(128, 4, 256, 3, 2), "true2d": True2DSize(512, 8, 2048, 6, 6)}
STAGES = (Stage(32, (2, 2)), Stage(64, (2, 2)), Stage(128, (2, 1)))  # of the shallow CNN, to 4 x 25 cells
MOVING = ("cross_attn.offsets.weight", "cross_attn.offsets.bias", "cross_attn.reference", "cross_attn.shift.weight")
SLOW = 0.1  # share of their learning rate
FIGURES = ("points_outside", "weight_mean", "weight_spread", "offset_gradient")


def build(card: ModelCard, num_classes: int) -> True2D:
    """Build the model that `card` describes, with random weights."""
    size, spec, options = SIZES[card.arch], get_spec(card.arch), card.model
    dropout, window = float(options.get("dropout", 0.0)), int(options.get("window_size", 0))
    dim, heads, steps = size.features, size.heads, card.max_label_length + 1
    grid = card.height // spec.stride_h, -(-card.width // spec.stride_w)
    bias = bool(options.get("relative_bias", True))

    def layer(index: int) -> EncoderLayer:
        attention = SelfAttention2D(dim, heads, dropout, grid, window, shifted=index % 2 == 1, bias=bias)
        return EncoderLayer(dim, size.hidden, attention, dropout)

    def cross_attention() -> CrossAttention:
        if options.get("cross_attention", "deformable") == "full":
            return PositionedCrossAttention(dim, heads, dropout)
        return DeformableCrossAttention(dim, heads, int(options.get("points", 4)), steps)

    backbone, channels = _backbone(card)
    return True2D(
        Encoder(backbone, channels, dim, [layer(index) for index in range(size.encoder_layers)]),
        TextDecoder(
            [DecoderLayer(dim, heads, size.hidden, dropout, cross_attention()) for _ in range(size.decoder_layers)],
            dim,
            num_classes + 2,
            dropout,
        ),
        dim=dim,
        num_classes=num_classes,
        max_label_length=card.max_label_length,
        mean=card.mean,
        std=card.std,
    )


def _backbone(card: ModelCard) -> tuple[nn.Module, int]:
    """Return the backbone of the architecture and the channels of its features."""
    if card.arch.endswith("-tiny"):
        return ShallowCNN(card.channels, STAGES), STAGES[-1].channels
    resnet = WordResNet()
    return resnet, resnet.channels[-1]


class WordResNet(ResNet):
    """ResNet-50 whose features have a cell for 8 x 4 pixels: words are wide, and characters narrower than high.

    The stem and the first stage keep their strides; the second stage halves the height alone, the last two nothing.
    No tensor changes its shape, so that ImageNet weights load.
    """

    def __init__(self) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3))
        for name, stride in (("layer2", (2, 1)), ("layer3", (1, 1)), ("layer4", (1, 1))):
            block = self.get_submodule(name)[0]  # type: ignore[index]
            block.conv2.stride = stride
            block.downsample[0].stride = stride

    def forward(self, images: Tensor, widths: Tensor | None = None) -> tuple[Tensor, None]:  # type: ignore[override]
        """Map (N, 3, H, W) to (N, 2048, H / 8, W / 4). Raises ValueError for images of several widths: the features of
        an image would depend on the padding of its batch."""
        if widths is not None:
            raise ValueError("this backbone requires images of one width")
        return super().forward(images)[-1], None


class True2D(FeatureMapModel):
    """A FeatureMapModel whose sampling points can be watched."""

    encoder: Encoder
    figure_names = FIGURES

    def __init__(
        self,
        encoder: Encoder,
        decoder: TextDecoder,
        *,
        dim: int,
        num_classes: int,
        max_label_length: int,
        mean: float | list[float],
        std: float | list[float],
    ) -> None:
        super().__init__(
            encoder, decoder, dim=dim, num_classes=num_classes, max_label_length=max_label_length, mean=mean, std=std
        )
        for cross in self.deformable:
            cross.reset_points()

    @property
    def deformable(self) -> list[DeformableCrossAttention]:
        """Return the deformable cross-attention of each decoder layer; empty with model.cross_attention=full."""
        parts: list[nn.Module] = [layer.cross_attn for layer in self.decoder.decoder_layers]
        return [part for part in parts if isinstance(part, DeformableCrossAttention)]

    def no_weight_decay(self) -> set[str]:
        """Return the names of the token embedding, the reference points and the bias tables."""
        points = {name for name, _ in self.named_parameters() if name.endswith((".reference", ".bias.table"))}
        return super().no_weight_decay() | points

    def learning_rate_share(self, name: str) -> float:
        """Return 0.1 for what moves the sampling points (Zhu et al., 2021, section A.4), else 1."""
        return SLOW if name.endswith(MOVING) else 1.0

    def is_hidden_matrix(self, name: str, parameter: Tensor) -> bool:
        """Return whether Muon may update `parameter`: as elsewhere, but nothing that moves sampling points, for which
        an update of full rank is a jump of all points."""
        return not name.endswith(MOVING) and super().is_hidden_matrix(name, parameter)

    def adapt_weights(self, weights: dict[str, Tensor]) -> None:
        """Cut or interpolate bias tables that were learned for another image width."""
        for name, own in self.state_dict().items():
            given = weights.get(name)
            if given is None or not name.endswith(".bias.table") or given.shape == own.shape or given.ndim != 3:
                continue
            weights[name] = cut_or_stretch(given, *((side + 1) // 2 for side in own.shape[1:])).contiguous()

    def watch(self, on: bool) -> None:
        """Keep the sampling points of the next forward passes for `figures`, or stop it."""
        for cross in self.deformable:
            cross.watching, cross.watched = on, None

    @torch.no_grad()
    def sampling_points(self, images: Tensor, ids: Tensor, widths: Tensor | None = None) -> SamplingPoints | None:
        """Return the points of the last decoder layer (OCRModel.sampling_points); None with
        model.cross_attention=full."""
        last = self.decoder.decoder_layers[-1].cross_attn
        if not isinstance(last, DeformableCrossAttention):
            return None
        states, image = self.last_queries(images, ids, widths)
        prepared = last.prepare(image)
        points = last.find(states, prepared, 0)
        cells = torch.stack(last.cells(points, prepared), dim=4) + 0.5
        return SamplingPoints(cells, points.weights, points.outside())

    def figures(self) -> dict[str, Tensor]:
        """Return figures of the watched forward and backward pass, each float32 (decoder layers,), on the device.

        points_outside: share of the sampling points beyond the image. weight_mean, weight_spread: mean and standard
        deviation of the weights of the points; the mean is always 1 / K. offset_gradient: norm of the gradient of the
        layer that predicts the offsets.
        """
        found: dict[str, list[Tensor]] = {}
        for cross in self.deformable:
            if (points := cross.watched) is None:
                return {}
            gradients = [p.grad.float().norm() for p in cross.offsets.parameters() if p.grad is not None]
            norm = torch.stack(gradients).norm() if gradients else points.weights.new_zeros(())
            values = (points.outside().float().mean(), points.weights.mean(), points.weights.std(correction=0), norm)
            for name, value in zip(FIGURES, values, strict=True):
                found.setdefault(name, []).append(value)
        return {name: torch.stack(values) for name, values in found.items()}

    def figure_warnings(self, figures: dict[str, list[float]]) -> list[str]:
        """Return a sentence for each dead offset branch."""
        return [
            f"decoder.layers.{layer}.cross_attn.offsets has no gradient: the sampling points of decoder layer "
            f"{layer + 1} do not move (frozen, or all beyond the image); --set model.cross_attention=full trains "
            "without them"
            for layer, norm in enumerate(figures.get("offset_gradient", []))
            if norm == 0.0
        ]
