"""Tables, statements, sessions and migrations: PostgreSQL only.

It knows rows and locks; it decides no rules.
"""
