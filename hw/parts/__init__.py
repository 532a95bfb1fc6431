"""The chip's own parts, and pieces that every stage uses."""
