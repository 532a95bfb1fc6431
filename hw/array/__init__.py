"""The 1x1 convolutions, expand and project."""
