"""PARSeq: one model that reads a word character by character, all at once, or over again.

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
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.parseq.decoder import Decoder, TokenEmbedding
from ocrctl.models.parseq.encoder import VisionTransformer
from ocrctl.models.parseq.generate import (
    Beams,
    all_at_once,
    beam_search,
    character_by_character,
    refined,
)
from ocrctl.models.parseq.initialise import PLACES
from ocrctl.models.parseq.permutations import attends, draw_orders


@dataclass(frozen=True)
class PARSeqSize:
    """One size of the architecture, from table 2 of the paper's appendix."""

    features: int
    encoder_heads: int
    decoder_heads: int


SIZES = {"parseq-tiny": PARSeqSize(192, 3, 6), "parseq": PARSeqSize(384, 6, 12)}
DEPTH = 12  # blocks of the encoder
PATCH = (4, 8)  # pixels, rows and columns
MLP_RATIO = 4  # hidden features / features


def build(card: ModelCard, num_classes: int) -> PARSeq:
    """The PARSeq that `card` describes, with random weights."""
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

    Token ids: 0 is [EOS], characters from 1 on, then [BOS] and [PAD], which the head never predicts: K classes are
    [EOS] and the characters (text.tokenizer.ARTokenizer). Shapes: N pictures, S patches, D features, L context
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
        """`decoding`: "ar" or "nar", how `generate` reads unless told otherwise; `refine`: rounds of refinement."""
        head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
        by_class = ("head.weight", "head.bias", "text_embed.embedding.weight")
        super().__init__(encoder, decoder, head, mean=mean, std=std, class_tensors=by_class)
        self.eos, self.bos, self.pad = 0, num_classes, num_classes + 1
        self.decoding, self.refine = decoding, refine
        self.text_embed = TokenEmbedding(num_classes + 2, dim)
        self.pos_queries = nn.Parameter(torch.empty(1, max_label_length + 1, dim))
        self.dropout = Dropout(dropout)
        nn.init.trunc_normal_(self.pos_queries, std=PLACES)

    def fit_size(self, weights: dict[str, Tensor]) -> None:
        """Positions of patches learnt at another width are interpolated; other sizes stay as they are."""
        given, own, rows = weights.get("encoder.pos_embed"), self.encoder.pos_embed, self.encoder.rows
        if given is None or given.ndim != 3 or given.shape[2] != own.shape[2] or given.shape[1] % rows:
            return
        if given.shape != own.shape:
            weights["encoder.pos_embed"] = self.encoder.places(given)

    def undecayed(self) -> set[str]:
        """Embeddings are positions and tokens, not weights to shrink."""
        return {"pos_queries", "text_embed.embedding.weight", "encoder.pos_embed"}

    def layer_depth(self, name: str) -> int:
        """Patches and positions 0, the encoder's blocks from 1 on, all behind them (the decoder too) one number, as
        BEiT counts (Bao et al., 2022, https://arxiv.org/abs/2106.08254). Raises ValueError for a name that is none of
        this model's parameters."""
        if name not in dict(self.named_parameters()):
            raise ValueError(f"{name!r} is no parameter of this model")
        if name.startswith(("encoder.patch_embed.", "encoder.pos_embed")):
            return 0
        if name.startswith("encoder.blocks."):
            return int(name.split(".")[2]) + 1
        return len(self.encoder.blocks) + 1

    def recompute_activations(self) -> None:
        """See OCRModel; logits and gradients stay the same (vit.VisionTransformer)."""
        self.encoder.checkpointing = True

    @property
    def layers(self) -> int:
        """Blocks of the encoder, what stands before them and what stands behind."""
        return len(self.encoder.blocks) + 2

    def memory(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to (N, S, D)."""
        return self.encoder(self.normalise(images))

    def embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Context tokens (N, L), the first of them at position `start`, to (N, L, D). [BOS], at position 0, stands
        for no context and has no place; the character at position j has the place of query j - 1."""
        end = start + tokens.shape[1]
        places = self.pos_queries[:, max(start - 1, 0) : end - 1]
        if start == 0:
            places = torch.cat([torch.zeros_like(self.pos_queries[:, :1]), places], dim=1)
        return self.text_embed(tokens) + places

    def forward(self, images: Tensor, targets: Tensor | None = None, orders: Tensor | None = None) -> dict[str, Tensor]:
        """Training, or any call with targets: every position of every reading order at once (section 3.2).

        images: uint8 (N, C, H, W). targets: int64 (N, L + 1), [BOS] characters [EOS] and [PAD] behind. orders: int64
        (P, L + 1) as permutations.draw_orders gives them; None draws them in training and reads left to right
        otherwise. Returns {"logits": (N, P, L, K)}, position i predicting targets[:, i + 1].
        Without targets an evaluated model generates, {"logits": (N, T, K)}; one in training raises UsageError.
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
        seen = (context != self.pad) & (context != self.eos)  # (N, L): no character depends on what ends or pads
        may_see = attends(orders).to(targets.device, non_blocking=True).flatten(0, 1)  # (P * L, L)
        mask = may_see[None, None] & seen[:, None, None]  # (N, 1, P * L, L)
        layer = self.decoder.layer
        content = layer.content(self.dropout(self.embed(context)))
        picture = layer.picture(self.memory(images))
        queries = self.pos_queries[:, :length].repeat(1, len(orders), 1)  # (1, P * L, D)
        queries = self.dropout(queries.expand(len(targets), -1, -1))
        logits = self.head(self.decoder(queries, content, picture, mask))
        return {"logits": logits.unflatten(1, (len(orders), length))}

    @property
    def steps(self) -> int:
        """T: output positions, [EOS] included."""
        return self.pos_queries.shape[1]

    @torch.no_grad()
    def generate(
        self, images: Tensor, *, decoding: str | None = None, refine: int | None = None, max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Greedy reading, section 3.3: character by character or all at once, then `refine` rounds of refinement.

        images: uint8 (N, C, H, W). decoding: "ar" or "nar", refine: rounds; None takes the model's own. max_length:
        longest text, None for the model's limit. Returns {"logits": (N, T, K)}; a text ends where class 0 is the best.
        Without refinement the positions after the end of a row that was read character by character hold zeros.
        """
        decoding = self.decoding if decoding is None else decoding
        if decoding not in ("ar", "nar"):
            raise UsageError(f"decoding {decoding!r}: use ar (character by character) or nar (all at once).")
        steps = self._steps(max_length)
        rounds = self.refine if refine is None else refine
        memory = self.memory(images)
        if decoding == "ar":
            logits = character_by_character(self, memory, steps)
            if rounds == 0:
                return {"logits": logits}
        picture = self.decoder.layer.picture(memory)
        if decoding == "nar":
            logits = all_at_once(self, picture, steps)
        for _ in range(rounds):
            logits = refined(self, picture, logits)
        return {"logits": logits}

    @torch.no_grad()
    def generate_beam(self, images: Tensor, beam: int, max_length: int | None = None) -> Beams:
        """The `beam` most probable texts of each picture that a beam search character by character finds."""
        if beam < 1:
            raise UsageError(f"a beam needs at least one text, found {beam}.")
        return beam_search(self, self.memory(images), self._steps(max_length), beam)

    def _steps(self, max_length: int | None) -> int:
        if max_length is not None and not 1 <= max_length < self.steps:
            raise UsageError(f"max_length {max_length}: this model reads 1 to {self.steps - 1} characters.")
        return self.steps if max_length is None else max_length + 1
