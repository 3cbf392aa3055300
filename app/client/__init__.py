"""`darkroom upload`: a client like any other, which knows the service by its address and its schema alone.

It must not know the rooms below: whatever it needs and can't have over the network is missing in the API.
"""
