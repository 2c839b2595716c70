"""The parts of the Gaussian-process check: ocean, maps, scores and Θ."""
