"""Pure media work: a local file in, local files and facts out.

It knows no database and no network; untrusted bytes are decoded only in its limited child process.
"""
