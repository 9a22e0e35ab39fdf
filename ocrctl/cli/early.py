"""Refuse misspelt models and missing data at once, before the libraries that read them are imported.

`locate` and `parse_spec` raise the same errors later; importing torch, OpenCV or onnxruntime first takes seconds.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence

from ocrctl.cli import console
from ocrctl.errors import InputError


def check_models(models: Iterable[str]) -> None:
    """Raise as `inference.locate.locate` does for each MODEL that is no existing path; files are not opened."""
    for model in models:
        if not os.path.exists(os.path.expanduser(model)):
            _locate(model)


def _locate(model: str) -> None:
    from ocrctl.inference.default_models import SCHEME, default_model

    scheme, colon, name = model.partition(":")
    if colon and scheme == SCHEME:
        default_model(name)
    else:
        from ocrctl.inference.locate import locate

        locate(model)


def check_architecture_or_model(subject: str) -> None:
    """Raise as `diagnose model` does for an ARCH|MODEL that is neither an architecture nor an existing path."""
    from ocrctl.models.registry import specs

    if subject not in specs() and not os.path.exists(os.path.expanduser(subject)):
        from ocrctl.inference.locate import refuse_misspelt_architecture

        refuse_misspelt_architecture(subject)
        _locate(subject)


def check_specs(specs: Iterable[str]) -> None:
    """Raise as `data.formats.spec.parse_spec` does for each SPEC that is no existing path."""
    for spec in specs:
        if not os.path.exists(spec):
            from ocrctl.data.formats.spec import parse_spec

            parse_spec(spec)


def check_texts(lexicon: str | os.PathLike[str] | None, ngram: Sequence[str] | None) -> None:
    """Raise InputError for a --lexicon that does not exist, UsageError or InputError for an --ngram that is neither
    `english`, a file nor a SPEC, before a model is loaded for it."""
    if lexicon is not None and not os.path.exists(lexicon):
        raise InputError(
            f"{lexicon}: there is no such file for --lexicon.", hint="--lexicon FILE: one word a line, in UTF-8"
        )
    if not ngram:
        return
    from ocrctl.config.card_ngram import BUILT_IN

    for source in ngram:
        if source in (*BUILT_IN, "none") or os.path.exists(source):
            continue
        if ":" not in source:
            raise InputError(
                f"{source}: there is no such file for --ngram.",
                hint="--ngram english, a file of texts, one a line, in UTF-8, or a SPEC of labelled words",
            )
        check_specs([source])


def refuse_missing_inputs(inputs: Sequence[str]) -> None:
    """Print every INPUT of `predict` and raise InputError when none of them exists: no model needs to be loaded."""
    if any(text == "-" or os.path.exists(text) or glob.has_magic(text) for text in inputs):
        return
    from ocrctl.config.suggest import near_path

    for text in inputs:
        console.warn(f"unreadable: {text}: cannot be read (No such file or directory).{near_path(text)}")
    raise InputError(none_read(len(inputs)))


def none_read(inputs: int) -> str:
    """Return the sentence of a `predict` that could read none of its inputs."""
    return "the input could not be read." if inputs == 1 else f"none of the {inputs} inputs could be read."
