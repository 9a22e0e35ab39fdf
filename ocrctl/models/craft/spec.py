"""CRAFT: architectures and their torch-free facts.

Baek et al., "Character Region Awareness for Text Detection", 2019 (https://arxiv.org/abs/1904.01941): maps at half of
the input.
"""

from __future__ import annotations

from ocrctl.config.model_spec import DetectorSpec, ModelSpec
from ocrctl.models.family import ModelFamily

FAMILY = ModelFamily(
    "craft",
    (
        ModelSpec("craft", "detection", "craft", "CRAFT, character regions and the links between them, 640x640 RGB",
                  640, 640, 3, 2, 2, None, 0, "", size_multiple=32, backbones=("vgg16bn",), lr=1e-4,
                  detector=DetectorSpec(
                      maps={"region": "linear", "affinity": "linear"},
                      map_stride=2,
                      finest_stride=2,
                      thresholds={"threshold": 0.7, "link_threshold": 0.4, "low_text": 0.5},
                      score_threshold="threshold",
                  )),
    ),
    build="ocrctl.models.craft.model:build",
    objective="maps",
    loss="ocrctl.models.craft.loss:craft_loss",
    targets="ocrctl.models.craft.targets:page_targets",
    find_polygons="ocrctl.models.craft.postprocess:craft_boxes",
    published="ocrctl.models.craft.published:recognise",
)  # fmt: skip
