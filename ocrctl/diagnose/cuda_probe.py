"""Query driver, PyTorch and ONNX Runtime for `diagnose cuda`. Everything that touches them is here, so that
the rules in cuda.py are tested without a GPU."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver as NVML reports it: version ("580.65.06"), highest CUDA it serves ((13, 0)), cards seen."""

    version: str
    cuda: tuple[int, int]
    devices: int


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
    def matmul_error(self, index: int) -> float: ...
    def convolution_error(self, index: int) -> float: ...
    def onnxruntime(self) -> OnnxRuntime | None: ...
    def onnx_session_provider(self, index: int) -> str: ...


def nvml_driver() -> Driver | None:
    """Query NVML, which every driver installs and which needs neither torch nor nvidia-smi on PATH."""
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        version = ctypes.create_string_buffer(96)
        nvml.nvmlSystemGetDriverVersion(version, ctypes.c_uint(len(version)))
        cuda, devices = ctypes.c_int(0), ctypes.c_uint(0)
        nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda))
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(devices))
        # The driver writes CUDA 13.1 as 13010.
        return Driver(version.value.decode(), (cuda.value // 1000, cuda.value % 1000 // 10), devices.value)
    finally:
        nvml.nvmlShutdown()


class SystemProbe:
    """Probe of this system; torch and onnxruntime are imported by the first method that needs them."""

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

    def matmul_error(self, index: int) -> float:
        """Measure the largest difference of a 256x256 float32 product from float64 on the CPU, relative to its largest
        value."""
        import torch

        generator = torch.Generator().manual_seed(0)
        left, right = torch.randn(2, 256, 256, generator=generator).unbind()
        device = torch.device("cuda", index)
        return _relative_error(left.to(device) @ right.to(device), left.double() @ right.double())

    def convolution_error(self, index: int) -> float:
        """Measure the same for the first convolution of a recogniser: 3x3, 64 channels, four 32x128 images, through
        cuDNN."""
        import torch
        from torch.nn.functional import conv2d

        generator = torch.Generator().manual_seed(0)
        images = torch.randn(4, 3, 32, 128, generator=generator)
        kernel = torch.randn(64, 3, 3, 3, generator=generator)
        device = torch.device("cuda", index)
        return _relative_error(
            conv2d(images.to(device), kernel.to(device), padding=1), conv2d(images.double(), kernel.double(), padding=1)
        )

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


def _relative_error(on_device: object, expected: object) -> float:
    import torch

    assert isinstance(on_device, torch.Tensor) and isinstance(expected, torch.Tensor)
    difference = (on_device.cpu().double() - expected).abs().max() / expected.abs().max()
    return float(difference)


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
