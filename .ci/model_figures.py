"""Write the figures that `ocrctl model list` shows: parameters, FLOPs, grid and output steps of each architecture.

    python .ci/model_figures.py

Needed after a change of an architecture, of a default or of the list of architectures.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ocrctl.core.model.figures import FILE
from ocrctl.core.model.measure import default_card, model_figures
from ocrctl.models.registry import specs


def main() -> None:
    """Count, and write the file of the package."""
    rows = {}
    for name, spec in specs().items():
        row = asdict(model_figures(default_card(spec)))
        rows[name] = {key: value for key, value in row.items() if key not in ("arch", "latency_ms")}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    Path(str(FILE)).write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
