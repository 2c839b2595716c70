"""The learned gradient step: a convolutional LSTM that turns a gradient into an update."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_spde.assimilation.costs import upsample

Memory = tuple[Tensor, Tensor]
"""Hidden and cell state of the LSTM, each (batch, hidden, lat / pooling, lon / pooling)."""


class GradientNet(nn.Module):
    """ConvLSTM over the iterations of the solver, on average-pooled gradients.

        (i, f, o, u) = W g + V h,   c ← σ(f) c + σ(i) tanh(u),   h ← σ(o) tanh(c),   update = O h

    (Shi et al. 2015 without peepholes), W, V, O being 3x3 convolutions. O starts at zero, so that
    an untrained solver keeps its start. The memory is an argument and a result: the module keeps
    nothing between calls.

    Args:
        channels: channels of the gradient (days of the window times its groups).
        days: channels of the update.
        hidden: channels of the memory.
        pooling: factor by which the gradient is average-pooled (1: none).
        dropout: share of the gradient's channels dropped in training.
    """

    def __init__(
        self, channels: int, days: int, hidden: int, pooling: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.pooling = pooling
        self.dropout = nn.Dropout2d(dropout)
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)
        self.update = nn.Conv2d(hidden, days, 3, padding=1)
        with torch.no_grad():
            assert self.gates.bias is not None and self.update.bias is not None
            self.gates.bias[hidden : 2 * hidden] += 1.0  # remember by default (forget gate)
            self.update.weight.zero_()
            self.update.bias.zero_()

    def forward(self, gradient: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """Return the update (batch, days, lat, lon) and the new memory.

        Args:
            gradient: shape (batch, channels, lat, lon).
            memory: what the previous iteration returned; None at the first.
        """
        pooled = F.avg_pool2d(gradient, self.pooling) if self.pooling > 1 else gradient
        pooled = self.dropout(pooled)
        if memory is None:
            empty = pooled.new_zeros(pooled.shape[0], self.hidden, *pooled.shape[2:])
            memory = (empty, empty)
        hidden, cell = memory
        gates = self.gates(torch.cat([pooled, hidden], dim=1))
        sigmoids = torch.sigmoid(gates[:, : 3 * self.hidden])
        enter, forget, leave = sigmoids.chunk(3, dim=1)
        cell = forget * cell + enter * torch.tanh(gates[:, 3 * self.hidden :])
        hidden = leave * torch.tanh(cell)
        return upsample(self.update(hidden), self.pooling), (hidden, cell)
