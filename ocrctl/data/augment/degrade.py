"""Degrade a word crop: light, blur, resolution, noise and JPEG, within limits that keep the text legible."""

from __future__ import annotations

from ocrctl.data.augment.effects import add_noise, blur, defocus, illuminate, jpeg, motion_blur, rescale
from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.images import Image


def degrade(image: Image, sampler: EffectSampler, contrast: float, text_height: float) -> Image:
    """Apply uneven light, one kind of blur, low resolution, noise and JPEG compression.

    `contrast`: grey levels between text and background; noise and compression stay below it. `text_height`: pixels;
    blur and resolution are relative to it, because a stroke is about a ninth of it.
    """
    if sampler.on("illumination", 0.3):
        image = illuminate(image, sampler.r, sampler.between(0.25, 1.0) * min(1.0, 0.2 + contrast / 125))
    softness = 0.0
    kind = sampler.random()
    if kind < 0.45:
        if sampler.on("blur", 0.75):
            softness = sampler.between(0.01, 0.075)
            image = blur(image, softness * text_height)
    elif kind < 0.6:
        if sampler.on("motion", 0.75):
            softness = sampler.between(0.08, 0.26)
            image = motion_blur(image, max(3, round(softness * text_height)), sampler.random())
            softness *= 0.3
    elif kind < 0.7 and sampler.on("defocus", 0.75):
        softness = sampler.between(0.03, 0.1)
        image = defocus(image, softness * text_height)
        softness *= 0.7
    if sampler.on("rescale", 0.35):
        # 9 pixels is the minimum legible letter height; blurred text is reduced less
        goal = sampler.between(9.0 + 90.0 * softness, 20.0)
        image = rescale(image, round(image.shape[0] * goal / max(text_height, goal)), sampler.random() < 0.7)
    room = min(1.0, contrast / 100) * (1.0 - 6 * softness)
    if sampler.on("noise", 0.45):
        image = add_noise(image, sampler.r, 1.5 + 17 * sampler.random() ** 1.5 * room, sampler.random() < 0.5)
    if sampler.on("jpeg", 0.4):
        image = jpeg(image, round(85 - 60 * sampler.random() * room))
    return image
