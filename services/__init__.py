"""Use cases and rules: one public function is one transaction.

It knows no GraphQL and no HTTP.
"""
