"""Query driver, PyTorch and ONNX Runtime for `diagnose cuda`. Everything that touches them is here, so that
the rules in cuda.py are tested without a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ocrctl.diagnose.nvml import Card, Driver, nvml_cards, nvml_driver

if TYPE_CHECKING:
    from ocrctl.diagnose.cuda_step import StepRequest


@dataclass(frozen=True)
class Device:
    """A card as PyTorch sees it; memory in bytes."""

    index: int
    name: str
    capability: tuple[int, int]
    memory_free: int
    memory_total: int


@dataclass(frozen=True)
class OnnxRuntime:
    """The installed ONNX Runtime: package name, version, the CUDA version it was built for ("" for a CPU build)."""

    package: str
    version: str
    cuda: str
    providers: tuple[str, ...]


class Probe(Protocol):
    """What cuda.py needs to know. A method that fails raises; the text of the exception becomes the row's detail."""

    def driver(self) -> Driver | None: ...
    def torch_version(self) -> str: ...
    def torch_cuda(self) -> str | None: ...
    def cudnn(self) -> int | None: ...
    def arch_list(self) -> list[str]: ...
    def devices(self) -> list[Device]: ...
    def cards(self) -> list[Card]: ...
    def errors(self, index: int, operation: str) -> dict[str, float]: ...
    def copy_rates(self, index: int) -> tuple[float, float]: ...
    def launch_latency(self, index: int) -> float: ...
    def host_waits(self, index: int | None) -> list[str]: ...
    def largest_batch(self, index: int) -> tuple[int, str]: ...
    def round_trip(self, backend: str, world: int) -> float: ...
    def provider_problem(self, provider: str) -> str: ...
    def onnxruntime(self) -> OnnxRuntime | None: ...
    def onnx_session_provider(self, index: int) -> str: ...


class SystemProbe:
    """Probe of this system; torch and onnxruntime are imported by the first method that needs them."""

    def __init__(self, step: Callable[[], StepRequest] | None = None) -> None:
        """`step`: returns the model and the settings of the training step that is measured."""
        self.step = step

    def driver(self) -> Driver | None:
        """Return the NVIDIA driver, or None when there is none."""
        return nvml_driver()

    def torch_version(self) -> str:
        """Return the version of PyTorch, such as "2.13.0+cpu"."""
        import torch

        return str(torch.__version__)

    def torch_cuda(self) -> str | None:
        """Return the CUDA runtime this torch was built with ("13.0"), None for a CPU build."""
        import torch

        return torch.version.cuda

    def cudnn(self) -> int | None:
        """Return the version of cuDNN as one number (91002 is 9.10.2), None when it cannot be loaded."""
        import torch

        version: int | None = torch.backends.cudnn.version()
        return version

    def arch_list(self) -> list[str]:
        """Return the architectures that this torch is compiled for: "sm_90" is machine code, "compute_90" is PTX that
        the driver compiles."""
        import torch

        return list(torch.cuda.get_arch_list())

    def devices(self) -> list[Device]:
        """Return the GPUs that this torch can open."""
        import torch

        found = []
        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            free, total = torch.cuda.mem_get_info(index)
            major_minor = torch.cuda.get_device_capability(index)
            found.append(Device(index, torch.cuda.get_device_name(index), major_minor, free, total))
        return found

    def cards(self) -> list[Card]:
        """Return what the driver tells about each card."""
        return nvml_cards()

    def errors(self, index: int, operation: str) -> dict[str, float]:
        """Return the relative error of an operation of cuda_math on card `index`, by precision."""
        import torch

        from ocrctl.diagnose import cuda_math

        return cuda_math.errors(torch.device("cuda", index), operation)

    def copy_rates(self, index: int) -> tuple[float, float]:
        """Return bytes per second of copies to the card, from page-locked and from ordinary memory."""
        import torch

        from ocrctl.diagnose.cuda_math import copy_rate

        device = torch.device("cuda", index)
        return copy_rate(device, pinned=True), copy_rate(device, pinned=False)

    def launch_latency(self, index: int) -> float:
        """Return the seconds that it takes to start a kernel."""
        import torch

        from ocrctl.diagnose.cuda_math import launch_latency

        return launch_latency(torch.device("cuda", index))

    def host_waits(self, index: int | None) -> list[str]:
        """Return the operations of a training step for which the host waits, on card `index` or the CPU."""
        import torch

        from ocrctl.diagnose.cuda_step import host_waits

        return host_waits(self._request(), torch.device("cpu") if index is None else torch.device("cuda", index))

    def largest_batch(self, index: int) -> tuple[int, str]:
        """Return the largest batch that fits on card `index`, and the error of a larger one."""
        import torch

        from ocrctl.diagnose.cuda_step import largest_batch

        return largest_batch(self._request(), torch.device("cuda", index))

    def round_trip(self, backend: str, world: int) -> float:
        """Return the seconds of one sum of 1 MiB over `world` processes."""
        from ocrctl.diagnose.cuda_group import round_trip

        return round_trip(backend, world)

    def _request(self) -> StepRequest:
        if self.step is None:
            raise ValueError("no model was given for the training step")
        return self.step()

    def onnxruntime(self) -> OnnxRuntime | None:
        """Return the installed ONNX Runtime, or None."""
        try:
            import onnxruntime
        except ImportError:
            return None
        from onnxruntime.capi import build_and_package_info as build

        cuda = str(getattr(build, "cuda_version", "") or "")
        package = str(getattr(build, "package_name", "onnxruntime"))
        return OnnxRuntime(package, onnxruntime.__version__, cuda, tuple(onnxruntime.get_available_providers()))

    def provider_problem(self, provider: str) -> str:
        """Return why the library of a provider of ONNX Runtime does not load, "" if it does or is built in."""
        import onnxruntime

        names = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "tensorrt"}
        folder = Path(onnxruntime.__file__).parent / "capi"
        if provider not in names:
            return ""
        library = folder / f"libonnxruntime_providers_{names[provider]}.so"
        if not library.exists():
            return "" if sys.platform == "win32" else f"{library.name} is not installed"
        if provider == "CUDAExecutionProvider" and hasattr(onnxruntime, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what is missing, and so does the row
                onnxruntime.preload_dlls()
        try:
            ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
            ctypes.CDLL(str(library))
        except OSError as error:
            return str(error)
        return ""

    def onnx_session_provider(self, index: int) -> str:
        """Return the provider of a session that requests CUDA: ONNX Runtime falls back to the CPU silently."""
        import numpy as np
        import onnxruntime

        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # the row says it; ONNX Runtime would write a page to stderr
        session = onnxruntime.InferenceSession(
            _tiny_model(), options, providers=[("CUDAExecutionProvider", {"device_id": index}), "CPUExecutionProvider"]
        )
        session.run(None, {"x": np.ones((1, 4), np.float32)})
        return str(session.get_providers()[0])


def _tiny_model() -> bytes:
    """y = x @ ones(4, 4), as ONNX."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "tiny", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10  # ONNX Runtime reads older versions, not newer ones
    return bytes(model.SerializeToString())
