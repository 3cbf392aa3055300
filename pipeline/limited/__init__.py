"""What runs in the limited child process only: everything here looks at bytes that nobody has vouched for.

Imported after the limits stand, and only what the sniffed type needs: every upload pays for the start.
"""
