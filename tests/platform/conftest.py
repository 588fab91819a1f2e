"""Tests that need root are collected only under root: elsewhere they have nothing to test."""

import os

collect_ignore = [] if os.geteuid() == 0 else ["test_embedded_as_root.py"]
