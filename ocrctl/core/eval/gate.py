"""`--fail-under`: minimum scores of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError
from ocrctl.metrics.evaluation import Evaluation
from ocrctl.metrics.summary import LOWER_IS_BETTER

# Name on the command line to name of the metric.
NAMES = {"accuracy": "accuracy", "cer": "cer", "1-ned": "one_minus_ned", "empty": "empty_rate"}


def check_gates(gates: Mapping[str, float], protocols: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Resolve each gate to (protocol, metric): `str36`, `str36.cer`, or `cer` for the first protocol. Raises
    UsageError."""
    known = [*protocols, *NAMES, *(f"{protocol}.{name}" for protocol in protocols for name in NAMES)]
    found = {}
    for gate in gates:
        if gate not in known:
            raise UsageError(
                f"--fail-under {gate}: not one of {', '.join([*protocols, *NAMES])} or PROTOCOL.METRIC."
                f"{did_you_mean(gate, known)}"
            )
        protocol, _, name = gate.rpartition(".")
        if gate in protocols:
            found[gate] = (gate, "accuracy")
        else:
            found[gate] = (protocol or protocols[0], NAMES[name])
    return found


def failed_gates(evaluation: Evaluation, gates: Mapping[str, float]) -> list[str]:
    """Return a sentence for each model and failed gate, on all data together.

    Accuracy and 1-NED must be at least the threshold, CER and the empty rate at most. NaN fails every gate.
    """
    sentences = []
    for gate, (protocol, metric) in check_gates(gates, evaluation.protocols).items():
        threshold = gates[gate]
        for model in evaluation.models:
            value = evaluation.overall(model.name, protocol).summary.metrics[metric].value
            lower = metric in LOWER_IS_BETTER
            if not (value <= threshold if lower else value >= threshold):
                wanted = "at most" if lower else "at least"
                sentences.append(
                    f"{model.name}: {protocol} {metric} is {value:.4f}, {wanted} {threshold:.4f} is required"
                )
    return sentences
