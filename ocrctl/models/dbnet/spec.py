"""DBNet and DBNet++: architectures and their torch-free facts.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2019 (https://arxiv.org/abs/1911.08947):
maps at the size of the input, from features at a quarter of it.
"""

from __future__ import annotations

from ocrctl.config.model_spec import DetectorSpec, ModelSpec
from ocrctl.models.family import ModelFamily

BACKBONES = ("efficientnet-lite0", "mobilenetv3", "resnet18", "resnet50")  # the lightest first: the default
DETECTOR = DetectorSpec(
    maps={"probability": "sigmoid"},  # the threshold map is of training alone
    map_stride=1,
    finest_stride=4,
    thresholds={"threshold": 0.3, "box_threshold": 0.6, "unclip": 1.5},
    score_threshold="box_threshold",
    shrink_ratio=0.4,
)
FAMILY = ModelFamily(
    "dbnet",
    (
        ModelSpec("dbnet", "detection", "dbnet", "DBNet, differentiable binarisation, 640x640 RGB: the base detector",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, backbones=BACKBONES, detector=DETECTOR),
        ModelSpec("dbnetpp", "detection", "dbnet", "DBNet++, DBNet with adaptive scale fusion, 640x640 RGB",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, backbones=BACKBONES, detector=DETECTOR),
    ),
    build="ocrctl.models.dbnet.model:build",
    objective="maps",
    loss="ocrctl.models.dbnet.loss:db_loss",
    targets="ocrctl.models.dbnet.targets:page_targets",
    find_polygons="ocrctl.models.dbnet.postprocess:db_boxes",
)  # fmt: skip
