"""Check whether PyTorch and ONNX Runtime can use CUDA, by computing with it instead of comparing versions."""

from __future__ import annotations

from collections.abc import Callable

from ocrctl.diagnose.checks import Check, Diagnosis, count, fail, first_line, ok, skipped, warn, with_examined
from ocrctl.diagnose.cuda_probe import Device, Probe
from ocrctl.diagnose.nvml import Card

# Largest difference from float64 relative to the largest value: right answers stay well below, wrong ones do not.
TOLERANCES = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 1e-2, "bf16": 5e-2}
OPERATIONS = ("matmul", "convolution", "attention")
SLOW_COPY = 3e9  # bytes per second from page-locked memory: PCIe 3.0 x4 reaches as much
SLOW_LAUNCH = 50e-6  # seconds to start a kernel; a few microseconds are usual
SLOW_SUM = 0.5  # seconds for the sum of 1 MiB within one machine; a few milliseconds are usual
GROUP = 2  # processes of the gloo group
ON_DEVICE = ("cuDNN", "capability", "memory", *OPERATIONS, "copy", "launch", "workspace")
OF_CARD = ("persistence", "ECC", "clocks", "processes")
NO_DRIVER, NO_DEVICE = "no NVIDIA driver on this machine", "PyTorch sees no CUDA device"  # why rows are skipped
LOW_MEMORY = 2 * 1024**3  # bytes free below which even the tiny recogniser's recommended batch does not fit
# Every PyTorch wheel of CUDA 13 carries cuDNN 9; older ones lack the engines current convolutions choose.
MINIMUM_CUDNN = 90000
EXAMINED = {
    "driver": "the driver's library (NVML): version, highest supported CUDA, number of GPUs",
    "runtime": "the CUDA version that PyTorch was built for, against the driver",
    "devices": "the GPUs that PyTorch can open, against those that the driver lists",
    "cuDNN": "the version that PyTorch loads",
    "capability": "compute capability against the code that PyTorch carries",
    "memory": "free and total memory",
    "persistence": "whether the driver stays loaded without a client (NVML)",
    "ECC": "error correction of the GPU's memory, and uncorrected errors since the last boot (NVML)",
    "clocks": "the clock of the multiprocessors, and reasons that lower it (NVML)",
    "processes": "programs that hold memory of the GPU (NVML)",
    "matmul": "a 256x256 product in fp32, tf32, fp16 and bf16, against float64 on the CPU",
    "convolution": "a 3x3 convolution of four 32x128 images through cuDNN in each precision, against float64",
    "attention": "attention of 128 positions in four heads in each precision, against float64 on the CPU",
    "copy": "copies of 64 MiB from page-locked and from ordinary memory",
    "launch": "the time to start 1,000 small kernels",
    "workspace": "training steps with growing batches, until one finds no memory or no convolution engine",
    "host waits": "operations of one training step for which the host waits for the device",
    "gloo": "the sum of 1 MiB over two processes on the CPU",
    "NCCL": "the sum of 1 MiB over one process for each GPU",
    "onnxruntime providers": "the library of each provider of ONNX Runtime",
    "onnxruntime": "package, version and providers of ONNX Runtime",
    "onnxruntime CUDA": "the CUDA version of ONNX Runtime against that of PyTorch",
    "onnxruntime session": "the provider of a small session that requests CUDA",
}


