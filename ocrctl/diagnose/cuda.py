"""Check whether PyTorch and ONNX Runtime can use CUDA, by computing with it instead of comparing versions."""

from __future__ import annotations

from collections.abc import Callable

from ocrctl.diagnose.checks import Check, Diagnosis, count, fail, ok, skipped, warn
from ocrctl.diagnose.cuda_probe import Device, Probe

# float32 against float64, with TF32's 10-bit mantissa allowed for: right answers stay below 1e-3, wrong ones do not.
TOLERANCE = 5e-3
LOW_MEMORY = 2 * 1024**3  # bytes free below which even the tiny recogniser's recommended batch does not fit
# Every PyTorch wheel of CUDA 13 carries cuDNN 9; older ones lack the engines current convolutions choose.
MINIMUM_CUDNN = 90000


def diagnose_cuda(probe: Probe) -> Diagnosis:
    """Check driver, PyTorch and ONNX Runtime. `device`: a GPU is present; `usable`: PyTorch computes correctly on
    one."""
    checks: list[Check] = []
    driver = probe.driver()
    if driver is None:
        checks.append(skipped("driver", "no NVIDIA driver on this machine"))
    else:
        detail = f"{driver.version}, serves CUDA up to {driver.cuda[0]}.{driver.cuda[1]}, {driver.devices} device(s)"
        checks.append(ok("driver", detail))
    try:
        probe.torch_version()
    except Exception as error:
        checks.append(
            fail("runtime", f"torch cannot be imported: {_line(error)}", "pip install --force-reinstall torch")
        )
        present = driver is not None and driver.devices > 0
        return Diagnosis("cuda", tuple(checks), _summary(present, False, checks), usable=False, device=present)
    checks.append(_guard("runtime", lambda: _runtime(probe)))
    try:
        devices = probe.devices()
    except Exception as error:
        devices = []
        checks.append(fail("devices", _line(error), "restart the machine or reinstall the driver"))
    present = bool(devices) or (driver is not None and driver.devices > 0)
    if present and not devices and not any(check.name == "devices" for check in checks):
        checks.append(_hidden(probe))
    usable = False
    for device in devices:
        rows = _device_rows(probe, device)
        checks += rows
        usable = usable or all(row.status != "fail" for row in rows)
    if not devices:
        why = "PyTorch sees no CUDA device"
        checks += [skipped(name, why) for name in ("cuDNN", "capability", "memory", "matmul", "convolution")]
    checks += _onnxruntime_rows(probe, devices)
    return Diagnosis("cuda", tuple(checks), _summary(present, usable, checks), usable=usable, device=present)


def _summary(present: bool, usable: bool, checks: list[Check]) -> str:
    if not present:
        return f"No GPU here: everything runs on the CPU ({count(checks)})."
    return f"CUDA is {'usable' if usable else 'NOT usable'} ({count(checks)})."


def _runtime(probe: Probe) -> Check:
    version, cuda, driver = probe.torch_version(), probe.torch_cuda(), probe.driver()
    if cuda is None:
        seen = f"torch {version} is a CPU build"
        if driver is None or not driver.devices:
            return skipped("runtime", seen)
        return fail("runtime", seen, "pip install --force-reinstall torch, from an index that carries CUDA builds")
    seen = f"torch {version}, CUDA {cuda}"
    if driver is not None and driver.cuda[0] < int(cuda.split(".")[0]):
        fix = f"update the NVIDIA driver to one that serves CUDA {cuda}, or install a torch for CUDA {driver.cuda[0]}"
        return fail("runtime", f"{seen}; the driver serves only CUDA {driver.cuda[0]}.{driver.cuda[1]}", fix)
    return ok("runtime", seen)


def _hidden(probe: Probe) -> Check:
    if probe.torch_cuda() is None:
        return skipped("devices", "a CPU build of torch opens none")
    return fail(
        "devices",
        "the driver sees a GPU, torch opens none",
        "unset CUDA_VISIBLE_DEVICES, or start the container with --gpus all",
    )


def _device_rows(probe: Probe, device: Device) -> list[Check]:
    at = f" cuda:{device.index}"
    return [
        _guard("cuDNN", lambda: _cudnn(probe)),
        _guard("capability" + at, lambda: capability_check("capability" + at, device, probe.arch_list())),
        _memory("memory" + at, device),
        _guard("matmul" + at, lambda: _accuracy("matmul" + at, probe.matmul_error(device.index))),
        _guard("convolution" + at, lambda: _accuracy("convolution" + at, probe.convolution_error(device.index))),
    ]


