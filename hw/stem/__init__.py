"""The picture as patches for the first convolution."""