def diagnose_cuda(probe: Probe) -> Diagnosis:
    """Check driver, PyTorch and ONNX Runtime. `device`: a GPU is present; `usable`: PyTorch computes correctly on
    one."""
    checks: list[Check] = [_gloo(probe)]  # first: processes are forked, which one that has initialised CUDA must not be
    driver = probe.driver()
    if driver is None:
        checks.append(skipped("driver", NO_DRIVER))
    else:
        detail = f"{driver.version}, serves CUDA up to {driver.cuda[0]}.{driver.cuda[1]}, {driver.devices} device(s)"
        checks.append(ok("driver", detail))
    try:
        probe.torch_version()
    except Exception as error:
        checks.append(
            fail(
                "runtime",
                f"torch cannot be imported: {first_line(error)}",
                "pip install --force-reinstall torch",
                "nothing can be trained, and no checkpoint can be run",
            )
        )
        present = driver is not None and driver.devices > 0
        return Diagnosis(
            "cuda", with_examined(checks, EXAMINED), _summary(present, False, checks), usable=False, device=present
        )
    checks.append(_guard("runtime", lambda: _runtime(probe)))
    cards = probe.cards()
    for card in cards:
        checks += card_checks(card)
    if not cards:
        checks += [skipped(name, NO_DRIVER) for name in OF_CARD]
    try:
        devices = probe.devices()
    except Exception as error:
        devices = []
        fix = "restart the machine or reinstall the driver"
        checks.append(fail("devices", first_line(error), fix, "PyTorch cannot open any GPU"))
    present = bool(devices) or (driver is not None and driver.devices > 0)
    if present and not devices and not any(check.name == "devices" for check in checks):
        checks.append(_hidden(probe))
    usable = False
    for device in devices:
        rows = _device_rows(probe, device)
        checks += rows
        usable = usable or all(row.status != "fail" for row in rows)
    if not devices:
        why = NO_DRIVER if driver is None else NO_DEVICE
        checks += [skipped(name, why) for name in (*ON_DEVICE, "NCCL")]
    else:
        checks.append(_guard("NCCL", lambda: _group(probe, "NCCL", len(devices))))
    checks.append(_guard("host waits", lambda: _host_waits(probe, devices)))
    checks += _onnxruntime_rows(probe, devices)
    return Diagnosis(
        "cuda", with_examined(checks, EXAMINED), _summary(present, usable, checks), usable=usable, device=present
    )


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
        fix = "pip install --force-reinstall torch, from an index that carries CUDA builds"
        return fail("runtime", seen, fix, "training and PyTorch models run on the CPU although there is a GPU")
    seen = f"torch {version}, CUDA {cuda}"
    if driver is not None and driver.cuda[0] < int(cuda.split(".")[0]):
        fix = f"update the NVIDIA driver to one that serves CUDA {cuda}, or install a torch for CUDA {driver.cuda[0]}"
        detail = f"{seen}; the driver serves only CUDA {driver.cuda[0]}.{driver.cuda[1]}"
        return fail("runtime", detail, fix, "CUDA fails to start in every process")
    return ok("runtime", seen)


def _hidden(probe: Probe) -> Check:
    if probe.torch_cuda() is None:
        return skipped("devices", "a CPU build of torch opens none")
    return fail(
        "devices",
        "the driver sees a GPU, torch opens none",
        "unset CUDA_VISIBLE_DEVICES, or start the container with --gpus all",
        "everything runs on the CPU",
    )


def _device_rows(probe: Probe, device: Device) -> list[Check]:
    at = f" cuda:{device.index}"
    return [
        _guard("cuDNN", lambda: _cudnn(probe)),
        _guard("capability" + at, lambda: capability_check("capability" + at, device, probe.arch_list())),
        _memory("memory" + at, device),
        *(_accuracy(probe, device, operation) for operation in OPERATIONS),
        _guard("copy" + at, lambda: _copy("copy" + at, *probe.copy_rates(device.index))),
        _guard("launch" + at, lambda: _launch("launch" + at, probe.launch_latency(device.index))),
        _guard("workspace" + at, lambda: _workspace("workspace" + at, *probe.largest_batch(device.index))),
    ]


def card_checks(card: Card) -> list[Check]:
    """Return the rows about what the driver tells of one card."""
    at = f" cuda:{card.index}"
    unknown = "the driver does not tell"
    rows = []
    if card.persistence is None:
        rows.append(skipped("persistence" + at, unknown))
    elif card.persistence:
        rows.append(ok("persistence" + at, "on"))
    else:
        meaning = "each process waits a second or more until the driver has loaded"
        rows.append(warn("persistence" + at, "off", "nvidia-smi -pm 1, or the service nvidia-persistenced", meaning))
    if card.errors:
        meaning = "memory of the card is damaged: results are wrong, or processes are killed"
        fix = "reset the GPU (nvidia-smi -r); if errors return, have the card replaced"
        rows.append(fail("ECC" + at, f"{card.errors:,} uncorrected errors since the last boot", fix, meaning))
    elif card.ecc is None:
        rows.append(skipped("ECC" + at, "this card has no error correction"))
    else:
        rows.append(ok("ECC" + at, f"{'on' if card.ecc else 'off'}, no uncorrected error"))
    seen = f"{card.clock} of {card.clock_limit} MHz" if card.clock and card.clock_limit else unknown
    if card.slowed:
        meaning = "the card protects itself: training is slower than it should be"
        fix = "check fans, airflow and power supply; nvidia-smi -q -d PERFORMANCE"
        rows.append(warn("clocks" + at, f"{seen}, lowered for {', '.join(card.slowed)}", fix, meaning))
    else:
        rows.append(skipped("clocks" + at, unknown) if seen == unknown else ok("clocks" + at, seen))
    held = [
        f"{name} ({pid}) {'?' if used is None else f'{used / 1024**3:.1f}'} GiB" for name, pid, used in card.processes
    ]
    rows.append(ok("processes" + at, ", ".join(held) or "none"))
    return rows


