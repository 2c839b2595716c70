"""Fine-tuning on real tracks: the loss is the misfit at passes that the window is not shown.

    L = a Σ w e²/ε² / Σ w/ε² + c ⟨(x − Φx)²⟩

with e the difference of map and observation at a withheld cell, ε the standard deviation of that
observation, w weights over the days of the window. The noise of the observations adds a constant
to the first term, whatever the network does. a and c are `mse` and `prior` of the loss of the twin;
slopes are not judged: along a single track they are mostly noise.

The likelihood of 4dvarnet_spde is left out: it needs the whole truth. Its Θ net stays as the twin
has trained it, and starts from the prior fitted to the real domain.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_spde.data.windows import Batch
from pipeline_spde.training.losses import weighted_mean
from pipeline_spde.training.module import StateTraining

_LEAST_WEIGHT = 1e-12


class TrackTraining(StateTraining):
    """Train a network on withheld passes; validate by the rms misfit at those of other days.

    `validation_rmse_m` is the root of the first term of the loss in metres, observation errors
    included.
    """

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        state = self._state(batch)
        misfit, weight = self._misfit(state, batch)
        settings, prior = self.config.loss, self.solver.prior
        loss = settings.mse * misfit / weight.clamp(min=_LEAST_WEIGHT)
        if settings.prior and prior is not None:
            sea = batch.inputs.ocean[:, None].to(state.dtype)
            loss = loss + settings.prior * weighted_mean((state - prior(state)).square(), sea)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the weighted squared misfits."""
        sums = self._misfit(self._state(batch).double(), batch)
        self._squares.append(torch.stack(sums).detach())

    def _misfit(self, state: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return Σ w e²/ε² and Σ w/ε², normalised units, over the withheld cells of a batch."""
        error = batch.truth_error
        if error is None:
            raise ValueError("these windows withhold nothing; cut them with data.withheld")
        wanted = torch.isfinite(error)
        precision = torch.where(wanted, error, torch.ones_like(error)).square().reciprocal()
        day = self.weights.to(state)[None, :, None, None]
        weight = day * wanted * precision.to(state)
        return (weight * (state - batch.truth).square()).sum(), weight.sum()

    def _state(self, batch: Batch) -> Tensor:
        """Return the states of a batch.

        Raises:
            RuntimeError: parameters of the prior are not finite.
        """
        try:
            state: Tensor = self.solver(*batch.inputs)
        except FloatingPointError as error:
            raise RuntimeError(self._diagnosis(torch.tensor(torch.nan), batch)) from error
        return state.float()
