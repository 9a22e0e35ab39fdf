"""Base class of all models: encoder -> decoder -> head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.errors import UsageError
from ocrctl.models.layers.beam_search import Beams, Words
from ocrctl.models.layers.columns import Columns, column_mask, counted, strided


class SamplingPoints(NamedTuple):
    """Points at which a model samples the features for each character, of H heads with K points each.

    cells: (N, T, H, K, 2), x and y in cells from the left and top edge of the features, where they are sampled.
    weights: (N, T, H, K), they sum to 1 over K. outside: bool (N, T, H, K), points that the model placed beyond the
    image, which are sampled at its edge.
    """

    cells: Tensor
    weights: Tensor
    outside: Tensor


NEVER = -1e4  # logit of a class that a step cannot have; finite in float16, too


class OCRModel(nn.Module):
    """Model from uint8 images to a dictionary of raw outputs.

    The encoder maps normalised images to features, the decoder maps features (and targets, if it is autoregressive) to
    states, and the head maps states to outputs. Images are normalised here, on the device, so that loaders transfer
    uint8 and the constants exist only once.
    """

    mean: Tensor
    std: Tensor
    feature_cache: Callable[[nn.Module, Tensor, Columns | None], Any] | None = None
    """keeps the features of a frozen encoder during training (training.feature_cache)"""
    norm_frozen = False
    """keep all batch normalisation in evaluation mode during training"""

    kept: KeptAspect | None = None
    """widths and padding of a model that keeps the aspect ratio; set by models.build"""
    columns_per_step = 0
    """input columns for each step of a CTC decoder; 0 where the steps do not follow the columns"""
    ctc_weight = 1.0
    """weight of the CTC loss beside the output `auxiliary`, the loss of a head of training alone"""
    lost_steps = 0
    """last steps of each image that are always blank (ModelSpec.lost_steps)"""
    figure_names: tuple[str, ...] = ()
    """names of `figures`, which are columns of metrics.csv"""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module,
        *,
        mean: float | list[float],
        std: float | list[float],
        class_tensors: tuple[str, ...] = (),
    ) -> None:
        """`class_tensors` names the tensors with one row per class: row 0 special, then the charset in order, then
        further special classes. Fine-tuning uses it to copy rows to another charset."""
        super().__init__()
        self.class_tensors = class_tensors
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set training mode. Modules whose parameters are all frozen stay in evaluation mode, and all batch
        normalisation if `norm_frozen`."""
        super().train(mode)
        if mode:
            for part in self.modules():
                if (self.norm_frozen and isinstance(part, _BatchNorm)) or is_frozen(part):
                    part.eval()
        return self

    def copy_weights(self) -> None:
        """Prepare for inference with weights that do not change any more: a family may copy weights into a layout that
        is faster to read. `train` and `eval` drop the copies. Nothing is copied by default."""

    def normalise(self, images: Tensor) -> Tensor:
        """Convert uint8 (N, C, H, W) to float32 (x / 255 - mean) / std, same shape and memory format."""
        return (images.float() / 255.0 - self.mean) / self.std

    def forward(self, images: Tensor, targets: Tensor | None = None, widths: Tensor | None = None) -> dict[str, Tensor]:
        """Run the model.

        images: uint8 (N, C, H, W). targets: as documented by the decoder of the architecture; CTC and detection
        decoders ignore it. widths: int64 (N,), the columns of each image, the rest of W is padding; None: all of W.
        Returns the head's outputs, for recognisers {"logits": (N, T, K)}; with CTC a step beyond the counted width of
        its image is blank.

        With `widths`, columns of padding are 0 after normalisation, whatever they hold. An encoder or decoder with a
        true attribute `takes_columns` receives the widths as the keyword argument `columns` (layers.columns.Columns):
        it must keep the columns of a batch beyond the counted width of an image out of its outputs.
        """
        features, columns = self.encode_images(images, widths)
        named = {"columns": columns} if columns is not None and getattr(self.decoder, "takes_columns", False) else {}
        outputs: dict[str, Tensor] = self.head(self.decoder(features, targets, **named))
        if widths is not None and self.columns_per_step:
            outputs["logits"] = self._blank_beyond(outputs["logits"], widths)
        return outputs

    def encode_images(self, images: Tensor, widths: Tensor | None = None) -> tuple[Any, Columns | None]:
        """Return the encoder's features and the columns of each image, None for all; arguments as in `forward`."""
        normalised = self.normalise(images)
        if widths is None:
            return self.encode(normalised), None
        normalised = normalised * column_mask(widths, images.shape[3])[:, None, None]
        columns = Columns(widths, counted(widths, self.kept))
        return self.encode(normalised, columns if getattr(self.encoder, "takes_columns", False) else None), columns

    def encode(self, images: Tensor, columns: Columns | None = None) -> Any:
        """Run the encoder on normalised images (N, C, H, W), or take its features from `feature_cache`."""
        if self.feature_cache is not None:
            return self.feature_cache(self.encoder, images, columns)
        return self.encoder(images) if columns is None else self.encoder(images, columns=columns)

    def steps_of(self, widths: Tensor) -> Tensor:
        """Return the output steps of images `widths` (N,) pixels wide, int64 (N,), those of margin and pad_to
        included. Raises ValueError when the steps of this model do not follow the columns."""
        if not self.columns_per_step:
            raise ValueError("the output steps of this model do not depend on the width of an image")
        return strided(counted(widths, self.kept), self.columns_per_step) - self.lost_steps

    def _blank_beyond(self, logits: Tensor, widths: Tensor) -> Tensor:
        """Make the steps of (N, T, K) beyond each image certain blanks (class 0)."""
        valid = column_mask(self.steps_of(widths), logits.shape[1])[:, :, None]  # (N, T, 1)
        blank = logits.new_full((logits.shape[2],), NEVER)
        blank[0] = 0.0
        return torch.where(valid, logits, blank)

    def watch(self, on: bool) -> None:
        """Keep what `figures` needs from the next forward passes, or stop it. Default: nothing."""

    def figures(self) -> dict[str, Tensor]:
        """Return figures of a step that was watched, after its backward pass: float32 (parts,) by name, on the device.
        No value is read here. Default: none."""
        return {}

    def figure_warnings(self, figures: dict[str, list[float]]) -> list[str]:
        """Return a sentence for each thing in `figures` that is wrong. Default: none."""
        return []

    def adapt_weights(self, weights: dict[str, Tensor]) -> None:
        """Adapt `weights` to this model, in place: tensors whose shape depends on the image size, and parts that it
        trains in another form. Default: nothing."""

    def no_weight_decay(self) -> set[str]:
        """Return names of matrices without weight decay; vectors never have it."""
        return set()

    def learning_rate_share(self, name: str) -> float:
        """Return what the learning rate of parameter `name` is of that of the others."""
        return 1.0

    def is_hidden_matrix(self, name: str, parameter: Tensor) -> bool:
        """Return whether Muon may update `parameter`: a hidden matrix or kernel, not the input layer, not one with
        one row per class, not a depthwise kernel."""
        if name in self.class_tensors or name in self.no_weight_decay() or parameter.ndim not in (2, 4):
            return False
        return parameter.ndim == 2 or parameter.shape[1] > 3

    def recompute_activations(self) -> None:
        """Enable activation checkpointing in the encoder. Raises UsageError if the architecture does not
        support it."""
        raise UsageError("train.activation_checkpointing: this architecture does not support it.")

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of the parameter names of each layer, the input layer first, without what follows the
        last one. Default: the encoder's `layer_prefixes`; empty if it has none."""
        own: tuple[tuple[str, ...], ...] = getattr(self.encoder, "layer_prefixes", ())
        return tuple(tuple(f"encoder.{prefix}" for prefix in prefixes) for prefixes in own)

    def layer_depth(self, name: str) -> int | None:
        """Return the layer of parameter `name`, for `train.layer_decay` and `train.freeze`: 0 for the input layer,
        `layers` - 1 for everything after the last numbered layer (decoder, head).
        None if the model does not number its layers. Raises ValueError for a name that is not one of its
        parameters."""
        if name not in dict(self.named_parameters()):
            raise ValueError(f"{name!r} is not a parameter of this model")
        prefixes = self.layer_prefixes
        if not prefixes:
            return None
        return next((depth for depth, own in enumerate(prefixes) if name.startswith(own)), len(prefixes))

    @property
    def layers(self) -> int:
        """Number of distinct values of `layer_depth`."""
        return len(self.layer_prefixes) + 1

    def generate(
        self, images: Tensor, *, decoding: str | None = None, refine: int | None = None, max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Decode autoregressively. Raises UsageError for all other models."""
        raise UsageError(
            f"a model with a {type(self.decoder).__name__} does not support generate; it predicts all steps at once: "
            "only autoregressive models generate."
        )

    def generate_beam(
        self,
        images: Tensor,
        beam: int,
        *,
        power: float = 1.0,
        words: Words | None = None,
        widths: Tensor | None = None,
        max_length: int | None = None,
    ) -> Beams:
        """Find the `beam` best texts of each image by beam search (layers.beam_search, which documents `power` and
        `words`). images, widths: as in `forward`. max_length: maximum length of a text, None for the model's limit.
        Raises UsageError for a beam below 1, and for a model without such a search.
        """
        raise UsageError(f"a model with a {type(self.decoder).__name__} does not support beam search.")

    def attention(self, images: Tensor, ids: Tensor, widths: Tensor | None = None) -> Tensor | None:
        """Return where the model attends to for each character of `ids`: float (N, T, h, w), weights over the cells of
        the image that sum to 1 at each step. ids: int64 (N, T), classes of a text, 0 after its end. images, widths: as
        in `forward`. None for a model without such an attention."""
        return None

    def step_attention(self, images: Tensor, widths: Tensor | None = None) -> Tensor | None:
        """Return where each output step of a CTC model attends to: float (N, T, h, w), weights over the cells of the
        image that sum to 1. images, widths: as in `forward`. None for a model without attention."""
        return None

    def sampling_points(self, images: Tensor, ids: Tensor, widths: Tensor | None = None) -> SamplingPoints | None:
        """Return where the model samples the image for each character of `ids`; arguments as in `attention`. None for a
        model that does not sample."""
        return None

    @staticmethod
    def check_beam(beam: int) -> None:
        """Raise UsageError for a beam that holds no text."""
        if beam < 1:
            raise UsageError(f"a beam needs at least one text, found {beam}.")


def is_frozen(part: nn.Module) -> bool:
    """Return whether `part` has parameters and none of them is trained. A recurrent layer without dropout has no
    evaluation mode of its own and is left in training mode, which cuDNN requires of one that gradients pass through."""
    parameters = list(part.parameters())
    if not parameters or any(parameter.requires_grad for parameter in parameters):
        return False
    return not (isinstance(part, nn.RNNBase) and not part.dropout)


def best_classes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best class of each step and its probability: (N, T, K) to int64 (N, T) and float32 (N, T)."""
    probabilities, ids = logits.float().softmax(-1).max(-1)
    return ids, probabilities
