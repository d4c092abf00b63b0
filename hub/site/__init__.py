"""The page's files and the operator's routes."""
