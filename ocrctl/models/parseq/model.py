"""PARSeq: permuted autoregressive sequence model for scene text recognition.

Bautista, Atienza, "Scene Text Recognition with Permuted Autoregressive Sequence Models", 2022
(https://arxiv.org/abs/2207.06966). Tensor names and shapes are those of the official release (baudm/parseq), so that
its published weights load by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import UsageError
from ocrctl.models.autoregressive import AutoregressiveModel
from ocrctl.models.layers.attention import Dropout
from ocrctl.models.layers.init import POSITION_STD
from ocrctl.models.parseq.decoder import Decoder, KeyValue, TokenEmbedding
from ocrctl.models.parseq.decoder_weights import DecoderWeights
from ocrctl.models.parseq.encoder import VisionTransformer
from ocrctl.models.parseq.generate import parallel_logits, patch_weights, refined_logits
from ocrctl.models.parseq.incremental_decoder import IncrementalDecoder
from ocrctl.models.parseq.permutations import attention_masks, draw_orders


@dataclass(frozen=True)
class PARSeqSize:
    """One size of the architecture (table 2 of the paper's appendix)."""

    features: int
    blocks: int  # of the encoder
    encoder_heads: int
    decoder_heads: int


SIZES = {"parseq-tiny": PARSeqSize(192, 12, 3, 6), "parseq": PARSeqSize(384, 12, 6, 12)}
PATCH = (4, 8)  # pixels, rows and columns
MLP_RATIO = 4  # hidden features / features


def build(card: ModelCard, num_classes: int) -> PARSeq:
    """Build the PARSeq that `card` describes, with random weights."""
    size, dropout = SIZES[card.arch], float(card.model.get("dropout", 0.0))
    return PARSeq(
        VisionTransformer(
            card.height, card.width, card.channels, PATCH, size.features, size.blocks, size.encoder_heads
        ),
        Decoder(size.features, size.decoder_heads, MLP_RATIO, dropout),
        dim=size.features,
        num_classes=num_classes,
        max_label_length=card.max_label_length,
        dropout=dropout,
        decoding=str(card.model.get("decoding", "ar")),
        refine=int(card.model.get("refine", 1)),
        mean=card.mean,
        std=card.std,
    )


class PARSeq(AutoregressiveModel):
    """ViT encoder, one-layer decoder with position queries, linear head.

    Shapes: N images, S patches, D features, L context positions, P reading orders, K classes, T output steps.
    """

    encoder: VisionTransformer
    decoder: Decoder

    def __init__(
        self,
        encoder: VisionTransformer,
        decoder: Decoder,
        *,
        dim: int,
        num_classes: int,
        max_label_length: int,
        dropout: float,
        decoding: str,
        refine: int,
        mean: float | list[float],
        std: float | list[float],
    ) -> None:
        """`decoding`: default of `generate`, "ar" or "nar". `refine`: default number of refinement iterations."""
        super().__init__(
            encoder, decoder, dim=dim, num_classes=num_classes, max_label_length=max_label_length,
            embedding="text_embed.embedding.weight", mean=mean, std=std,
        )  # fmt: skip
        self.decoding, self.refine = decoding, refine
        self.text_embed = TokenEmbedding(num_classes + 2, dim)
        self.pos_queries = nn.Parameter(torch.empty(1, self.steps, dim))
        self.dropout = Dropout(dropout)
        self._decoder_weights: DecoderWeights | None = None
        nn.init.trunc_normal_(self.pos_queries, std=POSITION_STD)

    def copy_weights(self) -> None:
        """Copy what reading one character after another takes of the weights (OCRModel.copy_weights)."""
        if self.pos_queries.device.type == "cpu" and self.pos_queries.dtype == torch.float32:
            self._decoder_weights = DecoderWeights(self, copies=True)

    def decoder_weights(self) -> DecoderWeights:
        """Return the copies of `copy_weights`, or views of the weights."""
        copied = None if torch.compiler.is_compiling() else self._decoder_weights
        return DecoderWeights(self) if copied is None else copied

    def train(self, mode: bool = True) -> Self:
        """Set the mode as `nn.Module.train`; copies of weights are dropped, which may change from now on."""
        self._decoder_weights = None
        return super().train(mode)

    def adapt_weights(self, weights: dict[str, Tensor]) -> None:
        """Interpolate positional embeddings that were learned at another image width; leave other sizes as they are."""
        given, own, rows = weights.get("encoder.pos_embed"), self.encoder.pos_embed, self.encoder.rows
        if given is None or given.ndim != 3 or given.shape[2] != own.shape[2] or given.shape[1] % rows:
            return
        if given.shape != own.shape:
            weights["encoder.pos_embed"] = self.encoder.interpolate_positions(given)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the token and positional embeddings."""
        return super().no_weight_decay() | {"pos_queries", "encoder.pos_embed"}

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Patch and positional embeddings, then the encoder's blocks, as BEiT numbers them (Bao et al., 2022,
        https://arxiv.org/abs/2106.08254)."""
        blocks = ((f"encoder.blocks.{index}.",) for index in range(len(self.encoder.blocks)))
        return (("encoder.patch_embed.", "encoder.pos_embed"), *blocks)

    def recompute_activations(self) -> None:
        """Enable activation checkpointing in the encoder (see VisionTransformer)."""
        self.encoder.checkpointing = True

    def features(self, images: Tensor, widths: Tensor | None = None) -> Tensor:
        """Encode uint8 (N, C, H, W) to the memory (N, S, D). All images have one width: `widths` is None."""
        memory: Tensor = self.encode(self.normalise(images))
        return memory

    def embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Embed context tokens (N, L), the first of them at position `start`, to (N, L, D). The character at position j
        has the positional embedding of query j - 1; [BOS], at position 0, has none."""
        end = start + tokens.shape[1]
        positions = self.pos_queries[:, max(start - 1, 0) : end - 1]
        if start == 0:
            positions = torch.cat([torch.zeros_like(self.pos_queries[:, :1]), positions], dim=1)
        return self.text_embed(tokens) + positions

    def forward(self, images: Tensor, targets: Tensor | None = None, orders: Tensor | None = None) -> dict[str, Tensor]:
        """Predict every position of every reading order at once from the targets (section 3.2).

        images: uint8 (N, C, H, W). targets: int64 (N, L + 1), [BOS] characters [EOS] [PAD].... orders: int64
        (P, L + 1) from permutations.draw_orders; None draws them in training and reads left to right
        otherwise. Returns {"logits": (N, P, L, K)}, position i predicting targets[:, i + 1].
        Without targets a model in evaluation mode generates, {"logits": (N, T, K)}; in training mode UsageError is
        raised.
        """
        self.check_targets(targets)
        if targets is None:
            return self.generate(images)
        length = targets.shape[1] - 1
        if orders is None:
            orders = draw_orders(length - 1) if self.training else torch.arange(length + 1).unsqueeze(0)
        context = targets[:, :-1]
        valid = (context != self.pad) & (context != self.eos)  # (N, L): [EOS] and [PAD] are never context
        allowed = attention_masks(orders).to(targets.device, non_blocking=True).flatten(0, 1)  # (P * L, L)
        mask = allowed[None, None] & valid[:, None, None]  # (N, 1, P * L, L)
        layer = self.decoder.layer
        content = layer.content_kv(self.dropout(self.embed(context)))
        image = layer.image_kv(self.features(images))
        queries = self.pos_queries[:, :length].repeat(1, len(orders), 1)  # (1, P * L, D)
        queries = self.dropout(queries.expand(len(targets), -1, -1))
        logits = self.head(self.decoder(queries, content, image, mask))
        return {"logits": logits.unflatten(1, (len(orders), length))}

    def start(
        self, features: Tensor, max_length: int | None = None, beam: int = 1, image: KeyValue | None = None
    ) -> IncrementalDecoder:
        """Return a decoder with an empty cache (AutoregressiveModel.start). image: keys and values of the memory, if
        computed already; they pay for more than one text of an image."""
        if beam > 1 and image is None:
            image = self.decoder.layer.image_kv(features)
        return IncrementalDecoder(self, self.decoder_weights(), features, self.steps_for(max_length), beam, image)

    @torch.no_grad()
    def generate(
        self, images: Tensor, *, decoding: str | None = None, refine: int | None = None, max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Decode greedily (section 3.3), autoregressively or all positions at once, then refine `refine` times.

        images: uint8 (N, C, H, W). decoding: "ar" or "nar"; refine: iterations; None uses the model's default.
        max_length: maximum length of a text, None for the model's limit. Returns {"logits": (N, T, K)}; a text ends
        where class 0 wins. With "ar" and no refinement, positions after the end of a row are zero.
        """
        decoding = self.decoding if decoding is None else decoding
        if decoding not in ("ar", "nar"):
            raise UsageError(f"decoding {decoding!r}: use ar (character by character) or nar (all at once).")
        steps, rounds = self.steps_for(max_length), self.refine if refine is None else refine
        memory = self.features(images)
        if decoding == "ar" and rounds == 0:
            return {"logits": self.read(self.start(memory, max_length), images)}
        image = self.decoder.layer.image_kv(memory)
        if decoding == "ar":
            logits = self.read(self.start(memory, max_length, image=image), images)
        else:
            logits = parallel_logits(self, image, steps)
        if rounds:
            weights = self.decoder_weights()
            for _ in range(rounds):
                logits = refined_logits(self, weights, image, logits)
        return {"logits": logits}

    @torch.no_grad()
    def attention(self, images: Tensor, ids: Tensor, widths: Tensor | None = None) -> Tensor:
        """Return the weights of the patches for each character (OCRModel.attention)."""
        return patch_weights(self, self.features(images), ids).unflatten(2, (self.encoder.rows, -1))
