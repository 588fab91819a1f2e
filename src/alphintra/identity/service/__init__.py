"""The use cases of identity, one family per file; each function is one use case."""
