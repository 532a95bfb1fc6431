"""A plan as the bytes that the engine reads."""
