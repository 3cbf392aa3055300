"""What developers run: nothing here is needed to serve."""
