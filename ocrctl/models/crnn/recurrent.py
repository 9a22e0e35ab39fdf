"""Bidirectional LSTMs over columns that are as many as each image of a batch has."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocrctl.models.layers.columns import reversed_steps, take_steps


def run_lstm(lstm: nn.LSTM, sequence: Tensor, lengths: Tensor | None, training: bool) -> Tensor:
    """Run a bidirectional, batch-first `lstm` over (N, T, D); returns (N, T, 2 * hidden).

    lengths: int64 (N,), the first steps of each row that count, its backward direction begins at the last of them;
    later steps hold values of no meaning. None: all T. Packed sequences would need the lengths on the host, and have no
    form in ONNX.
    """
    if lengths is None:
        states: Tensor = lstm(sequence)[0]
        return states
    backward = reversed_steps(lengths, sequence.shape[1])  # (N, T)
    forward = torch.arange(sequence.shape[1], device=sequence.device).expand_as(backward)
    for layer in range(lstm.num_layers):
        if layer and lstm.dropout:
            sequence = nn.functional.dropout(sequence, lstm.dropout, training)
        read = _one_direction(lstm, sequence, layer, "", training)
        read_back = _one_direction(lstm, take_steps(sequence, backward), layer, "_reverse", training)
        # Both are taken by index, since a traced LSTM has the number of steps of the example as its shape.
        sequence = torch.cat([take_steps(read, forward), take_steps(read_back, backward)], dim=2)  # (N, T, 2 * hidden)
    return sequence


def _one_direction(lstm: nn.LSTM, sequence: Tensor, layer: int, suffix: str, training: bool) -> Tensor:
    """Run one direction of one layer from left to right: (N, T, D) to (N, T, hidden)."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [getattr(lstm, f"{name}_l{layer}{suffix}") for name in names]
    start = sequence.new_zeros(1, sequence.shape[0], lstm.hidden_size)
    states, _, _ = torch.lstm(sequence, (start, start), weights, True, 1, 0.0, training, False, True)
    return states