def _cudnn(probe: Probe) -> Check:
    version = probe.cudnn()
    if version is None:
        return fail(
            "cuDNN", "not loaded", "pip install --force-reinstall torch; unset LD_LIBRARY_PATH if it names another"
        )
    shown = f"{version // 10000}.{version % 10000 // 100}.{version % 100}"
    if version < MINIMUM_CUDNN:
        return warn("cuDNN", shown, "another cuDNN shadows the one in the torch wheel: check LD_LIBRARY_PATH")
    return ok("cuDNN", shown)


def capability_check(name: str, device: Device, arch_list: list[str]) -> Check:
    """Check that torch has code for the GPU: machine code runs on later minor versions, PTX on any later version."""
    major, minor = device.capability
    seen = f"{device.name}: {major}.{minor}"
    code = [arch for entry in arch_list if entry.startswith("sm_") and (arch := _arch(entry))]
    ptx = [arch for entry in arch_list if entry.startswith("compute_") and (arch := _arch(entry))]
    if (major, minor) in code:
        return ok(name, f"{seen}, compiled into this torch")
    if any(arch_major == major and arch_minor <= minor for arch_major, arch_minor in code):
        return ok(name, f"{seen}, served by code for the same major version")
    if any(arch <= (major, minor) for arch in ptx):
        fix = "the first start of each kernel is slow; a torch built for this card would start at once"
        return warn(name, f"{seen}, compiled from PTX by the driver", fix)
    fix = "install a torch build for this card (a newer one for a new card, an older one for an old card)"
    return fail(name, f"{seen}, but this torch carries only {', '.join(arch_list) or 'nothing'}", fix)


def _arch(entry: str) -> tuple[int, int] | None:
    digits = "".join(letter for letter in entry.partition("_")[2] if letter.isdigit())  # sm_90a, sm_120f
    return (int(digits[:-1]), int(digits[-1])) if len(digits) >= 2 else None


def _memory(name: str, device: Device) -> Check:
    seen = f"{device.memory_free / 1024**3:.1f} of {device.memory_total / 1024**3:.1f} GiB free"
    if device.memory_free < LOW_MEMORY:
        return warn(name, seen, "another program holds it: nvidia-smi lists them")
    return ok(name, seen)


def _accuracy(name: str, error: float) -> Check:
    seen = f"relative error {error:.1e} against the CPU"
    if error <= TOLERANCE:  # NaN fails this
        return ok(name, seen)
    return fail(name, seen, "the card computes wrongly: update the driver, undo overclocking, test the card's memory")


def _onnxruntime_rows(probe: Probe, devices: list[Device]) -> list[Check]:
    runtime = probe.onnxruntime()
    if runtime is None:
        return [fail("onnxruntime", "not installed", "pip install onnxruntime-gpu")]
    seen = f"{runtime.package} {runtime.version}" + (f" for CUDA {runtime.cuda}" if runtime.cuda else "")
    rows = [ok("onnxruntime", f"{seen}: {', '.join(runtime.providers)}")]
    cuda = probe.torch_cuda()
    if cuda is not None and runtime.cuda and cuda.split(".")[0] != runtime.cuda.split(".")[0]:
        fix = "install the onnxruntime-gpu built for torch's CUDA major: one process cannot load both"
        level = fail if devices else warn  # harmless without a GPU
        rows.append(level("onnxruntime CUDA", f"built for CUDA {runtime.cuda}, torch for {cuda}", fix))
    if not devices:
        return [*rows, skipped("onnxruntime session", "PyTorch sees no CUDA device")]
    if "CUDAExecutionProvider" not in runtime.providers:
        fix = "pip uninstall onnxruntime; pip install --force-reinstall onnxruntime-gpu"
        return [*rows, fail("onnxruntime session", "this build has no CUDAExecutionProvider", fix)]
    return [*rows, _guard("onnxruntime session", lambda: _session(probe.onnx_session_provider(devices[0].index)))]


def _session(provider: str) -> Check:
    if provider == "CUDAExecutionProvider":
        return ok("onnxruntime session", f"runs on {provider}")
    fix = "its CUDA and cuDNN libraries did not load: install torch and onnxruntime-gpu for the same CUDA major"
    return fail("onnxruntime session", f"asked for CUDA, got {provider}", fix)


def _guard(name: str, question: Callable[[], Check]) -> Check:
    try:
        return question()
    except Exception as error:  # whatever a broken driver raises is the finding itself
        return fail(name, _line(error), "update the driver; reinstall torch and onnxruntime-gpu for its CUDA major")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