def _cudnn(probe: Probe) -> Check:
    version = probe.cudnn()
    if version is None:
        return fail(
            "cuDNN",
            "not loaded",
            "pip install --force-reinstall torch; unset LD_LIBRARY_PATH if it names another",
            "convolutions and recurrent layers fail or are slow",
        )
    shown = f"{version // 10000}.{version % 10000 // 100}.{version % 100}"
    if version < MINIMUM_CUDNN:
        return warn(
            "cuDNN",
            shown,
            "check LD_LIBRARY_PATH",
            "another cuDNN shadows the one in the torch wheel: it may lack the engine of a convolution",
        )
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
        meaning = "the first start of each kernel is slow"
        return warn(name, f"{seen}, compiled from PTX by the driver", "install a torch built for this card", meaning)
    fix = "install a torch build for this card (a newer one for a new card, an older one for an old card)"
    detail = f"{seen}, but this torch carries only {', '.join(arch_list) or 'nothing'}"
    return fail(name, detail, fix, "every kernel fails with 'no kernel image is available'")


def _arch(entry: str) -> tuple[int, int] | None:
    digits = "".join(letter for letter in entry.partition("_")[2] if letter.isdigit())  # sm_90a, sm_120f
    return (int(digits[:-1]), int(digits[-1])) if len(digits) >= 2 else None


def _memory(name: str, device: Device) -> Check:
    seen = f"{device.memory_free / 1024**3:.1f} of {device.memory_total / 1024**3:.1f} GiB free"
    if device.memory_free < LOW_MEMORY:
        return warn(name, seen, "nvidia-smi lists the programs that hold it", "small batches already run out of memory")
    return ok(name, seen)


def _accuracy(probe: Probe, device: Device, operation: str) -> Check:
    name = f"{operation} cuda:{device.index}"
    return _guard(name, lambda: accuracy_check(name, probe.errors(device.index, operation)))


def accuracy_check(name: str, errors: dict[str, float]) -> Check:
    """Check the relative errors of an operation by precision against TOLERANCES."""
    seen = ", ".join(f"{precision} {error:.1e}" for precision, error in errors.items())
    wrong = [precision for precision, error in errors.items() if not error <= TOLERANCES[precision]]  # NaN is wrong
    if not wrong:
        return ok(name, f"relative error {seen}")
    fix = "update the driver, undo overclocking, test the card's memory"
    meaning = (
        f"the card computes wrongly in {', '.join(wrong)}: losses are not finite, or models worse without a reason"
    )
    return fail(name, f"relative error {seen}", fix, meaning)


def _copy(name: str, pinned: float, pageable: float) -> Check:
    seen = f"{pinned / 1e9:.1f} GB/s page-locked, {pageable / 1e9:.1f} GB/s ordinary"
    if pinned < SLOW_COPY:
        meaning = "the card waits for its batches"
        return warn(name, seen, "check the PCIe slot and its lanes (nvidia-smi -q -d PCI), NUMA binding", meaning)
    return ok(name, seen)


def _launch(name: str, seconds: float) -> Check:
    seen = f"{seconds * 1e6:.1f} us for each kernel"
    if seconds > SLOW_LAUNCH:
        meaning = "the CPU cannot feed the card: small models train at the speed of the CPU"
        return warn(name, seen, "unset CUDA_LAUNCH_BLOCKING; free the cores; fewer data.workers", meaning)
    return ok(name, seen)


def _workspace(name: str, batch: int, problem: str) -> Check:
    seen = f"the largest batch is {batch}" + (f"; beyond it: {problem}" if problem else "")
    if not batch:
        meaning = "not one image fits into a training step"
        return fail(name, seen, "a smaller page.height and page.width, or profile rtx3060", meaning)
    return ok(name, seen)


