"""Narrows: a streaming, bit-exact int8 MobileNetV2 accelerator for FPGAs."""
