"""Answers to the contract: one function per root field, batch loaders, error mapping.

`root.py` is the table of contents.
"""