def _gloo(probe: Probe) -> Check:
    """Check the gloo group; a torch that cannot be imported is the finding of another row."""
    try:
        probe.torch_version()
    except Exception as error:
        return skipped("gloo", f"torch cannot be imported: {first_line(error)}")
    return _guard("gloo", lambda: _group(probe, "gloo", GROUP))


def _group(probe: Probe, name: str, world: int) -> Check:
    try:
        seconds = probe.round_trip(name.lower(), world)
    except RuntimeError as error:
        fix = f"export {name.upper()}_SOCKET_IFNAME=lo; check the host name in /etc/hosts, and firewalls"
        return fail(name, first_line(error), fix, "training on more than one process does not start")
    seen = f"{seconds * 1e3:.1f} ms over {world} processes"
    if seconds > SLOW_SUM:
        return warn(name, seen, "free the cores, or check the interconnect", "gradients take longer than a step")
    return ok(name, seen)


def _host_waits(probe: Probe, devices: list[Device]) -> Check:
    waits = probe.host_waits(devices[0].index if devices else None)
    where = "" if devices else ", counted on the CPU"
    if waits:
        counted = ", ".join(f"{waits.count(name)} {name}" for name in dict.fromkeys(waits))
        fix = "no .item(), .cpu(), boolean indexing or branch on values in a model and its loss"
        return fail("host waits", f"{counted}{where}", fix, "the card idles at each of them in every step")
    return ok("host waits", f"none in a training step{where}")


def _onnxruntime_rows(probe: Probe, devices: list[Device]) -> list[Check]:
    runtime = probe.onnxruntime()
    if runtime is None:
        return [fail("onnxruntime", "not installed", "pip install onnxruntime-gpu", "exported models cannot be run")]
    seen = f"{runtime.package} {runtime.version}" + (f" for CUDA {runtime.cuda}" if runtime.cuda else "")
    rows = [ok("onnxruntime", f"{seen}: {', '.join(runtime.providers)}")]
    rows.append(_guard("onnxruntime providers", lambda: _providers(probe, runtime.providers, bool(devices))))
    cuda = probe.torch_cuda()
    if cuda is not None and runtime.cuda and cuda.split(".")[0] != runtime.cuda.split(".")[0]:
        fix = "install the onnxruntime-gpu built for torch's CUDA major: one process cannot load both"
        level = fail if devices else warn  # harmless without a GPU
        meaning = "ONNX Runtime falls back to the CPU, or loads the other CUDA and fails"
        rows.append(level("onnxruntime CUDA", f"built for CUDA {runtime.cuda}, torch for {cuda}", fix, meaning))
    if not devices:
        return [*rows, skipped("onnxruntime session", NO_DRIVER if probe.driver() is None else NO_DEVICE)]
    if "CUDAExecutionProvider" not in runtime.providers:
        fix = "pip uninstall onnxruntime; pip install --force-reinstall onnxruntime-gpu"
        meaning = "exported models run on the CPU"
        return [*rows, fail("onnxruntime session", "this build has no CUDAExecutionProvider", fix, meaning)]
    return [*rows, _guard("onnxruntime session", lambda: _session(probe.onnx_session_provider(devices[0].index)))]


def _providers(probe: Probe, providers: tuple[str, ...], present: bool) -> Check:
    """Load the library of each provider; the one of CUDA matters where there is a GPU."""
    name = "onnxruntime providers"
    problems = {one: probe.provider_problem(one) for one in providers}
    seen = ", ".join(f"{one}: {problem}" if problem else f"{one} loads" for one, problem in problems.items())
    if present and problems.get("CUDAExecutionProvider"):
        fix = "pip install onnxruntime-gpu for torch's CUDA major; the library comes with torch"
        return fail(name, seen, fix, "exported models run on the CPU")
    return ok(name, seen)


def _session(provider: str) -> Check:
    if provider == "CUDAExecutionProvider":
        return ok("onnxruntime session", f"runs on {provider}")
    fix = "install torch and onnxruntime-gpu for the same CUDA major"
    meaning = "its CUDA and cuDNN libraries did not load: exported models run on the CPU"
    return fail("onnxruntime session", f"asked for CUDA, got {provider}", fix, meaning)


def _guard(name: str, question: Callable[[], Check]) -> Check:
    try:
        return question()
    except Exception as error:  # whatever a broken driver raises is the finding itself
        fix = "update the driver; reinstall torch and onnxruntime-gpu for its CUDA major"
        return fail(name, first_line(error), fix, "what the row names cannot be used")
