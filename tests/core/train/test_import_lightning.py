"""Training does not load matplotlib, and leaves nothing changed behind."""

import subprocess
import sys

CODE = """
import sys
from ocrctl.core.train.fit import import_lightning
from lightning_utilities.core import imports
before = imports.RequirementCache
import_lightning()
import ocrctl.training.runner
print("matplotlib" in sys.modules, imports.RequirementCache is before, bool(before("torch")))
"""


def test_matplotlib_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    loaded, restored, torch_found = done.stdout.split()
    assert (loaded, restored, torch_found) == ("False", "True", "True")
