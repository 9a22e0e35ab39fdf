"""Autoregressive recognisers: what all of them share, and those that attend to a feature map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ocrctl.errors import UsageError
from ocrctl.models.layers.autoregressive import StepDecoder, greedy_logits
from ocrctl.models.layers.beam_search import Beams, Words, beam_search
from ocrctl.models.layers.columns import Columns, column_mask, counted
from ocrctl.models.layers.multi_head import FeatureMap
from ocrctl.models.layers.text_decoder import IncrementalText, TextDecoder
from ocrctl.models.ocr_model import OCRModel


class AutoregressiveModel(OCRModel):
    """Predict each character from the image and the characters before it.

    Token ids as in text.tokenizer.ARTokenizer: 0 is [EOS], characters start at 1, then [BOS] and [PAD], which the head
    never predicts: K classes are [EOS] and the characters. T = max_label_length + 1 output steps, the last for [EOS].
    """

    head: nn.Linear

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        dim: int,
        num_classes: int,
        max_label_length: int,
        embedding: str,
        mean: float | list[float],
        std: float | list[float],
    ) -> None:
        """`embedding`: name of the tensor that embeds tokens."""
        head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        super().__init__(
            encoder, decoder, head, mean=mean, std=std, class_tensors=("head.weight", "head.bias", embedding)
        )
        self.eos, self.bos, self.pad = 0, num_classes, num_classes + 1
        self.steps = max_label_length + 1
        self.embedding_name = embedding

    def no_weight_decay(self) -> set[str]:
        """Return the name of the token embedding."""
        return {self.embedding_name}

    def features(self, images: Tensor, widths: Tensor | None = None) -> Any:
        """Encode uint8 (N, C, H, W) to what `start` takes. widths: int64 (N,), the columns of each image; the rest of W
        is padding, which changes no output. None: all of W."""
        raise NotImplementedError

    def start(self, features: Any, max_length: int | None = None, beam: int = 1) -> StepDecoder:
        """Return a decoder with an empty cache. max_length: maximum characters of a text, None for the model's limit.
        beam: rows for each image, one after the other."""
        raise NotImplementedError

    def read(self, decoder: StepDecoder, images: Tensor) -> Tensor:
        """Decode greedily, character by character. Returns logits (N, T, K), zeros after the end of a text."""
        return greedy_logits(decoder, images, decoder.steps, bos=self.bos, eos=self.eos)

    @torch.no_grad()
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
        """Find `beam` texts for each image (OCRModel.generate_beam), character by character."""
        self.check_beam(beam)
        decoder = self.start(self.features(images, widths), max_length, beam)
        return beam_search(decoder, images, decoder.steps, beam, bos=self.bos, eos=self.eos, power=power, words=words)

    def steps_for(self, max_length: int | None) -> int:
        """Return the output steps for texts of up to `max_length` characters, None for the model's limit. Raises
        UsageError for a length that the model does not read."""
        if max_length is not None and not 1 <= max_length < self.steps:
            raise UsageError(f"max_length {max_length}: this model reads 1 to {self.steps - 1} characters.")
        return self.steps if max_length is None else max_length + 1

    def check_targets(self, targets: Tensor | None) -> None:
        """Raise UsageError for targets (N, L + 1) that are too long, and in training mode for none."""
        if targets is None and self.training:
            raise UsageError(
                "an autoregressive model in training needs targets: call model(images, targets), or model.eval()"
                " and model.generate(images)."
            )
        if targets is not None and targets.shape[1] - 1 > self.steps:
            raise UsageError(f"targets of {targets.shape[1] - 2} characters, the model reads at most {self.steps - 1}.")


class FeatureMapModel(AutoregressiveModel):
    """An AutoregressiveModel with a TextDecoder, whose encoder maps normalised images (N, C, H, W), and `columns` where
    the aspect ratio is kept, to a FeatureMap."""

    decoder: TextDecoder

    def __init__(
        self,
        encoder: nn.Module,
        decoder: TextDecoder,
        *,
        dim: int,
        num_classes: int,
        max_label_length: int,
        mean: float | list[float],
        std: float | list[float],
    ) -> None:
        super().__init__(
            encoder, decoder, dim=dim, num_classes=num_classes, max_label_length=max_label_length,
            embedding="decoder.embedding.weight", mean=mean, std=std,
        )  # fmt: skip

    def features(self, images: Tensor, widths: Tensor | None = None) -> FeatureMap:
        """Encode uint8 (N, C, H, W); widths as in AutoregressiveModel.features."""
        normalised = self.normalise(images)
        if widths is None:
            found: FeatureMap = self.encode(normalised)
            return found
        normalised = normalised * column_mask(widths, images.shape[3])[:, None, None]
        found = self.encode(normalised, Columns(widths, counted(widths, self.kept)))
        return found

    def forward(self, images: Tensor, targets: Tensor | None = None, widths: Tensor | None = None) -> dict[str, Tensor]:
        """Predict every character from the targets before it (teacher forcing).

        images: uint8 (N, C, H, W). targets: int64 (N, L + 1), [BOS] characters [EOS] [PAD].... widths: as in
        `features`. Returns {"logits": (N, L, K)}, position i predicting targets[:, i + 1]. Without targets a model in
        evaluation mode generates, {"logits": (N, T, K)}; in training mode UsageError is raised.
        """
        self.check_targets(targets)
        if targets is None:
            return self.generate(images, widths=widths)
        return {"logits": self.head(self.decoder(targets[:, :-1], self.features(images, widths)))}

    def start(self, features: FeatureMap, max_length: int | None = None, beam: int = 1) -> IncrementalText:
        """Return a decoder with an empty cache (AutoregressiveModel.start)."""
        return IncrementalText(self.decoder, self.head, features, self.steps_for(max_length), beam)

    @torch.no_grad()
    def generate(
        self,
        images: Tensor,
        *,
        decoding: str | None = None,
        refine: int | None = None,
        max_length: int | None = None,
        widths: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Decode greedily, character by character, with a key/value cache.

        images, widths: as in `features`. decoding: only "ar"; refine: only 0. max_length: maximum characters of a text,
        None for the model's limit. Returns {"logits": (N, T, K)}; a text ends where class 0 wins, later positions are
        zero. Raises UsageError for other values.
        """
        if decoding not in (None, "ar") or refine:
            raise UsageError(
                f"decoding {decoding!r}, refine {refine}: this model reads character by character only (ar)."
            )
        return {"logits": self.read(self.start(self.features(images, widths), max_length), images)}

    @torch.no_grad()
    def attention(self, images: Tensor, ids: Tensor, widths: Tensor | None = None) -> Tensor:
        """Return the weights of the cells for each character (OCRModel.attention), the mean of the heads of the last
        decoder layer."""
        states, image = self.last_queries(images, ids, widths)
        last = self.decoder.decoder_layers[-1].cross_attn
        seen = last.shares(states, last.prepare(image), 0)  # (N, T, h w)
        return seen.unflatten(2, image.features.shape[2:])

    def last_queries(self, images: Tensor, ids: Tensor, widths: Tensor | None) -> tuple[Tensor, FeatureMap]:
        """Return the states (N, T, D) with which the last decoder layer attends to the image for each character, and
        the features of the image. Arguments as in `attention`."""
        image = self.features(images, widths)
        context = torch.cat([torch.full_like(ids[:, :1], self.bos), ids[:, :-1]], dim=1)
        return self.decoder.queries(context, image), image
