"""Variational assimilation: costs, learned gradient steps, and the state solver (4DVarNet)."""
