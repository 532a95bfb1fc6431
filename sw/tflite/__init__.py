"""Read a .tflite file, and trust nothing in it."""
