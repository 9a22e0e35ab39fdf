"""PARSeq: permuted autoregressive sequence model for scene text recognition.

Bautista, Atienza, "Scene Text Recognition with Permuted Autoregressive Sequence Models", 2022
(https://arxiv.org/abs/2207.06966). Tensor names and shapes are those of the official release (baudm/parseq), so that
its published weights load by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import UsageError
from ocrctl.models.layers.attention import Dropout
from ocrctl.models.layers.beam_search import Beams, Words, beam_search
from ocrctl.models.layers.init import POSITION_STD
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.parseq.decoder import Decoder, TokenEmbedding
from ocrctl.models.parseq.encoder import VisionTransformer
from ocrctl.models.parseq.generate import (
    autoregressive_logits,
    parallel_logits,
    patch_weights,
    refined_logits,
)
from ocrctl.models.parseq.incremental_decoder import IncrementalDecoder
from ocrctl.models.parseq.permutations import attention_masks, draw_orders


@dataclass(frozen=True)
class PARSeqSize:
    """One size of the architecture (table 2 of the paper's appendix)."""

    features: int
    encoder_heads: int
    decoder_heads: int


SIZES = {"parseq-tiny": PARSeqSize(192, 3, 6), "parseq": PARSeqSize(384, 6, 12)}
DEPTH = 12  # blocks of the encoder
PATCH = (4, 8)  # pixels, rows and columns
MLP_RATIO = 4  # hidden features / features


def build(card: ModelCard, num_classes: int) -> PARSeq:
    """Build the PARSeq that `card` describes, with random weights."""
    size, dropout = SIZES[card.arch], float(card.model.get("dropout", 0.0))
    return PARSeq(
        VisionTransformer(card.height, card.width, card.channels, PATCH, size.features, DEPTH, size.encoder_heads),
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


class PARSeq(OCRModel):
    """ViT encoder, one-layer decoder with position queries, linear head.

    Token ids: 0 is [EOS], characters start at 1, then [BOS] and [PAD], which the head never predicts: K classes are
    [EOS] and the characters (text.tokenizer.ARTokenizer). Shapes: N images, S patches, D features, L context
    positions, P reading orders, T = max_label_length + 1 output steps, the last for [EOS].
    """

    encoder: VisionTransformer
    decoder: Decoder
    head: nn.Linear

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
        head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        class_tensors = ("head.weight", "head.bias", "text_embed.embedding.weight")
        super().__init__(encoder, decoder, head, mean=mean, std=std, class_tensors=class_tensors)
        self.eos, self.bos, self.pad = 0, num_classes, num_classes + 1
        self.decoding, self.refine = decoding, refine
        self.text_embed = TokenEmbedding(num_classes + 2, dim)
        self.pos_queries = nn.Parameter(torch.empty(1, max_label_length + 1, dim))
        self.dropout = Dropout(dropout)
        nn.init.trunc_normal_(self.pos_queries, std=POSITION_STD)

    def adapt_to_size(self, weights: dict[str, Tensor]) -> None:
        """Interpolate positional embeddings that were learned at another image width; leave other sizes as they are."""
        given, own, rows = weights.get("encoder.pos_embed"), self.encoder.pos_embed, self.encoder.rows
        if given is None or given.ndim != 3 or given.shape[2] != own.shape[2] or given.shape[1] % rows:
            return
        if given.shape != own.shape:
            weights["encoder.pos_embed"] = self.encoder.interpolate_positions(given)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the token and positional embeddings."""
        return {"pos_queries", "text_embed.embedding.weight", "encoder.pos_embed"}

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Patch and positional embeddings, then the encoder's blocks, as BEiT numbers them (Bao et al., 2022,
        https://arxiv.org/abs/2106.08254)."""
        blocks = ((f"encoder.blocks.{index}.",) for index in range(len(self.encoder.blocks)))
        return (("encoder.patch_embed.", "encoder.pos_embed"), *blocks)

    def recompute_activations(self) -> None:
        """Enable activation checkpointing in the encoder (see VisionTransformer)."""
        self.encoder.checkpointing = True

    def memory(self, images: Tensor) -> Tensor:
        """Encode uint8 (N, C, H, W) to (N, S, D)."""
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
        if targets is None:
            if self.training:
                raise UsageError(
                    "an autoregressive model in training needs targets: call model(images, targets), or model.eval()"
                    " and model.generate(images)."
                )
            return self.generate(images)
        length = targets.shape[1] - 1
        if length > self.pos_queries.shape[1]:
            raise UsageError(f"targets of {length - 1} characters, the model reads at most {self.steps - 1}.")
        if orders is None:
            orders = draw_orders(length - 1) if self.training else torch.arange(length + 1).unsqueeze(0)
        context = targets[:, :-1]
        valid = (context != self.pad) & (context != self.eos)  # (N, L): [EOS] and [PAD] are never context
        allowed = attention_masks(orders).to(targets.device, non_blocking=True).flatten(0, 1)  # (P * L, L)
        mask = allowed[None, None] & valid[:, None, None]  # (N, 1, P * L, L)
        layer = self.decoder.layer
        content = layer.content_kv(self.dropout(self.embed(context)))
        image = layer.image_kv(self.memory(images))
        queries = self.pos_queries[:, :length].repeat(1, len(orders), 1)  # (1, P * L, D)
        queries = self.dropout(queries.expand(len(targets), -1, -1))
        logits = self.head(self.decoder(queries, content, image, mask))
        return {"logits": logits.unflatten(1, (len(orders), length))}

    @property
    def steps(self) -> int:
        """Return T, the number of output positions, [EOS] included."""
        return self.pos_queries.shape[1]

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
        steps = self._steps(max_length)
        rounds = self.refine if refine is None else refine
        memory = self.memory(images)
        if decoding == "ar" and rounds == 0:
            return {"logits": autoregressive_logits(self, memory, steps)}
        image = self.decoder.layer.image_kv(memory)
        if decoding == "ar":
            logits = autoregressive_logits(self, memory, steps, image)
        else:
            logits = parallel_logits(self, image, steps)
        for _ in range(rounds):
            logits = refined_logits(self, image, logits)
        return {"logits": logits}

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
        """Find `beam` texts for each image (OCRModel.generate_beam), character by character and without refinement."""
        self.check_beam(beam)
        memory, steps = self.memory(images), self._steps(max_length)
        image = self.decoder.layer.image_kv(memory)  # pays for more than one text of an image
        decoder = IncrementalDecoder(self, memory, steps, beam, image)
        return beam_search(decoder, memory, steps, beam, bos=self.bos, eos=self.eos, power=power, words=words)

    @torch.no_grad()
    def attention(self, images: Tensor, ids: Tensor, widths: Tensor | None = None) -> Tensor:
        """Return the weights of the patches for each character (OCRModel.attention)."""
        return patch_weights(self, self.memory(images), ids).unflatten(2, (self.encoder.rows, -1))

    def _steps(self, max_length: int | None) -> int:
        if max_length is not None and not 1 <= max_length < self.steps:
            raise UsageError(f"max_length {max_length}: this model reads 1 to {self.steps - 1} characters.")
        return self.steps if max_length is None else max_length + 1
