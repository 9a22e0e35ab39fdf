"""Weight initialisation of convolutions, output layers and transformer blocks."""

from __future__ import annotations

from torch import nn

POSITION_STD = 0.3  # of learned positional embeddings; patch embeddings start with a standard deviation of about 0.35


def init_convolutions(module: nn.Module) -> None:
    """Initialise every convolution of `module` so that ReLU layers keep the variance of gradients; biases are 0.

    He et al., "Delving Deep into Rectifiers", 2015 (https://arxiv.org/abs/1502.01852).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_output_layer(layer: nn.Conv2d) -> None:
    """Initialise the layer that predicts the maps so that outputs start near 0, where the sigmoid is not saturated.

    Lin et al., "Focal Loss for Dense Object Detection", 2017, section 4.1 (https://arxiv.org/abs/1708.02002). With only
    a few output channels, `init_convolutions` would give outputs a standard deviation of 2 to 3.
    """
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def init_transformer(module: nn.Module, residual_ends: tuple[str, ...], depth: int) -> None:
    """Initialise every linear layer of `module` so that the residual stream keeps its scale; biases are 0.

    The standard deviation is 1 / sqrt(inputs) (LeCun et al., "Efficient BackProp", 1998, section 4.6), scaled by
    1 / sqrt(2 x depth) for layers that end a residual branch (Radford et al., "Language Models are Unsupervised
    Multitask Learners", 2019, section 2.3). docs/research/benchmarks.md compares it with a constant 0.02, which the
    PARSeq release uses.

    residual_ends: names of the layers that end a branch, such as "proj". depth: number of blocks, two branches each.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            scale = (2 * depth) ** -0.5 if name.rsplit(".", 1)[-1] in residual_ends else 1.0
            nn.init.normal_(layer.weight, std=scale * layer.in_features**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
