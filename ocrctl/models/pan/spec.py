"""PAN: architectures and their torch-free facts.

Wang et al., "Efficient and Accurate Arbitrary-Shaped Text Detection with Pixel Aggregation Network", 2019
(https://arxiv.org/abs/1908.05900): maps at a quarter of the input.
"""

from __future__ import annotations

from ocrctl.config.model_spec import DetectorSpec, ModelSpec
from ocrctl.models.family import ModelFamily

FAMILY = ModelFamily(
    "pan",
    (
        ModelSpec("pan", "detection", "pan", "PAN, text kernels and pixel embeddings, 640x640 RGB",
                  640, 640, 3, 4, 4, None, 0, "", size_multiple=32,
                  backbones=("efficientnet-lite0", "mobilenetv3", "resnet18", "resnet50"),
                  detector=DetectorSpec(
                      maps={"text": "sigmoid", "kernel": "sigmoid", "embedding": "linear"},
                      map_stride=4,
                      finest_stride=4,
                      thresholds={"threshold": 0.5, "kernel_threshold": 0.5, "distance": 6.0, "box_threshold": 0.85},
                      score_threshold="box_threshold",
                      shrink_ratio=0.5,
                  )),
    ),
    build="ocrctl.models.pan.model:build",
    objective="maps",
    loss="ocrctl.models.pan.loss:pan_loss",
    targets="ocrctl.models.pan.targets:page_targets",
    find_polygons="ocrctl.models.pan.postprocess:pan_boxes",
)  # fmt: skip
