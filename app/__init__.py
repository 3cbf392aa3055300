"""The composition root: command line, settings, runtime, HTTP.

It knows every backend and every mode; nothing imports it.
"""
