"""End the process without tearing the interpreter down, which takes up to 0.2 s after the work is done.

All that the end of a Python program is for still happens: threads are waited for, exit functions run (temporary
folders, logging, worker processes), and output is flushed. Left out is only the deletion of every object and module.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def leave(stop: SystemExit) -> NoReturn:
    """End the process with the exit code of `stop`; raise it where something waits for an ordinary end."""
    code = 0 if stop.code is None else stop.code
    wait_for_threads = getattr(threading, "_shutdown", None)
    run_exit_functions = getattr(atexit, "_run_exitfuncs", None)
    if not isinstance(code, int) or wait_for_threads is None or run_exit_functions is None or _is_watched():
        raise stop
    wait_for_threads()
    run_exit_functions()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        _flush_c_streams()
    except (OSError, ValueError):  # a full disk, a closed pipe: reported by the interpreter's own end
        raise stop from None
    os._exit(code & 0xFF)


def _is_watched() -> bool:
    """Return whether a debugger, profiler or coverage tool runs the program, or `python -i` continues after it."""
    if sys.flags.interactive or sys.flags.inspect or sys.gettrace() or sys.getprofile():
        return True
    monitoring = getattr(sys, "monitoring", None)  # Python 3.12 and later
    return monitoring is not None and any(monitoring.get_tool(number) for number in range(6))


def _flush_c_streams() -> None:
    """Flush what C libraries printed. Where none was loaded through ctypes (numpy loads it), there is nothing."""
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None and os.name == "posix":
        ctypes.CDLL(None).fflush(None)
