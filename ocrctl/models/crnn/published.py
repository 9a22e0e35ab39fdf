"""Recognise published weights of CRNN: None-VGG-BiLSTM-CTC of clovaai/deep-text-recognition-benchmark, and EasyOCR's
models of the second generation, such as english_g2.pth.

Only names differ from those of models/crnn/vgg.py. Images are grey, their pixels from -1 to 1.
"""

from __future__ import annotations

import string

from ocrctl.errors import InputError
from ocrctl.models.crnn.vgg import SIZES
from ocrctl.models.weight_file import Converted, Tensors, WeightFile
from ocrctl.text.charset import ASCII94, LOWER36

FAMILY = ("FeatureExtraction.", "Prediction.")  # prefixes of every model of that code
SIGNATURE = (
    "FeatureExtraction.ConvNet.18.weight",
    "SequenceModeling.1.rnn.weight_ih_l0",
    "SequenceModeling.1.linear.weight",
    "Prediction.weight",
)
NAMES = (
    ("FeatureExtraction.ConvNet.", "encoder.layers."),
    ("SequenceModeling.0.rnn.", "decoder.lstms.0."),
    ("SequenceModeling.1.rnn.", "decoder.lstms.1."),
    ("SequenceModeling.0.linear.", "decoder.linears.0."),
    ("SequenceModeling.1.linear.", "decoder.linears.1."),
    ("Prediction.", "head.linear."),
)
EASYOCR_ENGLISH = string.digits + string.punctuation + " €" + string.ascii_uppercase + string.ascii_lowercase
CHARSETS = {"crnn-vgg": (LOWER36, ASCII94), "crnn-vgg-small": (EASYOCR_ENGLISH,)}  # of releases


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published CRNN, None for any other file.

    Its charset is that of a release with as many characters; others have to be given. Raises InputError for other
    models of the same code: with attention, rectification, or other convolutions.
    """
    if file.kind != "state_dict" or not all(any(name.startswith(one) for name in file.tensors) for one in FAMILY):
        return None
    sizes = {size.channels: arch for arch, size in SIZES.items()}
    arch = sizes.get((*file.shape(SIGNATURE[0]), 0)[0])
    if arch is None or any(name not in file.tensors for name in SIGNATURE):
        raise InputError(
            f"{file.path}: a model of deep-text-recognition-benchmark or EasyOCR, but not None-VGG-BiLSTM-CTC with "
            f"{' or '.join(str(channels) for channels in sizes)} channels.",
            hint="supported are clovaai's None-VGG-BiLSTM-CTC and EasyOCR's models of the second generation (*_g2.pth)",
        )
    tensors: Tensors = {}
    for name, value in file.tensors.items():
        for prefix, own in NAMES:
            if name.startswith(prefix):
                name = own + name.removeprefix(prefix)
                break
        tensors[name] = value
    characters = file.shape("Prediction.weight")[0] - 1
    charset = next((chars for chars in CHARSETS[arch] if len(chars) == characters), None)
    return Converted(arch, tensors, f"published weights of {arch}", charset)
