"""Alphintra: a self-hosted trading platform."""
