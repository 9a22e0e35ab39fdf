"""The one builder: every size of every architecture, in numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import get_spec
from ocrctl.errors import InputError, UsageError
from ocrctl.models.build_detection import DETECTION_BUILDERS
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.recognition.crnn import BiLSTMDecoder, ConvEncoder, CTCHead, Stage
from ocrctl.models.recognition.parseq import PARSeq
from ocrctl.models.recognition.parseq_decoder import Decoder
from ocrctl.models.recognition.vit import VisionTransformer
from ocrctl.text.tokenizer import make_tokenizer

# Strides of the four halvings of 32 rows to 2; the columns are halved twice, so that one step sees 4 pixels.
CRNN_STAGES: dict[str, list[Stage]] = {
    "crnn-tiny": [Stage(32, (2, 2)), Stage(64, (2, 2)), Stage(64, (1, 1)), Stage(128, (2, 1)), Stage(128, (2, 1))],
    "crnn": [
        Stage(48, (2, 2)),
        Stage(96, (2, 2)),
        Stage(96, (1, 1)),
        Stage(192, (2, 1)),
        Stage(192, (1, 1)),
        Stage(256, (2, 1)),
    ],
}
CRNN_FEATURES = {"crnn-tiny": 128, "crnn": 256}  # width of the columns handed to the LSTM
CRNN_HIDDEN = {"crnn-tiny": 96, "crnn": 192}  # hidden units of the LSTM, per direction
CRNN_LAYERS = {"crnn-tiny": 1, "crnn": 2}


# PARSeq, table 2 of the paper's appendix: features, heads of the encoder, heads of the decoder.
PARSEQ_SIZES = {"parseq-tiny": (192, 3, 6), "parseq": (384, 6, 12)}
PARSEQ_DEPTH, PARSEQ_PATCH, PARSEQ_MLP_RATIO = 12, (4, 8), 4  # blocks of the encoder, pixels, hidden / features


def build_model(card: ModelCard) -> OCRModel:
    """Build the untrained model that `card` describes. Raises UsageError when its architecture is unknown."""
    spec = get_spec(card.arch)
    if spec.task == "detection":
        return DETECTION_BUILDERS[spec.family](card)
    return BUILDERS[spec.family](card, make_tokenizer(card).num_classes)


def build_trained(card: ModelCard, weights: dict[str, Tensor], where: Path) -> OCRModel:
    """The model of `card` with `weights`, both from the file `where`, ready to read. Raises InputError when they do not
    belong together, as in a file that was put together by hand."""
    try:
        model = build_model(card)
    except UsageError as error:  # an architecture that this version does not have
        raise InputError(f"{where}: {error.message}", hint="upgrade with: pip install -U ocrctl") from error
    except InputError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint) from error
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    held = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(own.keys() | held.keys()):
        if own.get(name) != held.get(name):
            raise InputError(
                f"{where}: its card says {card.arch} with {len(card.charset)} characters, which needs {name} of shape "
                f"{own.get(name, 'none')}; its weights hold {held.get(name, 'none')}.",
                hint="use the checkpoint as its run wrote it",
            )
    model.load_state_dict(weights)
    return model.eval()


def _crnn(card: ModelCard, num_classes: int) -> OCRModel:
    dropout = float(card.model.get("dropout", 0.0))
    features, hidden = CRNN_FEATURES[card.arch], CRNN_HIDDEN[card.arch]
    return OCRModel(
        encoder=ConvEncoder(card.channels, CRNN_STAGES[card.arch], features),
        decoder=BiLSTMDecoder(features, hidden, CRNN_LAYERS[card.arch], dropout),
        head=CTCHead(2 * hidden, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


def _parseq(card: ModelCard, num_classes: int) -> OCRModel:
    dropout = float(card.model.get("dropout", 0.0))
    dim, encoder_heads, decoder_heads = PARSEQ_SIZES[card.arch]
    return PARSeq(
        VisionTransformer(card.height, card.width, card.channels, PARSEQ_PATCH, dim, PARSEQ_DEPTH, encoder_heads),
        Decoder(dim, decoder_heads, PARSEQ_MLP_RATIO, dropout),
        dim=dim,
        num_classes=num_classes,
        max_label_length=card.max_label_length,
        dropout=dropout,
        decoding=str(card.model.get("decoding", "ar")),
        refine=int(card.model.get("refine", 1)),
        mean=card.mean,
        std=card.std,
    )


BUILDERS: dict[str, Callable[[ModelCard, int], OCRModel]] = {"crnn": _crnn, "parseq": _parseq}
