"""Strategies that run: what is said between a deployment and the process of its strategy."""
