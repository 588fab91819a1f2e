"""Other APIs' shapes over the same use cases."""
