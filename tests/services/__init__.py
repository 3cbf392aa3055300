"""Services on a real database, without HTTP."""
