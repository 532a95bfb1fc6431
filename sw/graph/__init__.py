"""The network as the engine sees it: tensors, layers, and blocks of layers."""
