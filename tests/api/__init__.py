"""The API as its clients meet it: GraphQL text in, JSON out, over HTTP and WebSocket.

Every module sets `pytestmark = pytest.mark.asyncio(loop_scope="session")`: they share one running service.
"""
