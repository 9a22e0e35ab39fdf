"""True-2D attention: biases by distance, windows, sampling points that come back, figures, switches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ocrctl.config.model_card import recognition_card
from ocrctl.config.settings import TrainSettings
from ocrctl.models.build import build_model
from ocrctl.models.layers.multi_head import FeatureMap
from ocrctl.models.registry import get_spec
from ocrctl.models.true2d.deformable import DeformableCrossAttention, bounded
from ocrctl.models.true2d.encoder import RelativeBias, SelfAttention2D, cut_or_stretch
from ocrctl.models.true2d.model import FIGURES, True2D
from ocrctl.training.optimizer import build_optimizer


def make(arch: str = "true2d-tiny", resize: str = "stretch", **options: object) -> True2D:
    spec = get_spec(arch).with_resize("keep" if resize == "keep" else "stretch")
    torch.manual_seed(0)
    model = build_model(recognition_card(spec, "abcdef", model=options))
    assert isinstance(model, True2D)
    return model.eval()


def pictures(count: int, width: int = 100) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 32, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_each_distance_has_one_bias() -> None:
    bias = RelativeBias(2, 3, 4)
    found = bias(3, 4).view(2, 3, 4, 3, 4)
    for row, column, other_row, other_column in ((0, 0, 2, 3), (2, 1, 0, 0), (1, 3, 1, 3)):
        wanted = bias.table[:, row - other_row + 2, column - other_column + 3]
        assert torch.equal(found[:, row, column, other_row, other_column], wanted)
    assert torch.equal(bias(2, 3), bias(3, 4).view(2, 3, 4, 3, 4)[:, :2, :3, :2, :3].reshape(1, 2, 6, 6))


def test_a_larger_map_interpolates_the_table() -> None:
    line = torch.arange(7.0).expand(1, 5, 7)  # a bias that grows with dw
    wide = cut_or_stretch(line, 3, 7)
    assert wide.shape == (1, 5, 13)
    torch.testing.assert_close(wide[0, 0], torch.linspace(0, 6, 13))
    assert torch.equal(cut_or_stretch(line, 3, 4), line)
    assert cut_or_stretch(line, 9, 2)[0, 0].tolist() == [2.0, 3.0, 4.0]


def test_images_of_another_size_run_and_their_weights_fit() -> None:
    model = make()
    assert model.generate(pictures(1, 220))["logits"].shape == (1, 26, 7)
    spec = get_spec("true2d-tiny").at_width(200)
    wide = build_model(recognition_card(spec, "abcdef"))
    weights = dict(model.state_dict())
    wide.adapt_weights(weights)
    wide.load_state_dict(weights)
    table = wide.get_parameter("encoder.layers.0.self_attn.bias.table")
    assert table.shape == (4, 7, 99)


@pytest.mark.parametrize("shifted", [False, True])
def test_a_cell_attends_to_its_window_only(shifted: bool) -> None:
    torch.manual_seed(0)
    attention = SelfAttention2D(8, 2, 0.0, (4, 10), 4, shifted=shifted, bias=True).eval()
    assert attention.bias is not None and attention.bias.table.shape == (2, 7, 7)
    cells = torch.randn(1, 40, 8)
    changed = cells.clone()
    changed.view(1, 4, 10, 8)[:, 1, 5] += 1
    moved = (attention.attend_cells(cells, 4, None) - attention.attend_cells(changed, 4, None)).abs().amax(2)
    columns = (moved.view(4, 10) > 1e-6).any(0).nonzero()[:, 0].tolist()
    assert columns == ([2, 3, 4, 5] if shifted else [4, 5, 6, 7])


def test_windows_that_hold_the_whole_map_equal_global_attention() -> None:
    torch.manual_seed(0)
    one = SelfAttention2D(8, 2, 0.0, (4, 10), 0, shifted=False, bias=False).eval()
    windows = SelfAttention2D(8, 2, 0.0, (4, 10), 10, shifted=False, bias=False).eval()
    windows.load_state_dict(one.state_dict())
    cells = torch.randn(2, 40, 8)
    mask = torch.rand(2, 1, 1, 40) > 0.3
    torch.testing.assert_close(windows.attend_cells(cells, 4, mask), one.attend_cells(cells, 4, mask))


@pytest.mark.parametrize("options", [{"window_size": 3}, {"cross_attention": "full"}, {"relative_bias": False}])
def test_padding_changes_no_output_of_any_variant(options: dict[str, object]) -> None:
    model = make(resize="keep", **options)
    assert model.kept is not None
    images, widths = pictures(2, 160), torch.tensor([37, 121])
    labels = torch.tensor([[7, 1, 2, 0]] * 2)
    together = model(images, labels, widths=widths)["logits"]
    for row, width in enumerate(widths.tolist()):
        one = images[row : row + 1, ..., : model.kept.batch_width(width)]
        alone = model(one, labels[:1], widths=widths[row : row + 1])["logits"]
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-4)


def test_the_switches_of_the_ablation() -> None:
    assert not any(name.endswith("table") for name in make(relative_bias=False).state_dict())
    assert make(cross_attention="full").deformable == []
    assert [cross.offsets.out_features for cross in make(points=2).deformable] == [4 * 2 * 2] * 2
    assert make(window_size=5).get_parameter("encoder.layers.0.self_attn.bias.table").shape == (4, 7, 9)


def test_keys_of_full_cross_attention_tell_where_a_cell_is() -> None:
    cross = make(cross_attention="full").decoder.decoder_layers[0].cross_attn
    keys, values, _ = cross.prepare(FeatureMap(torch.ones(1, 128, 4, 25), None))
    assert keys is not None and values is not None
    cells = keys.transpose(1, 2).flatten(2)[0]  # (h w, D) of one feature everywhere
    distances = torch.cdist(cells, cells).fill_diagonal_(torch.inf)
    assert distances.min() > 0.01
    torch.testing.assert_close(values[:, :, :1].expand_as(values), values)


def test_points_start_on_a_spread_grid_around_the_reference() -> None:
    cross = make().deformable[0]
    image = FeatureMap(torch.randn(1, 128, 4, 25), None)
    points = cross.find(torch.randn(1, 3, 128), cross.prepare(image), 0)
    assert points.locations.shape == (1, 3, 4, 4, 2) and points.weights.eq(0.25).all()
    cells = (points.locations[0, 1] - cross.reference[1].sigmoid()) * torch.tensor([25, 4])
    torch.testing.assert_close(cells[0], torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]]))
    torch.testing.assert_close(cells[1, :, 1], torch.arange(1.0, 5.0))
    assert not cross.offsets.weight.any()
    later = cross.find(torch.randn(1, 1, 128), cross.prepare(image), 2).locations
    torch.testing.assert_close(later[:, 0], points.locations[:, 2])  # one step at a time, the same reference points


@torch.no_grad()
def test_sampling_is_bilinear_between_cells_of_the_image_alone() -> None:
    """Against a plain loop, with a second image of three of five columns."""
    torch.manual_seed(0)
    cross = DeformableCrossAttention(4, 2, 3, 5)
    nn.init.normal_(cross.offsets.weight, std=0.5)
    nn.init.normal_(cross.weights.weight)
    image, states = FeatureMap(torch.randn(2, 4, 2, 5), torch.tensor([5, 3])), torch.randn(2, 4, 4)
    prepared = cross.prepare(image)
    points, values = cross.find(states, prepared, 0), prepared[0]
    assert values is not None
    wanted = torch.zeros(2, 4, 4)
    for n, q, h, k in torch.cartesian_prod(*(torch.arange(size) for size in points.weights.shape)).tolist():
        width = (5, 3)[n]
        x = min(max(float(points.locations[n, q, h, k, 0]) * width - 0.5, 0), width - 1.001)
        y = min(max(float(points.locations[n, q, h, k, 1]) * 2 - 0.5, 0), 0.999)
        for row, column in ((r, c) for r in range(2) for c in range(5)):
            share = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
            sampled = points.weights[n, q, h, k] * share * values[n, h, :, row, column]
            wanted[n, q, 2 * h : 2 * h + 2] += sampled
    torch.testing.assert_close(cross.look(states, prepared, 0), cross.out(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [-9.0, 9.0])  # cells: beyond the left edge, and the right
def test_a_point_outside_comes_back(side: float) -> None:
    """A hard clamp would leave it where it is, without a gradient."""
    torch.manual_seed(0)
    cross = DeformableCrossAttention(2, 1, 1, 1)
    for layer in (cross.value, cross.out):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    hill = torch.arange(8.0).expand(1, 2, 2, 8)  # brighter to the right
    with torch.no_grad():
        cross.offsets.bias.copy_(torch.tensor([side, 0.0]))
    states = torch.zeros(1, 1, 2)
    place = cross.find(states, cross.prepare(FeatureMap(hill, None)), 0).locations[..., 0]
    assert not 0 <= float(place.detach()) <= 1
    optimizer = torch.optim.SGD([cross.offsets.bias], 0.5)
    for _ in range(20):
        optimizer.zero_grad()
        prepared = cross.prepare(FeatureMap(hill, None))
        (cross.look(states, prepared, 0) - 5).square().mean().backward()
        optimizer.step()
    x = cross.find(states, cross.prepare(FeatureMap(hill, None)), 0).locations[0, 0, 0, 0, 0] * 8 - 0.5
    assert 4 < float(x.detach()) < 6

    cells = torch.tensor([-3.0, 2.0, 9.0], requires_grad=True)
    kept = bounded(cells, 4)
    torch.testing.assert_close(kept.detach(), torch.tensor([0.0, 2.0, 4.0]), rtol=0, atol=2e-3)
    (inwards,) = torch.autograd.grad(kept, cells, torch.tensor([-1.0, -1.0, 1.0]), retain_graph=True)
    assert inwards.tolist() == [-1.0, -1.0, 1.0]
    (outwards,) = torch.autograd.grad(kept, cells, torch.tensor([1.0, 1.0, -1.0]))
    assert outwards.tolist() == [0.0, 1.0, 0.0]  # a point beyond the image does not move on


def test_sampling_points_learn_at_a_tenth_of_the_rate() -> None:
    model = make()
    shares = {id(p): group["share"] for group in build_optimizer(model, TrainSettings(optimizer="muon", lr=0.01,
              muon_lr=0.01)).param_groups for p in group["params"]}  # fmt: skip
    found = {name: shares[id(p)] for name, p in model.named_parameters()}
    slow = {name for name, share in found.items() if share == 0.1}
    cross = "decoder.layers.0.cross_attn."
    assert {cross + "offsets.weight", cross + "reference", cross + "shift.weight"} < slow
    assert found[cross + "weights.weight"] == found[cross + "value.weight"] == 1.0
    assert not model.is_hidden_matrix(cross + "offsets.weight", model.get_parameter(cross + "offsets.weight"))


def test_figures_of_a_step_and_a_dead_branch() -> None:
    model = make().train()
    labels = torch.tensor([[7, 1, 2, 3, 0]] * 2)

    def step() -> dict[str, torch.Tensor]:
        model.watch(True)
        model.zero_grad()
        F.cross_entropy(model(pictures(2), labels)["logits"].flatten(0, 1), labels[:, 1:].flatten()).backward()
        return model.figures()

    found = step()
    assert tuple(found) == FIGURES and all(value.shape == (2,) for value in found.values())
    torch.testing.assert_close(found["weight_mean"], torch.full((2,), 0.25))
    assert not found["weight_spread"].any() and (found["points_outside"] > 0).all()
    assert (found["offset_gradient"] > 0).all()
    assert model.figure_warnings({name: value.tolist() for name, value in found.items()}) == []
    with torch.no_grad():
        model.deformable[0].offsets.bias.fill_(-100.0)
    assert float(step()["points_outside"][0]) == 1.0
    for parameter in model.deformable[1].offsets.parameters():
        parameter.requires_grad = False
    (sentence,) = model.figure_warnings({name: value.tolist() for name, value in step().items()})
    assert "decoder.layers.1.cross_attn.offsets has no gradient" in sentence
    model.watch(False)
    model(pictures(2), labels)
    assert model.figures() == {} == make(cross_attention="full").figures()


def test_the_published_size() -> None:
    spec = get_spec("true2d")
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeformableCrossAttention, "reset_points", lambda self: None)
        model = build_model(replace(recognition_card(spec, "abc"), model={"points": 4}))
    assert isinstance(model, True2D)
    layers = model.encoder.layers, model.decoder.layers
    assert [len(part) for part in layers] == [6, 6] and (spec.lr, spec.warmup_steps) == (3e-4, 10_000)
    assert model.encoder.backbone(torch.zeros(1, 3, 32, 128, device="meta"))[0].shape == (1, 2048, 4, 32)
    assert sum(p.numel() for p in model.parameters()) == 65_874_028
