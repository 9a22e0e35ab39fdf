"""PP-OCRv6: architectures and their torch-free facts.

PaddleOCR 3 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0). The recogniser takes 48 rows of RGB at the image's
own width and has one output step for every 8 columns. The detector is a DBNet (Liao et al., 2019): its loss, targets
and postprocessing are those of models/dbnet. The released models take BGR; import permutes the channels of their first
convolution.
"""

from __future__ import annotations

from ocrctl.config.kept_aspect import TALL, KeptAspect
from ocrctl.config.model_spec import DetectorSpec, ModelSpec
from ocrctl.models.family import ModelFamily

OPTIONS = ("dropout", "unfold")
KEPT = KeptAspect(min_width=8, max_width=3200, multiple=8, margin=12, weighted_to=320, tall=TALL)  # 3200: 400 steps
RECOGNISER = ModelFamily(
    "ppocr-rec",
    (
        ModelSpec("ppocr-rec-tiny", "recognition", "ppocr-rec",
                  "PP-OCRv6 recogniser (tiny), 0.5 M parameters and 81 per character, 48 high RGB, CTC",
                  48, 3200, 3, 48, 8, "ctc", 400, "ascii95", lr=3e-4,
                  fine_tune_lr=5e-5, resizes=("keep",), kept=KEPT, options=OPTIONS),
        ModelSpec("ppocr-rec-small", "recognition", "ppocr-rec",
                  "PP-OCRv6 recogniser (small), 3.0 M parameters and 121 per character, 48 high RGB, CTC",
                  48, 3200, 3, 48, 8, "ctc", 400, "ascii95", lr=3e-4,
                  fine_tune_lr=5e-5, resizes=("keep",), kept=KEPT, options=OPTIONS),
        ModelSpec("ppocr-rec-medium", "recognition", "ppocr-rec",
                  "PP-OCRv6 recogniser (medium), 15.5 M parameters and 193 per character, 48 high RGB, CTC",
                  48, 3200, 3, 48, 8, "ctc", 400, "ascii95", lr=3e-4,
                  fine_tune_lr=5e-5, resizes=("keep",), kept=KEPT, options=OPTIONS),
    ),
    build="ocrctl.models.ppocr.recogniser:build",
    fold="ocrctl.models.ppocr.repvgg:fold",
    objective="ctc",
    published="ocrctl.models.ppocr.published_recogniser:recognise",
    published_order="ocrctl.models.ppocr.published_order:named",
)  # fmt: skip
_MAPS = DetectorSpec(
    maps={"probability": "sigmoid"},  # the threshold map is of training alone
    map_stride=1,
    finest_stride=4,
    thresholds={"threshold": 0.3, "box_threshold": 0.5, "unclip": 1.6},  # as rapidocr runs it
    score_threshold="box_threshold",
    shrink_ratio=0.4,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
DETECTOR = ModelFamily(
    "ppocr-det",
    (
        ModelSpec("ppocr-det-tiny", "detection", "ppocr-det", "PP-OCRv6 detector (tiny), 0.4 M parameters, 640x640",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, detector=_MAPS, lr=3e-4,
                  options=OPTIONS),
        ModelSpec("ppocr-det-small", "detection", "ppocr-det", "PP-OCRv6 detector (small), 2.5 M parameters, 640x640",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, detector=_MAPS, lr=3e-4,
                  options=OPTIONS),
        ModelSpec("ppocr-det-medium", "detection", "ppocr-det",
                  "PP-OCRv6 detector (medium), 15.7 M parameters, 640x640",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, detector=_MAPS, lr=3e-4,
                  options=OPTIONS),
    ),
    build="ocrctl.models.ppocr.detector:build",
    fold="ocrctl.models.ppocr.repvgg:fold",
    objective="maps",
    loss="ocrctl.models.dbnet.loss:db_loss",
    targets="ocrctl.models.dbnet.targets:page_targets",
    find_polygons="ocrctl.models.dbnet.postprocess:db_boxes",
    published="ocrctl.models.ppocr.published_detector:recognise",
)  # fmt: skip
FAMILIES = (RECOGNISER, DETECTOR)
