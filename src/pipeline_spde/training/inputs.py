"""What a training is given: is it complete, and what is it?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_spde.config import AnyNetworkConfig
from pipeline_spde.data.withheld import Withheld
from pipeline_spde.fields import GriddedObservations, Maps
from pipeline_spde.first_guess import FirstGuess
from pipeline_spde.networks import needs_first_guess


def require_complete(
    model: AnyNetworkConfig,
    truth: Maps | None,
    guess: FirstGuess | None,
    withheld: Withheld | None,
    init_from: Path | None,
) -> None:
    """Refuse a training that lacks what its network or its loss needs."""
    if (truth is None) != (withheld is not None):
        raise ValueError("give the truth, or the passes that are withheld where there is none")
    if withheld is not None:
        guess = withheld.guesses[0] if withheld.guesses else None
        if init_from is None:
            raise ValueError("tracks alone are too few to train on; give `init_from`")
    if needs_first_guess(model) and guess is None:
        raise ValueError(f"{model.method} starts from the first guess of its windows; give `guess`")


def data_digest(
    observations: GriddedObservations,
    truth: Maps | None,
    mean: NDArray[np.float64],
    guess: FirstGuess | None,
    withheld: Withheld | None,
) -> str:
    """Return a hash of the data."""
    digest = hashlib.sha256()
    arrays: list[NDArray] = [
        mean, observations.time, observations.height, observations.observed, observations.error
    ]  # fmt: skip
    arrays += [] if truth is None else [truth.time, truth.height]
    guesses = [] if guess is None else [guess]
    if withheld is not None:
        arrays.append(withheld.cells)
        guesses += withheld.guesses or ()
    for guess in guesses:
        arrays += [guess.targets, guess.height, guess.days]
        arrays += [guess.m_east, guess.m_north, guess.sigma]
        digest.update(repr(guess.law).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
