"""Everything that the hub speaks to its clients, one folder or file for each protocol."""
