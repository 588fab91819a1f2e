"""Strategies people make and run: versions, blocks, code, templates, deployments, signals."""
