"""Object storage: the `ObjectStore` contract and its backends.

It keeps bytes under keys and signs addresses; it knows nothing of media, GraphQL or HTTP frameworks.
"""
