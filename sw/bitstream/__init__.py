"""Synthesis, place and route, flashing."""
