"""The room of tables and statements."""
