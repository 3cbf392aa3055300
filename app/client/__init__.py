"""The commands that speak to a running service: clients like any other.

They must not know the rooms below: whatever they need and can't have over the network is missing in the API.
Only how a file's type is told from its first bytes is shared (`pipeline.sniff`), so that both sides agree.
"""
