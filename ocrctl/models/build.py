"""The one builder: every size of every architecture, in numbers."""

from __future__ import annotations

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import get_spec
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.recognition.crnn import BiLSTMDecoder, ConvEncoder, CTCHead, Stage
from ocrctl.text.charset import Charset
from ocrctl.text.tokenizer import CTCTokenizer

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


def build_model(card: ModelCard) -> OCRModel:
    """Build the untrained model that `card` describes. Raises UsageError when its architecture is unknown."""
    spec = get_spec(card.arch)
    tokenizer = CTCTokenizer(Charset(card.charset), card.max_label_length)
    dropout = float(card.model.get("dropout", 0.0))
    features, hidden = CRNN_FEATURES[spec.name], CRNN_HIDDEN[spec.name]
    return OCRModel(
        encoder=ConvEncoder(card.channels, CRNN_STAGES[spec.name], features),
        decoder=BiLSTMDecoder(features, hidden, CRNN_LAYERS[spec.name], dropout),
        head=CTCHead(2 * hidden, tokenizer.num_classes),
        mean=card.mean,
        std=card.std,
    )
