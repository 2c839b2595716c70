"""Data: simulated and real sources, observing systems, patches."""
