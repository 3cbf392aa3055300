"""The command line's declarations: names, options and help. What a command does is imported when it runs.

So `--help` and the shell's completion answer at once, and a client never loads what only the service needs.
"""
