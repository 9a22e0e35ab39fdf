"""Check that padding, later characters and the other images of a batch change no output of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ocrctl.config.output_steps import output_steps
from ocrctl.data.images.resize_word import pad_words
from ocrctl.diagnose.checks import Check, fail, ok, skipped
from ocrctl.diagnose.model.subject import Subject, logits_of
from ocrctl.models.ocr_model import OCRModel

GAP = 1e-3  # of the largest output; rounding stays below 1e-5


def check_invariance(subject: Subject) -> list[Check]:
    """Compare outputs of the model in evaluation mode: padding, causality, batch."""
    model = subject.build().eval()
    with torch.no_grad():
        return [_padding(subject, model), _causality(subject, model), _batch(subject, model)]


def _padding(subject: Subject, model: OCRModel) -> Check:
    fix = "mask padding with a boolean mask at every attention, and clear it after every convolution (layers.columns)"
    meaning = "a text is read otherwise beside a longer one than alone, and training and inference differ"
    gaps: dict[str, float] = {}
    if subject.card.kept is not None:
        gaps |= _columns(subject, model)
    if subject.autoregressive:
        gaps["[PAD] after the end of a label"] = _targets(subject, model, padding=True)
    if not gaps:
        return skipped("padding", "all images have one size, and no label is an input: nothing is padded")
    worst = max(gaps, key=lambda name: gaps[name])
    if not gaps[worst] <= GAP:  # NaN fails this
        return fail("padding", f"{worst} changes outputs by {gaps[worst]:.2g} of the largest", fix, meaning)
    return ok("padding", f"{' and '.join(gaps)} change no output (at most {gaps[worst]:.1e} of the largest)")


def _columns(subject: Subject, model: OCRModel) -> dict[str, float]:
    """How outputs of a narrow image depend on the columns after it and on a wider image beside it."""
    card, kept = subject.card, subject.card.kept
    assert kept is not None
    narrow, wide = max(kept.min_width, card.example_width // 2), card.example_width
    generator = torch.Generator().manual_seed(0)
    shape = (card.height, wide, card.channels)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).numpy()
    both, widths = pad_words([pixels[:, :narrow], pixels], kept)
    one, own = pad_words([pixels[:, :narrow]], kept)
    noisy = both.copy()
    noisy[0, :, narrow:] = 255 - noisy[0, :, narrow:]
    beside, alone, changed = (
        _run(subject, model, images, sizes)[0] for images, sizes in ((both, widths), (one, own), (noisy, widths))
    )
    if subject.ctc:
        steps = output_steps(subject.spec, narrow)
        beside, alone, changed = beside[:steps], alone[:steps], changed[:steps]
    return {"the columns after an image": gap(changed, beside), "a wider image in the batch": gap(beside, alone)}


def _run(subject: Subject, model: OCRModel, images: Any, widths: Any) -> Tensor:
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).to(subject.device)
    return logits_of(model(tensor, widths=torch.from_numpy(widths).to(subject.device)))


def _causality(subject: Subject, model: OCRModel) -> Check:
    if not subject.autoregressive:
        return skipped("causality", "the model does not generate character by character")
    found = _targets(subject, model, padding=False)
    if found <= GAP:
        return ok("causality", f"later characters change no step before them (at most {found:.1e} of the largest)")
    return fail(
        "causality",
        f"the last character of a label changes the steps before it by {found:.2g} of the largest output",
        "give the decoder's self-attention a causal boolean mask",
        "in training the decoder copies the answer; when it generates there is none to copy, and the text is nonsense",
    )


def _targets(subject: Subject, model: OCRModel, *, padding: bool) -> float:
    """How the logits of a label depend on what follows it in a batch (`padding`), or on its last character."""
    card = subject.card
    classes = len(card.charset) + 1
    tokens, images = subject.made_up()
    short, long = (int((row < classes).sum()) - 1 for row in tokens)
    changed = tokens.clone()
    if padding:
        row, steps = 0, short + 1
        changed[0, short + 2 :] = 1
    else:
        row, steps = 1, long
        changed[1, long] = tokens[1, long] % (classes - 1) + 1
    named = {} if card.kept is None else {"widths": torch.full((2,), card.example_width, device=subject.device)}
    outputs = [logits_of(model(images, labels, **named))[row, :steps] for labels in (tokens, changed)]
    return gap(outputs[1], outputs[0])


def _batch(subject: Subject, model: OCRModel) -> Check:
    batch = subject.batch
    labels = batch["labels"] if subject.autoregressive else None

    def run(rows: slice) -> dict[str, Tensor]:
        named = {name: value[rows] for name, value in subject.widths(batch).items()}
        outputs: dict[str, Tensor] = model(batch["images"][rows], None if labels is None else labels[rows], **named)
        return outputs

    together, alone = run(slice(None)), run(slice(0, 1))
    worst = max(gap(alone[name][0].float(), together[name][0].float()) for name in alone)
    count = len(batch["images"])
    if worst <= GAP:
        return ok(
            "batch", f"alone and in a batch of {count} an image gives the same (within {worst:.1e} of the largest)"
        )
    return fail(
        "batch",
        f"an image gives outputs that differ by {worst:.2g} of the largest alone and in a batch of {count}",
        "check the order of dimensions (batch_first) of attention and recurrent layers, and reductions over images",
        "images are mixed with each other: results depend on the batch size",
    )


def gap(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest expected value and at least to 1; infinite for unlike
    shapes."""
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))
