"""MMOCR 1.x recognition, `textrecog_train.json`: one JSON object; UTF-8. `img_path` is relative to the file's folder.

{"metainfo": {"dataset_type": "TextRecogDataset", "task_name": "textrecog"},
 "data_list": [{"img_path": "train/word_1.png", "instances": [{"text": "JOINT"}]}]}

Each entry holds exactly one instance. https://mmocr.readthedocs.io/en/latest/user_guides/dataset_prepare.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.data.formats._json import MALFORMED, dump_edited, read_json, read_object, write_json
from ocrctl.data.formats._text import NO_SAMPLE, WordKeeps, head_text, nfc_labels, write_images
from ocrctl.data.lmdb.word_source import FolderWords, image_path
from ocrctl.data.polygons.malformed import ENTRY, TEXT, Malformed

NAME = "mmocr-json"
LABEL_FILES = ("textrecog_train.json", "textrecog*.json")
KEEPS = WordKeeps(names=True)

_EXPECTED = '{"img_path": IMAGE, "instances": [{"text": TEXT}]}'


def sniff(path: Path) -> bool:
    head = head_text(path)
    return head.startswith("{") and '"data_list"' in head and '"polygon"' not in head and '"img_path"' in head


def read(path: Path) -> FolderWords:
    _, entries = read_object(path, "data_list", list)
    files, texts = [], []
    bad: dict[int, Malformed] = {}
    for index, entry in enumerate(entries):
        try:
            name, (instance,) = entry["img_path"], entry["instances"]
            text = instance["text"]
        except MALFORMED:
            name = text = None
        if not isinstance(name, str) or not isinstance(text, str):
            note = f"data_list[{index}]: expected {_EXPECTED}, found {str(entry)[:60]}"
            bad[index] = Malformed(TEXT if isinstance(name, str) else ENTRY, note)
            name, text = NO_SAMPLE
        files.append(image_path(name))
        texts.append(text)
    return FolderWords(str(path), str(path.parent), files, *nfc_labels(texts, None), malformed=bad or None)


def write(samples: Iterable[tuple[bytes, str]], out: Path, names: Sequence[str] | None = None) -> Path:
    pairs = write_images(samples, out, "images", names)
    entries = [{"img_path": name, "instances": [{"text": label}]} for name, label in pairs]
    metainfo = {"dataset_type": "TextRecogDataset", "task_name": "textrecog"}
    return write_json(out / LABEL_FILES[0], {"metainfo": metainfo, "data_list": entries})


def edit(words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    document = read_json(Path(words.label_file))
    entries = list(document["data_list"])
    for index, text in changes.items():
        if text is not None:
            entries[index]["instances"][0]["text"] = text
    document["data_list"] = [entry for index, entry in enumerate(entries) if changes.get(index, "") is not None]
    return dump_edited(document)
