"""The public contract in Strawberry: types, inputs, payloads, enums, connections.

It reads table rows to build its types and reaches everything else through the context Protocol.
"""
