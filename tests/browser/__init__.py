"""Tests in a real browser, on the fixtures of `conftest.py`."""
