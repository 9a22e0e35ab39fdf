from __future__ import annotations

from pathlib import Path

import numpy as np

from ocrctl.data.polygons.codes import BY_NAME, CODES
from ocrctl.data.polygons.findings import Findings, fails

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "codes.md"


def test_the_page_of_codes_tells_what_the_table_holds() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    listed = {row[0][2:]: (row[1].strip("`"), row[2], row[3].strip("`- ").removesuffix("-bad")) for row in rows}
    assert listed == {code.code: (code.name, code.severity, code.fix) for code in CODES.values()}
    assert len(BY_NAME) == len(CODES)


def test_findings_add_up_and_sort() -> None:
    findings = Findings()
    findings.add("tiny", [3], [1.5])
    findings.add("tiny", np.array([5, 7]), [2.0, 2.5])
    findings.add("no-area", [3, 1], [0, 0])
    findings.add("outside", [])
    assert [hits.code.code for hits in findings.sorted()] == ["P003", "P004"]
    assert findings.hits["P004"].message(2) == "the polygon is 2.5 pixels high, too small to read"
    assert findings.of("tiny", "no-area").tolist() == [1, 3, 5, 7] and findings.errors("instance").tolist() == [1, 3]
    assert (findings.count("error"), findings.count("warning"), findings.count("info")) == (2, 3, 0)
    assert (
        fails(BY_NAME["tiny"], ["info"]) and fails(BY_NAME["tiny"], ["P004"]) and not fails(BY_NAME["tiny"], ["error"])
    )
