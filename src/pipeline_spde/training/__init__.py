"""Training of the neural solvers: losses, Lightning modules, schedules, resuming."""
