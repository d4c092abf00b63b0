"""The page, and its build."""
