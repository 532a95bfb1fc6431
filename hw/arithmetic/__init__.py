"""Products and requantisation."""
