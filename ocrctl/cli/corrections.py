"""Correct a command line with option names of other tools, for the hint of a usage error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ocrctl.cli.command_line import quoted, typed_words

if TYPE_CHECKING:
    from typer._click import Command

# Names of other tools for options of ocrctl; used for commands that have the option.
_OPTIONS = {
    "-o": "output output_dir out_dir save_dir work_dir run_dir logdir log_dir save_folder",
    "-p": "config cfg conf",
    "-d": "train_data dataset data_dir train_dir train_path trainroot",
    "--val": "val_data valid_data val_dir validation_data eval_data val_path",
    "--from": "weights checkpoint ckpt pretrained_model finetune model_path init_checkpoint",
    "-m": "weights checkpoint ckpt model_path",
    "--jobs": "workers num_workers n_workers j",
    "--device": "gpu cuda dev",
    "--batch-size": "batch bs batchsize",
}
# Options of other tools that are arguments in ocrctl, by the argument's metavar.
_ARGUMENTS = {
    "ARCH": "arch architecture model model_name net network",
    "MODEL": "m model weights checkpoint ckpt model_path",
    "INPUT": "i input image images source image_dir img_path",
    "SPEC": "d data dataset data_dir input",
}


class Correction(NamedTuple):
    """A corrected command line, and the name of its first wrong word in ocrctl."""

    line: str
    meaning: str


class _Shape(NamedTuple):
    """Parameters of a command: options with a value, all options, and the metavars of its arguments. A command with
    ARCH has all settings, others those of the synthetic streams."""

    valued: frozenset[str]
    options: frozenset[str]
    arguments: tuple[str, ...]

    def takes(self, setting: str) -> bool:
        """Return whether `--set` of the command takes `setting`."""
        return "--set" in self.options and (
            "ARCH" in self.arguments or setting == "seed" or setting.startswith("synth.")
        )


def corrected(command: Command | None) -> Correction | None:
    """Return the command line with every unknown option, bare `name=value` and misnamed `--set` replaced by the option
    or setting that is meant; None without a change, or if a word stays unknown. `command` None: only `--set`."""
    words = typed_words()
    shape = _shape(command)
    done: list[str] = []
    arguments: list[int] = []  # indices in `done`
    model_given = False  # as an option
    meaning = ""
    rest = iter(range(len(words)))
    for index in rest:
        word, following = words[index], words[index + 1 : index + 2]
        name, equals, value = word.partition("=")
        if name == "--set" and (equals or following):
            if not equals:
                next(rest, None)
            given = value if equals else following[0]
            named = _setting(given)
            done += ["--set", named or given]
            meaning = meaning or (f"the setting {named.partition('=')[0]}" if named and named != given else "")
        elif command is None or not _is_option(word) or name in shape.options:
            bare = command is not None and equals and not _is_option(word) and "--set" in shape.options
            named = _setting(word) if bare else None
            if index and not named and not _is_option(word):
                arguments.append(len(done))
            done += ["--set", named] if named else [word]
            meaning = meaning or (f"the setting {named.partition('=')[0]}" if named else "")
            if name in shape.valued and not equals and following:
                done.append(following[0])
                next(rest, None)
        else:
            takes = following[0] if not equals and following and not _is_option(following[0]) else None
            found = _option(name, value if equals else takes, shape)
            if found is None:
                return None
            if found.consumed and takes is not None:
                next(rest, None)
            model_given = model_given or found.meaning == "the argument MODEL"
            done += found.words
            meaning = meaning or found.meaning
    if model_given and "-d" in shape.options:  # then the arguments are its data
        for index in reversed(arguments):
            done[index : index + 1] = ["-d", done[index]]
    return Correction(f"ocrctl {quoted(done)}", meaning) if meaning else None


def _shape(command: Command | None) -> _Shape:
    if command is None:
        return _Shape(frozenset(), frozenset(), ())
    options = {opt for one in command.params for opt in one.opts if opt.startswith("-")} | {"-h", "--help"}
    valued = {opt for one in command.params if not getattr(one, "is_flag", False) for opt in one.opts}
    arguments = [one for one in command.params if not any(opt.startswith("-") for opt in one.opts)]
    metavars = [str(getattr(one, "metavar", "") or "").removesuffix("...").strip("[]") for one in arguments]
    return _Shape(frozenset(valued & options), frozenset(options), tuple(metavars))


def _is_option(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not word[1:].replace(".", "", 1).isdigit()


class _Found(NamedTuple):
    words: list[str]
    meaning: str
    consumed: bool  # the word that follows was its value


def _option(name: str, value: str | None, shape: _Shape) -> _Found | None:
    """Return the words of ocrctl for an option of another tool."""
    plain = name.lstrip("-").lower().replace("-", "_")
    for metavar in shape.arguments:
        if plain in _ARGUMENTS.get(metavar, "").split() and value is not None:
            return _Found([value], f"the argument {metavar}", True)
    for option, others in _OPTIONS.items():
        if option in shape.options and plain in others.split():
            if plain == "cuda" or (plain == "gpu" and value is None):
                return _Found([option, "cuda"], option, False)
            return None if value is None else _Found([option, value], option, True)
    from ocrctl.config.aliases import setting_of_alias
    from ocrctl.config.catalogue import settings_catalogue

    every = {one.name: one for one in settings_catalogue()}
    meant = setting_of_alias(name, [setting for setting in every if shape.takes(setting)])
    if meant is None or (value is None and not meant.value and every[meant.setting].choices != ("true", "false")):
        return None
    given = meant.value or ("true" if value is None else value)
    if meant.setting == "train.device" and (given.isdigit() or given.startswith("cuda:")):
        given = "cuda"
    if every[meant.setting].choices and given not in every[meant.setting].choices:
        return None
    return _Found(["--set", f"{meant.setting}={given}"], f"the setting {meant.setting}", not meant.value)


def _setting(pair: str) -> str | None:
    """Return `name=value` with the name of the setting that is meant; None if there is none."""
    from ocrctl.config.aliases import setting_of_alias
    from ocrctl.config.catalogue import settings_catalogue

    name, equals, value = pair.partition("=")
    meant = setting_of_alias(name, [one.name for one in settings_catalogue()]) if equals else None
    return None if meant is None else f"{meant.setting}={value}"


def named(command: Command, option: str) -> str | None:
    """Return the name in ocrctl of an unknown option without a value; None if there is none."""
    from ocrctl.config.aliases import setting_of_alias
    from ocrctl.config.catalogue import settings_catalogue

    shape = _shape(command)
    every = {one.name: one for one in settings_catalogue() if shape.takes(one.name)}
    meant = setting_of_alias(option, list(every))
    if meant is None:
        return None
    choices = "|".join(every[meant.setting].choices) or "VALUE"
    return f"--set {meant.setting}={meant.value or choices}"


def misspelt(command: Command, option: str) -> Correction | None:
    """Return the command line with the nearest option of `command` instead of the unknown `option`; None when there is
    none near."""
    from difflib import get_close_matches

    known = sorted(name[2:] for name in _shape(command).options if name.startswith("--"))
    near = get_close_matches(option[2:], known, n=1, cutoff=0.65) if option.startswith("--") else []
    if not near:
        return None
    meant = f"--{near[0]}"
    words = [meant + word[len(option) :] if word.partition("=")[0] == option else word for word in typed_words()]
    return Correction(f"ocrctl {quoted(words)}", meant)


def explained(message: str, meaning: str) -> str:
    """Return the sentence of a usage error, followed by the name in ocrctl."""
    return f"{message.rstrip('.')}. In ocrctl it is {meaning}."
