"""Stage 2 of 4DVarNet-SPDE: the loss of state and parameters together.

    L = λ₁ · (loss of the state, as in stage 1) + λ₂ · NLL + s · ⟨(δ_x Θ)² + (δ_y Θ)²⟩

NLL is −log p(truth | Θ) per node and day, exact log-determinant included, the mean over several
steps in time. One-day steps alone hardly see the damping: with τ free they drive κ² to zero; here
σ is the variable, its limits and those of 1/κ² come from the learning period, and nodes are means
over cells, so that the smallest scales, nearly all of the nodes, do not decide alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipeline_spde.assimilation.spde_solver import Augmented, SpdeSolver
from pipeline_spde.data.windows import Batch
from pipeline_spde.training.module import StateTraining


class SpdeTraining(StateTraining):
    """Train a `SpdeSolver`; validate by its whole loss on windows inside the validation period."""

    solver: SpdeSolver
    criterion = "validation_loss"

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        state, nll, rough = self._terms(self._found(batch), batch)
        self.log("train_nll", nll)
        return self._sum(state, nll, rough)

    def on_validation_epoch_start(self) -> None:
        """Forget the sums of the last validation."""
        super().on_validation_epoch_start()
        self._losses: list[Tensor] = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the squared errors of the target days and the terms of the loss."""
        found = self._found(batch)
        self.add_errors(found.state, batch)
        with torch.no_grad():
            state, nll, rough = self._terms(found, batch)
        count = torch.tensor(float(len(batch.names)))
        terms = torch.stack([self._sum(state, nll, rough).cpu(), nll.cpu(), torch.ones(())])
        self._losses.append((terms * count).double())

    def on_validation_epoch_end(self) -> None:
        """Log RMSE, likelihood and loss over days, cells and processes."""
        super().on_validation_epoch_end()
        own = torch.stack(self._losses).sum(0) if self._losses else torch.zeros(3).double()
        sums: Any = self.trainer.strategy.reduce(own.to(self.device), reduce_op="sum")
        count = max(float(sums[2]), 1.0)
        self.log("validation_loss", float(sums[0]) / count)
        self.log("validation_nll", float(sums[1]) / count)

    def _found(self, batch: Batch) -> Augmented:
        """Return state and parameters of a batch.

        Raises:
            RuntimeError: parameters of the prior are not finite.
        """
        try:
            return self.solver.augmented(*batch.inputs)
        except FloatingPointError as error:
            raise RuntimeError(self._diagnosis(torch.tensor(torch.nan), batch)) from error

    def _terms(self, found: Augmented, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of the state, the NLL per node and day, and the roughness of Θ."""
        settings = self.solver.settings
        with torch.autocast(found.delta.device.type, enabled=False):
            nll = found.nll(batch.truth, settings.nll_lags).mean().float()
        return self.state_loss(found.state.float(), batch), nll, roughness(found.delta)

    def _sum(self, state: Tensor, nll: Tensor, rough: Tensor) -> Tensor:
        settings = self.solver.settings
        return settings.mse * state + settings.nll * nll + settings.smoothness * rough


def roughness(delta: Tensor) -> Tensor:
    """Return the mean squared difference of δ (batch, 7, rows, columns) between neighbours."""
    total = delta.new_zeros(())
    for axis in (2, 3):
        if delta.shape[axis] > 1:
            total = total + delta.diff(dim=axis).square().mean()
    return total
