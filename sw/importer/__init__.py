"""From a file to a network, exactly or not at all."""
